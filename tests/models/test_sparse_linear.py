"""SLIM and ADMM-SLIM against scikit-learn's elastic net, item by item."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import ElasticNet

import recae
from recae.models.linear import admm_slim, slim

RNG = np.random.default_rng(6)
X = (RNG.random((120, 26)) < np.linspace(0.05, 0.5, 26)) * RNG.integers(1, 4, (120, 26)) * 1.0
X[:, 9] = 0  # an item of nobody


def elastic_nets(x: np.ndarray, l1: float, ridge: np.ndarray, positive: bool) -> np.ndarray:
    """|x_j - X b|^2 / 2 + sum r_i b_i^2 / 2 + l1 |b|; more rows of x make up r - 1."""
    n = x.shape[1]
    rows = np.vstack([x, np.diag(np.sqrt(ridge - 1))])
    found = np.zeros((n, n))
    for j in range(n):
        others, wanted = rows.copy(), np.concatenate([x[:, j], np.zeros(n)])
        others[:, j] = 0
        if not wanted.any():  # all weights are 0, which older versions never call converged
            continue
        net = ElasticNet(
            alpha=(l1 + 1) / len(rows),
            l1_ratio=l1 / (l1 + 1),
            positive=positive,
            fit_intercept=False,
            tol=1e-9,
            max_iter=20_000,
        )
        found[:, j] = net.fit(others, wanted).coef_
    return found


@pytest.mark.parametrize("weights", ["neither", "both"])
@pytest.mark.parametrize("most", [0, slim.MOST])
def test_slim_is_an_elastic_net_of_every_item(weights: str, most: int, monkeypatch) -> None:
    monkeypatch.setattr(slim, "MOST", most)  # with X'X kept, and without
    monkeypatch.setattr(slim, "BLOCK", 7)
    monkeypatch.setattr(slim, "ADDED", 3)  # so that several rounds are needed
    model = recae.SLIM(l1=0.7, l2=4.0, weights=weights).fit(sp.csr_matrix(X))
    x = X if weights == "both" else (X > 0) * 1.0
    expected = elastic_nets(x, 0.7, np.full(26, 4.0), positive=True)
    np.testing.assert_allclose(model.weights_.toarray(), expected, atol=1e-5)
    assert 26 < model.weights_.nnz < 500 and (model.weights_.diagonal() == 0).all()
    np.testing.assert_allclose(model.score(sp.csr_matrix(X)), x @ expected, atol=1e-3)


@pytest.mark.parametrize(("signed", "alpha"), [(False, 0.0), (False, 0.6), (True, 0.0)])
def test_admm_slim_ends_at_the_same_solution(signed: bool, alpha: float, monkeypatch) -> None:
    monkeypatch.setattr(admm_slim, "COLUMNS", 10)
    options = dict(l1=0.7, l2=20.0, alpha=alpha, signed=signed, rho=20.0, iterations=300)
    model = recae.ADMMSLIM(**options).fit(sp.csr_matrix(X))
    ones = (X > 0) * 1.0
    ridge = 20.0 * ones.mean(axis=0) ** alpha
    ridge = np.where(ridge > 1, ridge, 2)  # of the item of nobody, which has no weights
    expected = elastic_nets(ones, 0.7, ridge, positive=not signed)
    np.testing.assert_allclose(model.weights_.toarray(), expected, atol=1e-5)
    assert (model.weights_.diagonal() == 0).all() and ((expected < 0).any() == signed)


def test_admm_slim_without_penalty_and_sign_is_ease() -> None:
    data = sp.csr_matrix(X)
    found = recae.ADMMSLIM(l1=0.0, l2=5.0, signed=True, rho=1.0, iterations=60).fit(data)
    ease = recae.EASE(l2=5.0).fit(data)
    np.testing.assert_allclose(found.weights_.toarray(), ease.weights_, atol=1e-6)


def test_a_ridge_too_small_for_equal_items_is_an_error() -> None:
    with pytest.raises(recae.errors.TrainingError, match="raise l2"):
        recae.SLIM(l1=0.0, l2=1e-300).fit(sp.csr_matrix(np.ones((5, 3))))


@pytest.mark.parametrize("name", ["slim", "admm-slim"])
def test_a_penalty_that_leaves_no_weight_is_an_error(name: str) -> None:
    pairs = sp.csr_matrix(np.kron(np.eye(20), [[1, 1]]))  # no two items have two common users
    with pytest.raises(recae.errors.TrainingError, match="lower l1"):
        recae.MODELS[name](l1=1.0).fit(pairs)


@pytest.mark.parametrize("rho", [1e-2, 1e5])
def test_steps_that_have_not_converged_are_warned_of(rho: float) -> None:
    with pytest.warns(recae.RecaeWarning, match="not converged"):
        recae.ADMMSLIM(l1=1e-3, l2=20.0, rho=rho).fit(sp.csr_matrix(X))


@pytest.mark.parametrize("name", ["slim", "admm-slim"])
def test_users_of_one_item_each_need_no_weight(name: str) -> None:
    assert not recae.MODELS[name](l1=1.0).fit(sp.identity(4, format="csr")).weights_.nnz
