"""Sparse EASE against least squares on the neighbours, and against EASE with all of them."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

import recae
from recae.models.linear import sparse_ease

RNG = np.random.default_rng(4)
X = (RNG.random((80, 21)) < 0.4) * RNG.integers(1, 4, (80, 21)).astype(float)
ONES = (X > 0) * 1.0
X_SPARSE = sp.csr_matrix(X)
assert (ONES.T @ ONES > 0).all()  # every pair of items has a user


@pytest.mark.parametrize("weights", ["neither", "both"])
def test_with_all_items_for_neighbours_it_is_ease(weights: str, monkeypatch) -> None:
    monkeypatch.setattr(sparse_ease, "BLOCK", 4)
    found = recae.SparseEASE(l2=3.0, neighbours=20, weights=weights).fit(sp.csr_matrix(X))
    ease = recae.EASE(l2=3.0, weights=weights).fit(sp.csr_matrix(X))
    np.testing.assert_allclose(found.weights_.toarray(), ease.weights_.numpy(), atol=1e-6)
    np.testing.assert_allclose(found.score(X_SPARSE), ease.score(X_SPARSE), atol=1e-5)


def test_columns_that_are_nearly_equal_are_told_apart() -> None:
    """Their squared lengths differ in digits that float32 rounds."""
    twins = X.copy()
    twins[:, 1] = twins[:, 0] * (1 + 1e-4 * np.linspace(0, 1, 80))
    options = dict(l2=0.01, weights="both")
    found = recae.SparseEASE(neighbours=20, **options).fit(sp.csr_matrix(twins))
    ease = recae.EASE(**options).fit(sp.csr_matrix(twins))
    np.testing.assert_allclose(found.weights_.toarray(), ease.weights_.numpy(), atol=1e-3)


@pytest.mark.parametrize("neighbours", [1, 4])
def test_every_item_is_least_squares_on_its_neighbours(neighbours: int) -> None:
    model = recae.SparseEASE(l2=3.0, neighbours=neighbours, weights="both").fit(X_SPARSE)
    cosines = X.T @ X / np.outer(*[np.linalg.norm(X, axis=0)] * 2)
    np.fill_diagonal(cosines, -1)
    expected = np.zeros((21, 21))
    for j in range(21):
        near = np.argsort(-cosines[j], kind="stable")[:neighbours]
        # A ridge regression as ordinary least squares on more rows.
        rows = np.vstack([X[:, near], np.sqrt(3.0) * np.eye(neighbours)])
        wanted = np.concatenate([X[:, j], np.zeros(neighbours)])
        expected[near, j] = np.linalg.lstsq(rows, wanted, rcond=None)[0]
    np.testing.assert_allclose(model.weights_.toarray(), expected, atol=1e-6)


def test_items_without_company_are_no_obstacle() -> None:
    alone = np.zeros((4, 5))
    alone[[0, 1, 2], [0, 1, 2]] = 1  # three users of one item each, two items of nobody
    alone[3, :2] = 1
    model = recae.SparseEASE(l2=0.5, neighbours=3).fit(sp.csr_matrix(alone))
    dense = model.weights_.toarray()
    assert (dense[2:] == 0).all() and (dense[:, 2:] == 0).all()
    assert dense[0, 1] == pytest.approx(1 / 2.5) == pytest.approx(dense[1, 0])  # x0.x1 / (2 + l2)


def test_too_many_co_occurrences_are_told_before_anything_is_made(monkeypatch) -> None:
    monkeypatch.setattr(sparse_ease, "total_memory", lambda: 1000)
    with pytest.raises(recae.errors.CapacityError, match="may need .* use ELSA"):
        recae.SparseEASE().fit(X_SPARSE)
