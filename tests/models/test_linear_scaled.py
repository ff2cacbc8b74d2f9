"""Powers, the relative ridge and the emphasis of the linear family, each written out directly."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import scipy.sparse as sp

import recae
from recae.models.linear import _base, _solve

RNG = np.random.default_rng(11)
X = (RNG.random((40, 17)) < np.linspace(0.6, 0.1, 17)) * RNG.integers(1, 4, (40, 17)) * 1.0
X[:, 9] = 0  # nobody has it
X[3] = 0  # who has nothing
ONES = (X > 0) * 1.0
USERS, ITEMS = (np.where(ONES.sum(axis) > 0, ONES.sum(axis), 1) for axis in (1, 0))

Make = Callable[..., recae.Recommender]


def fitted(model: recae.Recommender, x: np.ndarray = ONES) -> np.ndarray:
    return model.fit(sp.csr_matrix(x)).weights_.numpy()


def emphasised(x: np.ndarray, l2: float, p: float, b: float, xi: float) -> np.ndarray:
    """argmin of the expected loss with diag(B) <= xi, column by column, from its definition.

    Every mask of a history is a row of weighted least squares, its weight the probability of the
    mask times that of the error: b where the target is kept, 1 where it is dropped. The ridge is in
    units of the mean weight of an error, p + (1 - p) b.
    """
    n, kept = x.shape[1], 1 - p
    masks = np.array(list(itertools.product([0, 1], repeat=n)))
    chance = np.prod(np.where(masks, kept, p), axis=1)
    rows = np.vstack([x * mask / kept for mask in masks])
    solution = np.zeros((n, n))
    for j in range(n):
        weights = np.sqrt(np.repeat(chance * np.where(masks[:, j], b, 1), len(x)))
        system = np.vstack([rows * weights[:, None], np.sqrt(l2 * (p + kept * b)) * np.eye(n)])
        right = np.concatenate([np.tile(x[:, j], len(masks)) * weights, np.zeros(n)])
        solution[:, j] = np.linalg.lstsq(system, right, rcond=None)[0]
        if solution[j, j] > xi:
            others = np.delete(np.arange(n), j)
            right = right - system[:, j] * xi
            solution[others, j] = np.linalg.lstsq(system[:, others], right, rcond=None)[0]
            solution[j, j] = xi
    return solution


@pytest.mark.parametrize("weights", ["neither", "both"])
@pytest.mark.parametrize(("p", "b"), [(0.3, 0.0), (0.3, 0.2), (0.6, 0.7), (0.5, 1.0)])
def test_the_emphasis_is_weighted_least_squares_over_all_masks(p, b, weights) -> None:
    x = X[:, :6] if weights == "both" else ONES[:, :6]
    settings = {"l2": 2.0, "dropout": p, "kept_weight": b, "weights": weights}
    found = fitted(recae.EDLAE(**settings), X[:, :6])
    np.testing.assert_allclose(found, emphasised(x, 2.0, p, b, 1.0), atol=1e-6)
    for xi in (0.0, 0.04, 0.2):
        found = fitted(recae.RDLAE(xi=xi, **settings), X[:, :6])
        np.testing.assert_allclose(found, emphasised(x, 2.0, p, b, xi), atol=1e-6)


def test_the_emphasis_scales_columns_only() -> None:
    plain = fitted(recae.EDLAE(l2=2.0, dropout=0.4))
    found = fitted(recae.EDLAE(l2=2.0, dropout=0.4, kept_weight=0.5))
    np.fill_diagonal(found, 0)
    factors = found.sum(axis=0) / np.where(plain.sum(axis=0), plain.sum(axis=0), 1)
    np.testing.assert_allclose(found, plain * factors, atol=1e-6)
    assert np.ptp(factors[ITEMS > 1]) > 0.01


def dan(x: np.ndarray, l2: float, a: float, b: float, p: float, xi: float) -> np.ndarray:
    """RLAE-DAN as its authors' code computes it (Park et al., SIGIR 2025)."""
    items, users = x.sum(0), x.sum(1)
    ridge = l2 + p / (1 - p) * items
    inverse = np.linalg.inv((x * users[:, None] ** -b).T @ x + np.diag(ridge))
    bounded = 1 - ridge * np.diag(inverse) > xi
    lagrangian = np.where(bounded, (1 - xi) / np.diag(inverse) - ridge, 0)
    solution: np.ndarray = np.eye(len(items)) - inverse * (ridge + lagrangian)
    solution *= (items[:, None] / items) ** a
    return solution


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_dan_is_rdlae_with_powers(precision, monkeypatch) -> None:
    monkeypatch.setattr(_solve, "BLOCK", 5)
    x = ONES[ONES.sum(1) > 0][:, ITEMS > 1]
    model = recae.RDLAE.preset("dan-gowalla").set_params(precision=precision)
    expected = dan(x, l2=20, a=0.2, b=0.3, p=0.6, xi=0.1)
    np.testing.assert_allclose(fitted(model, x), expected, atol=1e-6)


@pytest.mark.parametrize("over_users", [False, True])
@pytest.mark.parametrize("weights", ["neither", "both"])
@pytest.mark.parametrize("powers", [(0.0, 0.0), (0.3, 0.2), (-0.4, 0.0), (0.0, 1.0), (0.5, -0.5)])
def test_powers_of_degrees_scale_the_solution(powers, weights, over_users, monkeypatch) -> None:
    monkeypatch.setattr(_solve, "FEWER", 100 if over_users else 0)
    monkeypatch.setattr(_base, "over_items" if over_users else "over_users", None)
    before, after = powers
    items = X.sum(0) if weights == "both" else ITEMS
    items = np.where(items > 0, items, 1)
    settings = {"l2": 0.8, "user_power": 0.25, "item_power": 0.4, "weights": weights, "xi": 0.1}
    expected = fitted(recae.RLAE(**settings), X) * items[:, None] ** -before * items**-after
    model = recae.RLAE(input_power=before, output_power=after, **settings)
    np.testing.assert_allclose(fitted(model, X), expected, rtol=1e-5, atol=1e-7)


def test_input_and_output_power_undo_the_item_power() -> None:
    # X D^-v alone is solved for, and its solution is used as it is: no power before nor after.
    scaled = ONES * ITEMS**-0.4
    model = recae.EASE(l2=0.8, item_power=0.4, input_power=-0.4, output_power=0.4)
    expected = fitted(recae.EASE(l2=0.8, weights="both"), scaled)
    np.testing.assert_allclose(fitted(model), expected, atol=1e-6)


def test_dropout_noise_without_the_weights_of_users() -> None:
    scaled = ONES * USERS[:, None] ** -0.3
    squares, rest = (ONES**2).sum(0), 0.4 / 0.6
    inverse = np.linalg.inv(scaled.T @ scaled + np.diag(3 + squares * rest))
    expected = np.eye(17) - inverse / np.diag(inverse)
    model = recae.EDLAE(l2=3.0, dropout=0.4, user_power=0.3, noise="unweighted")
    np.testing.assert_allclose(fitted(model), expected, atol=1e-6)
    # With an item power too, the ridge of the noise is in the units of the scaled items.
    model.set_params(item_power=0.5, l2=1e-4)
    inverse = np.linalg.inv(scaled.T @ scaled + np.diag(1e-4 * ITEMS + squares * rest))
    expected = np.eye(17) - inverse / np.diag(inverse)
    np.testing.assert_allclose(fitted(model)[ITEMS > 1], expected[ITEMS > 1], atol=1e-5)


@pytest.mark.parametrize("make", [recae.EASE, recae.RDLAE, recae.SparseEASE])
def test_the_relative_ridge_is_in_means_of_the_diagonal(make: Make) -> None:
    powers = {"user_power": 0.3, "item_power": 0.2}
    scaled = ONES * USERS[:, None] ** -0.3 * ITEMS**-0.2
    mean = np.diag(scaled.T @ scaled).mean()
    expected = make(l2=1.5 * mean, **powers).fit(sp.csr_matrix(X))
    found = make(relative_l2=1.5, l2=9999.0, **powers).fit(sp.csr_matrix(X))
    np.testing.assert_allclose(found.score(sp.csr_matrix(X)), expected.score(sp.csr_matrix(X)))
    # In weights a hundred times as large it is the same model.
    model = make(relative_l2=1.5, weights="both")
    a, b = (model.clone().fit(sp.csr_matrix(X * c)).score(sp.csr_matrix(X)) for c in (1, 100))
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("weights", ["neither", "both"])
def test_sparse_ease_of_all_items_is_ease_with_powers_too(weights: str) -> None:
    x = np.vstack([X, np.ones(17)])  # now every pair of items has a user
    settings = {
        "relative_l2": 0.7,
        "user_power": 0.3,
        "item_power": 0.2,
        "input_power": -0.3,
        "output_power": 0.4,
        "weights": weights,
    }
    sparse = recae.SparseEASE(neighbours=16, **settings).fit(sp.csr_matrix(x))
    expected = fitted(recae.EASE(**settings), x)
    np.testing.assert_allclose(sparse.weights_.toarray(), expected, atol=1e-6)
    assert sparse.weights_.dtype == np.float32


@pytest.mark.parametrize("make", [recae.EASE, recae.RDLAE, recae.SparseEASE])
def test_degrees_of_zero_are_harmless(make: Make) -> None:
    model = make(relative_l2=0.5, user_power=0.5, item_power=0.5, input_power=1, output_power=-1)
    scores = model.fit(sp.csr_matrix(X)).score(sp.csr_matrix(X))
    assert np.isfinite(scores).all() and (scores[:, 9] == 0).all()
