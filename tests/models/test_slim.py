"""ImplicitSLIM against its objective, solved the slow way with every matrix written out."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from recae.errors import TrainingError
from recae.models.neural.rec_vae import implicit_slim

X = sp.random(50, 12, 0.3, format="csr", random_state=3, dtype=np.float32)
X.data[:] = 1
X = sp.hstack([X, sp.csr_matrix((50, 1), dtype=np.float32)], format="csr")  # an item of nobody
COUNTS = np.asarray(X.sum(axis=0)).ravel()
E = np.random.default_rng(5).standard_normal((13, 4)).astype(np.float32)


@pytest.fixture(autouse=True)
def blocks(monkeypatch) -> None:
    """Four columns are two blocks, one of them short."""
    monkeypatch.setattr("recae.models.neural.rec_vae.COLUMNS", 3)


def slim(l2: float) -> np.ndarray:
    """B = I - P diag(P)^-1, with the diagonal of P = (X'X + l2 I)^-1 as ImplicitSLIM takes it."""
    dense = X.toarray().astype(np.float64)
    inverse = np.linalg.inv(dense.T @ dense + l2 * np.eye(13))
    return np.eye(13) - inverse * (COUNTS + l2)


@pytest.mark.parametrize("threshold", [0, 15, 18])
@pytest.mark.parametrize(("l2", "alpha"), [(2.0, 0.3), (30.0, 5.0)])
def test_it_is_the_least_squares_solution(l2: float, alpha: float, threshold: int) -> None:
    popular = np.where(COUNTS[:, None] >= threshold, E, 0)
    assert threshold == 0 or 0 < (COUNTS >= threshold).sum() < 12
    # |(I - B)' F|^2 + alpha |A' (F - E)|^2 as one system of equations for F.
    left = np.vstack([(np.eye(13) - slim(l2)).T, np.sqrt(alpha) * popular.T])
    right = np.vstack([np.zeros((13, 4)), np.sqrt(alpha) * popular.T @ E])
    expected = np.linalg.lstsq(left, right, rcond=None)[0]
    found = implicit_slim(E, X, l2, alpha, threshold)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_it_is_the_solution_with_the_items_by_items_matrix() -> None:
    l2, alpha = 4.0, 1.5
    rest = np.eye(13) - slim(l2)
    popular = np.where(COUNTS[:, None] >= 15, E, 0).astype(np.float64)
    both = rest @ rest.T + alpha * popular @ popular.T
    expected = alpha * np.linalg.inv(both) @ popular @ popular.T @ E
    found = implicit_slim(E, X, l2, alpha, 15)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_large_alpha_keeps_what_it_is_held_to() -> None:
    found = implicit_slim(E, X, 4.0, 1e9, 15)
    popular = np.where(COUNTS[:, None] >= 15, E, 0)
    np.testing.assert_allclose(popular.T @ found, popular.T @ E, rtol=1e-4)
    assert not np.allclose(found, E, rtol=0.1)


def test_what_is_given_stays_as_it_was() -> None:
    table, matrix = E.copy(), X.copy()
    implicit_slim(table, matrix, 4.0, 1.0, 15)
    assert np.array_equal(table, E) and (matrix != X).nnz == 0


def test_numbers_that_are_none_are_told() -> None:
    with pytest.raises(TrainingError, match="alpha=1.0 and l2=4.0"):
        implicit_slim(np.full_like(E, np.inf), X, 4.0, 1.0, 0)
