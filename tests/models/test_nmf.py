"""NMF: the fold-in against scipy, the fit against the conditions of its minimum."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse as sp

import recae

RNG = np.random.default_rng(2)
X = (RNG.random((50, 18)) < 0.3) * RNG.integers(1, 4, (50, 18)) * 1.0
HISTORIES = sp.csr_matrix(X)


@pytest.mark.parametrize("weights", ["neither", "both"])
@pytest.mark.parametrize("l2", [0.0, 3.0])
def test_a_user_is_a_non_negative_least_squares_solution(weights: str, l2: float) -> None:
    model = recae.NMF(latent=4, iterations=20, l2=l2, weights=weights).fit(HISTORIES)
    h, x = model.item_factors_.astype(np.float64), X if weights == "both" else (X > 0) * 1.0
    assert h.shape == (18, 4) and (h >= 0).all()
    rows = np.vstack([h, np.sqrt(l2) * np.eye(4)])
    expected = [scipy.optimize.nnls(rows, np.concatenate([row, np.zeros(4)]))[0] for row in x]
    np.testing.assert_allclose(model.embed_users(HISTORIES), expected, atol=1e-5)
    np.testing.assert_allclose(model.score(HISTORIES), expected @ h.T, atol=1e-5)


def test_the_fit_ends_where_the_items_cannot_be_bettered() -> None:
    l2 = 2.0
    model = recae.NMF(latent=3, iterations=4000, l2=l2, weights="both").fit(HISTORIES)
    h, w = model.item_factors_.astype(np.float64), model.embed_users(HISTORIES).astype(np.float64)
    slope = (w @ h.T - X).T @ w + l2 * h
    size = np.abs(X.T @ w).max()
    assert np.abs(slope[h > 1e-4]).max() < 0.02 * size  # scikit-learn stops at 1e-4 of its start
    assert slope[h <= 1e-4].min() > -0.02 * size


def test_a_penalty_that_leaves_no_factor_is_an_error() -> None:
    with pytest.raises(recae.errors.TrainingError, match="lower l2"):
        recae.NMF(latent=3, l2=1e4).fit(HISTORIES)


def test_small_weights_are_no_penalty() -> None:
    tiny = HISTORIES * 1e-7
    model = recae.NMF(latent=3, iterations=50, weights="both").fit(tiny)
    found = recae.NMF(latent=3, iterations=50, weights="both").fit(HISTORIES)
    np.testing.assert_allclose(model.score(tiny), 1e-7 * found.score(HISTORIES), rtol=0, atol=1e-8)
