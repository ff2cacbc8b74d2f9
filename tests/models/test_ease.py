"""EASE against the constrained least squares it solves, one column at a time."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import recae
from recae.models.linear import _solve


def interactions(n_users: int = 80, n_items: int = 37, weighted: bool = False) -> sp.csr_matrix:
    generator = np.random.default_rng(4)
    dense = (generator.random((n_users, n_items)) < 0.2) * 1.0
    if weighted:
        dense *= generator.integers(1, 5, dense.shape)
    return sp.csr_matrix(dense)


def solved(x: np.ndarray, l2: float) -> np.ndarray:
    """argmin |X - X B|^2 + l2 |B|^2 with diag(B) = 0: column j is a ridge without item j."""
    n_items = x.shape[1]
    weights = np.zeros((n_items, n_items))
    for j in range(n_items):
        others = np.delete(np.arange(n_items), j)
        a = x[:, others]
        ridge = a.T @ a + l2 * np.eye(n_items - 1)
        weights[others, j] = np.linalg.solve(ridge, a.T @ x[:, j])
    return weights


@pytest.fixture(scope="module")
def solution() -> np.ndarray:
    return solved(interactions().toarray(), 3.0)


@pytest.mark.parametrize("block", [1, 5, 16, 37, 1024])
@pytest.mark.parametrize(("precision", "atol"), [("float64", 2e-8), ("float32", 2e-6)])
def test_the_weights_solve_the_problem(
    block: int,
    precision: str,
    atol: float,
    solution: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_solve, "BLOCK", block)
    x = interactions()
    model = recae.EASE(l2=3.0, precision=precision).fit(x)
    assert model.weights_.dtype.is_floating_point and model.weights_.element_size() == 4
    np.testing.assert_allclose(model.weights_.numpy(), solution, atol=atol)


@pytest.mark.parametrize("n_items", [1, 2, 3, 10, 23])
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_the_lagrangian_is_stationary(
    n_items: int, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # For column j: (X'X + l2 I) b + m e_j = X'x_j and b_j = 0, solved together for b and m.
    monkeypatch.setattr(_solve, "BLOCK", 4)
    x = interactions(30, n_items).toarray()
    gram, eye = x.T @ x, np.eye(n_items)
    expected = np.empty((n_items, n_items))
    for j in range(n_items):
        system = np.block([[gram + 1.5 * eye, eye[:, [j]]], [eye[[j]], np.zeros((1, 1))]])
        expected[:, j] = np.linalg.solve(system, np.append(gram[:, j], 0))[:n_items]
    model = recae.EASE(l2=1.5, precision=precision).fit(sp.csr_matrix(x))
    np.testing.assert_allclose(model.weights_.numpy(), expected, atol=5e-6)
    assert (np.diag(model.weights_) == 0).all()
    loaded = model.clone()
    loaded.items_, loaded.fitted_params_ = model.items_, model.fitted_params_
    loaded._restore(dict(model._arrays()))
    np.testing.assert_array_equal(loaded.score(x_csr := sp.csr_matrix(x)), model.score(x_csr))


def test_float64_is_halved_in_its_own_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_solve, "BLOCK", 3)
    for n in (1, 2, 3, 4, 5, 7, 8):
        matrix = np.random.default_rng(n).standard_normal((n, n))
        expected = matrix.astype(np.float32)
        halved = _solve.to_float32(matrix)
        assert halved.dtype == torch.float32 and halved.shape == (n, n)
        np.testing.assert_array_equal(halved, expected)
        assert matrix.nbytes <= 4 * n * n + 4  # the other half was given back


def test_an_item_that_nobody_has_gets_nothing() -> None:
    x = interactions().tolil()
    x[:, 7] = 0
    weights = recae.EASE(l2=3.0).fit(x.tocsr()).weights_.numpy()
    assert (weights[7] == 0).all() and (weights[:, 7] == 0).all()


def test_weights_of_interactions_reach_both_sides() -> None:
    x = interactions(weighted=True)
    model = recae.EASE(l2=3.0, weights="both").fit(x)
    np.testing.assert_allclose(model.weights_.numpy(), solved(x.toarray(), 3.0), atol=1e-6)
    np.testing.assert_allclose(model.score(x), x @ solved(x.toarray(), 3.0), atol=1e-5)
    binary = recae.EASE(l2=3.0).fit(x)
    ones = (x.toarray() > 0) * 1.0
    np.testing.assert_allclose(binary.weights_.numpy(), solved(ones, 3.0), atol=1e-6)


def test_scores_go_from_history_to_target_not_the_other_way() -> None:
    # 90 users have only item 1; 10 have items 0 and 1. Having 0 says "and 1" far more than having
    # 1 says "and 0", so the score of 1 given 0 must be the higher one.
    x = sp.csr_matrix(np.array([[0.0, 1.0]] * 90 + [[1.0, 1.0]] * 10))
    model = recae.EASE(l2=1.0).fit(x)
    given_0, given_1 = model.score(sp.csr_matrix(np.eye(2)))
    assert given_0[1] == pytest.approx(10 / 11, abs=1e-6)  # 10 / (10 + l2)
    assert given_1[0] == pytest.approx(10 / 101, abs=1e-6)  # 10 / (100 + l2)


def test_memory_decides_the_precision_and_refuses_what_cannot_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = interactions()
    monkeypatch.setattr(_solve, "total_memory", lambda: 6 * 37**2 / _solve.SPARE)
    with pytest.warns(recae.RecaeWarning, match="37 items inverts .* in float32"):
        recae.EASE(l2=3.0).fit(x)
    with pytest.raises(recae.errors.CapacityError, match="float64, .*0.0 GB"):
        recae.EASE(l2=3.0, precision="float64").fit(x)
    monkeypatch.setattr(_solve, "total_memory", lambda: 3 * 37**2 / _solve.SPARE)
    with pytest.raises(recae.errors.CapacityError, match="37 items needs"):
        recae.EASE(l2=3.0).fit(x)


def test_the_ridge_must_be_positive() -> None:
    with pytest.raises(recae.ConfigError, match="l2 .*EASE .*> 0, not 0"):
        recae.EASE(l2=0).fit(interactions())


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("block", [1, 2, 8])
def test_a_ridge_too_small_for_twins_is_refused(block, precision, monkeypatch) -> None:
    # Two items with the same users: without a ridge that the float can hold, X'X has no inverse.
    monkeypatch.setattr(_solve, "BLOCK", block)
    x = np.zeros((4, 5))
    x[:3, 1] = x[:3, 3] = 1
    x[0, [0, 2]] = x[3, 4] = 1
    with pytest.raises(recae.ConfigError, match="positive definite .*l2=1e-60: raise l2"):
        recae.EASE(l2=1e-60, precision=precision).fit(sp.csr_matrix(x))


def test_similar_items_are_those_with_the_largest_weights() -> None:
    model = recae.EASE(l2=3.0).fit(interactions())
    weights = solved(interactions().toarray(), 3.0)
    expected = [j for j in np.argsort(-weights[5]) if j != 5][:3]
    assert model.similar_items(5, k=3)["similar_item_id"].tolist() == expected


def test_a_matrix_beyond_the_float_is_refused() -> None:
    with pytest.raises(recae.ConfigError, match="float32 at l2=1e.39: lower"):
        recae.EASE(l2=1e39, precision="float32").fit(sp.csr_matrix(np.eye(4)))
    heavy = sp.csr_matrix(np.full((3, 2), 1e20))
    with pytest.raises(recae.ConfigError, match="float32.*scale .*weights"):
        recae.EASE(precision="float32", weights="both").fit(heavy)


def test_a_ridge_that_the_float_cannot_resolve_warns() -> None:
    # 10,000 users have the item: 1e4 ridges of 1, times float32's epsilon of 1.2e-7, is 1.2e-3.
    x = sp.csr_matrix(np.hstack([np.ones((10_000, 1)), np.eye(10_000, 2)]))
    with pytest.warns(recae.RecaeWarning, match="1e-03.* l2=1.0"):
        recae.EASE(l2=1.0, precision="float32").fit(x)
    recae.EASE(l2=1.0, precision="float64").fit(x)
    recae.EASE(l2=2.0, precision="float32").fit(x)
