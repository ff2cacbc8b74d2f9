"""The linear family through its users: the same weights as from the item-item matrix."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.sparse as sp

import recae
from recae.models.linear import _base as linear
from recae.models.linear import _solve

RNG = np.random.default_rng(8)
N_USERS, N_ITEMS = 23, 61
POPULAR = np.linspace(0.9, 0.03, N_ITEMS)
X = (RNG.random((N_USERS, N_ITEMS)) < POPULAR) * RNG.integers(1, 4, (N_USERS, N_ITEMS)) * 1.0
X[:, 40] = 0  # nobody has it
X[5] = 0  # who has nothing

Make = Callable[..., recae.Recommender]
CASES = [
    (recae.EASE, {}, 0.0, 0.0),
    (recae.EDLAE, {"dropout": 0.4}, 0.4, 0.0),
    (recae.RLAE, {"xi": 0.1}, 0.0, 0.1),
    (recae.RLAE, {"xi": 1.0}, 0.0, 1.0),
    (recae.RDLAE, {"dropout": 0.3, "xi": 0.15}, 0.3, 0.15),
]


def direct(x: np.ndarray, l2: float, dropout: float, xi: float, u: float, v: float) -> np.ndarray:
    """B = I - P diag(c) from dense matrices in float64, scaled as `LinearRecommender` says."""
    rows, columns = (np.where(x.sum(a) > 0, x.sum(a), 1) for a in (1, 0))
    scaled = rows[:, None] ** -u * x * columns**-v
    gram = scaled.T @ scaled
    r = l2 + np.diag(gram) * dropout / (1 - dropout)
    p = np.linalg.inv(gram + np.diag(r))
    c = np.maximum(r if xi else 0, (1 - xi) / np.diag(p))
    b: np.ndarray = columns[:, None] ** -v * (np.eye(len(p)) - p * c) * columns**v
    return b


def refuse(*args: object) -> None:
    raise AssertionError("this side was not to be inverted")


@pytest.fixture(params=[(1, 1), (7, 5), (1024, 128)])
def sizes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_solve, "BLOCK", request.param[0])
    monkeypatch.setattr(_solve, "COLUMNS", request.param[1])


@pytest.mark.usefixtures("sizes")
@pytest.mark.parametrize(("u", "v"), [(0.0, 0.0), (0.5, 0.5), (0.3, 0.0)])
@pytest.mark.parametrize("weights", ["neither", "both"])
@pytest.mark.parametrize(("make", "settings", "dropout", "xi"), CASES)
def test_the_weights_are_those_of_a_dense_solve(
    make: Make, settings, dropout, xi, weights, u, v, monkeypatch
) -> None:
    monkeypatch.setattr(linear, "over_items", refuse)
    x = X if weights == "both" else (X > 0) * 1.0
    for precision in ("float64", "float32", "auto"):  # through the users it is float64 anyway
        model = make(
            l2=0.7, weights=weights, user_power=u, item_power=v, precision=precision, **settings
        ).fit(sp.csr_matrix(X))
        found = model.weights_.numpy()
        np.testing.assert_allclose(found, direct(x, 0.7, dropout, xi, u, v), rtol=5e-7, atol=1e-7)
        assert found.dtype == np.float32
        if xi == 0:
            assert (np.diag(found) == 0).all()


@pytest.mark.parametrize(("make", "settings", "dropout", "xi"), CASES)
@pytest.mark.parametrize("shape", [(61, 23), (23, 61), (31, 30)])
def test_both_sides_agree_in_any_shape(make: Make, settings, dropout, xi, shape, monkeypatch):
    x = sp.csr_matrix((RNG.random(shape) < 0.3) * 1.0)
    found = []
    for fewer, other in ((0, "over_users"), (100, "over_items")):
        monkeypatch.setattr(_solve, "FEWER", fewer)
        with monkeypatch.context() as patch:
            patch.setattr(linear, other, refuse)
            found.append(make(l2=2.0, **settings).fit(x).weights_.numpy())
    np.testing.assert_allclose(*found, rtol=1e-6, atol=1e-7)


def test_more_users_than_items_are_not_inverted(monkeypatch) -> None:
    monkeypatch.setattr(linear, "over_users", refuse)
    recae.EASE(l2=2.0).fit(sp.csr_matrix(X.T))
    recae.EASE(l2=2.0).fit(sp.csr_matrix(X[:, :30]))  # 23 users are not clearly fewer


def test_a_light_ridge_leaves_too_few_digits_for_the_users(monkeypatch) -> None:
    # The most popular item is had by 21 users: 21 / l2 is what `HEAVY` bounds.
    monkeypatch.setattr(linear, "over_users", refuse)
    found = recae.EASE(l2=1e-6).fit(sp.csr_matrix(X > 0))
    expected = direct((X > 0) * 1.0, 1e-6, 0.0, 0.0, 0.0, 0.0)
    np.testing.assert_allclose(found.weights_.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("l2", [0.005, 0.1, 10.0])
def test_popular_items_cost_no_digits(l2: float) -> None:
    # 400 users, of whom some items have nearly all: what is left of 1 is then a thousandth.
    rng = np.random.default_rng(2)
    x = (rng.random((400, 700)) < np.geomspace(0.95, 0.005, 700)) * 1.0
    found = recae.EASE(l2=l2).fit(sp.csr_matrix(x)).weights_.numpy()
    expected = direct(x, l2, 0.0, 0.0, 0.0, 0.0)
    np.testing.assert_allclose(found, expected, atol=2e-7 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("gigabytes", "precision", "over_users", "dtype"),
    [
        (9, "auto", True, "float64"),  # users 8 / 4 + 4 = 6, items 8 or 4
        (9, "float32", True, "float64"),
        (7, "auto", True, "float64"),
        (5, "auto", False, "float32"),
        (5, "float32", False, "float32"),
    ],
)
def test_memory_decides_the_side(gigabytes, precision, over_users, dtype, monkeypatch) -> None:
    # 31,623 items: 1e9 pairs, 8 GB in float64 and 4 in float32; 15,811 users: a quarter of that.
    monkeypatch.setattr(_solve, "total_memory", lambda: gigabytes * 1e9 / _solve.SPARE)
    args = ("EASE", 15_811, 31_623, 10.0, precision)
    if precision == "auto" and not over_users:
        with pytest.warns(recae.RecaeWarning, match="item-item matrix .*float32: .* 6.0 GB"):
            plan, _ = _solve.plan_solver(*args)
    else:
        plan, _ = _solve.plan_solver(*args)
    assert (plan.over_users, plan.dtype.name) == (over_users, dtype)


def test_what_does_not_fit_names_its_least_need(monkeypatch) -> None:
    monkeypatch.setattr(_solve, "total_memory", lambda: 3e9)
    with pytest.raises(recae.errors.CapacityError, match="6.0 GB .*user-user matrix .*float64"):
        _solve.plan_solver("EASE", 15_811, 31_623, 10.0, "float64")
    with pytest.raises(
        recae.errors.CapacityError, match="4.0 GB .*item-item matrix .*float32"
    ) as refused:
        _solve.plan_solver("EASE", 15_811, 31_623, 10.0, "auto")
    for other in (recae.ELSA, recae.SparseEASE, recae.PureSVD, recae.SVDAE):
        assert other.__name__ in str(refused.value)


def test_the_largest_catalogue_is_the_largest_that_is_taken(monkeypatch) -> None:
    monkeypatch.setattr(_solve, "total_memory", lambda: 24 * 2**30)
    n = 74_000  # 4 n^2 <= 0.85 x 25,769,803,776 bytes
    assert _solve.plan_solver("EASE", 10**6, n, 1.0, "float32")[0].dtype == np.float32
    with pytest.raises(recae.errors.CapacityError):
        _solve.plan_solver("EASE", 10**6, n + 1, 1.0, "float32")
