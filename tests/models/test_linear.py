"""The linear family against the problems they solve: direct constrained least squares."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse as sp

import recae
from recae.models.linear import _solve

RNG = np.random.default_rng(4)
X = (RNG.random((70, 19)) < 0.25) * RNG.integers(1, 4, (70, 19)).astype(float)
ONES = (X > 0) * 1.0


def expected_loss(x: np.ndarray, b: np.ndarray, l2: float, dropout: float) -> float:
    """E |X - D(X) B|^2 + l2 |B|^2, D dropping entries with that probability and scaling the rest by
    1 / (1 - p); written out over mean and variance: the variance of a kept entry x is x^2 p/(1-p).
    """
    noise = (x**2).sum(0) * dropout / (1 - dropout)
    return float(((x - x @ b) ** 2).sum() + (noise[:, None] * b**2).sum() + l2 * (b**2).sum())


def direct(x: np.ndarray, l2: float, dropout: float, xi: float) -> np.ndarray:
    """argmin of the loss subject to diag(B) <= xi, column by column.

    A column is a convex quadratic with one bound: the free minimum, or the one on the bound.
    """
    gram = x.T @ x
    system = gram + np.diag(l2 + np.diag(gram) * dropout / (1 - dropout))
    n = len(gram)
    b = np.linalg.solve(system, gram)
    for j in np.flatnonzero(np.diag(b) > xi):
        others = np.delete(np.arange(n), j)
        right = gram[others, j] - system[others, j] * xi
        b[others, j] = np.linalg.solve(system[np.ix_(others, others)], right)
        b[j, j] = xi
    return b


CASES = [
    (lambda **k: recae.EASE(**k), 0.0, 0.0),
    (lambda **k: recae.EDLAE(dropout=0.4, **k), 0.4, 0.0),
    (lambda **k: recae.RLAE(xi=0.1, **k), 0.0, 0.1),
    (lambda **k: recae.RLAE(xi=0.25, **k), 0.0, 0.25),
    (lambda **k: recae.RLAE(xi=1.0, **k), 0.0, 1.0),
    (lambda **k: recae.RDLAE(dropout=0.3, xi=0.15, **k), 0.3, 0.15),
    (lambda **k: recae.RDLAE(dropout=0.8, xi=0.09, **k), 0.8, 0.09),
]


@pytest.mark.parametrize(("make", "dropout", "xi"), CASES)
@pytest.mark.parametrize(("precision", "atol"), [("float64", 1e-7), ("float32", 4e-6)])
@pytest.mark.parametrize("weights", ["neither", "both"])
def test_the_weights_solve_the_problem(
    make, dropout, xi, precision, atol, weights, monkeypatch
) -> None:
    monkeypatch.setattr(_solve, "BLOCK", 5)
    x = X if weights == "both" else ONES
    model = make(l2=3.0, precision=precision, weights=weights).fit(sp.csr_matrix(X))
    np.testing.assert_allclose(model.weights_.numpy(), direct(x, 3.0, dropout, xi), atol=atol)


@pytest.mark.parametrize(("dropout", "xi"), [(0.0, 0.0), (0.4, 0.0), (0.0, 0.1), (0.3, 0.15)])
def test_the_direct_solution_is_the_minimum(dropout: float, xi: float) -> None:
    # An optimiser that knows nothing of closed forms, on few items.
    x = ONES[:, :5]
    bounds = [
        (None, xi) if i == j else (None, None) for i, j in itertools.product(range(5), repeat=2)
    ]
    found = scipy.optimize.minimize(
        lambda b: expected_loss(x, b.reshape(5, 5), 3.0, dropout),
        np.zeros(25),
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": 9999, "ftol": 1e-15, "gtol": 1e-9},
    )
    b = direct(x, 3.0, dropout, xi)
    assert expected_loss(x, b, 3.0, dropout) <= found.fun + 1e-9
    np.testing.assert_allclose(b, found.x.reshape(5, 5), atol=2e-4)


def test_the_expected_loss_is_that_of_dropout() -> None:
    b = RNG.standard_normal((19, 19)) / 9
    kept = RNG.random((4000, *ONES.shape)) >= 0.3
    losses = ((ONES - (ONES * kept / 0.7) @ b) ** 2).sum((1, 2)) + 3.0 * (b**2).sum()
    standard_error = losses.std() / len(losses) ** 0.5
    assert abs(losses.mean() - expected_loss(ONES, b, 3.0, 0.3)) < 4 * standard_error


def test_the_family_meets_at_its_ends() -> None:
    x = sp.csr_matrix(X)
    ease = recae.EASE(l2=2.0).fit(x).weights_.numpy()
    for other in (
        recae.EDLAE(l2=2.0, dropout=0.0),
        recae.RLAE(l2=2.0, xi=0.0),
        recae.RDLAE(l2=2.0, dropout=0.0, xi=0.0),
    ):
        np.testing.assert_allclose(other.fit(x).weights_.numpy(), ease, atol=1e-7)
    edlae = recae.EDLAE(l2=2.0, dropout=0.5).fit(x).weights_.numpy()
    rdlae = recae.RDLAE(l2=2.0, dropout=0.5, xi=0.0).fit(x).weights_.numpy()
    np.testing.assert_allclose(rdlae, edlae, atol=1e-7)
    ridge = np.linalg.solve(ONES.T @ ONES + 2 * np.eye(19), ONES.T @ ONES)
    np.testing.assert_allclose(recae.RLAE(l2=2.0, xi=1.0).fit(x).weights_.numpy(), ridge, atol=1e-6)


@pytest.mark.parametrize("make", [recae.EASE, recae.EDLAE])
def test_no_item_speaks_for_itself(make) -> None:
    for precision in ("float64", "float32"):
        weights = make(l2=0.5, precision=precision).fit(sp.csr_matrix(X)).weights_
        assert (weights.diag() == 0).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: recae.EDLAE(dropout=1.0), "dropout .*EDLAE .*>= 0 and <= 0.99"),
        (lambda: recae.RLAE(xi=-0.1), "xi .*RLAE .*>= 0 and <= 1"),
        (lambda: recae.RDLAE(l2=0), "l2 .*RDLAE .*> 0"),
    ],
)
def test_settings_out_of_range_are_named(make, message: str) -> None:
    with pytest.raises(recae.ConfigError, match=message):
        make().fit(sp.csr_matrix(X))


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize(("u", "v"), [(0.5, 0.5), (0.3, 0.0), (0.0, 0.4)])
@pytest.mark.parametrize("make", [recae.EASE, recae.RDLAE])
def test_degrees_scale_the_input_and_the_result_back(make, u, v, precision, monkeypatch) -> None:
    monkeypatch.setattr(_solve, "BLOCK", 5)
    users, items = ONES.sum(1) ** -u, ONES.sum(0) ** -v
    scaled = users[:, None] * ONES * items
    dropout, xi = (0.3, 0.3) if make is recae.RDLAE else (0.0, 0.0)
    b = items[:, None] * direct(scaled, 0.8, dropout, xi) / items
    model = make(l2=0.8, user_power=u, item_power=v, precision=precision)
    found = model.fit(sp.csr_matrix(X)).weights_.numpy()
    np.testing.assert_allclose(found, b, atol=1e-7 if precision == "float64" else 4e-6)


def test_a_heavy_ridge_is_the_linear_filter_of_gf_cf() -> None:
    # Shen et al. (CIKM 2021): R' R D_I-scaled, with R = D_U^-1/2 X D_I^-1/2; up to a factor, and
    # without what an item says of itself.
    users, items = ONES.sum(1) ** -0.5, ONES.sum(0) ** -0.5
    r = users[:, None] * ONES * items
    filtered = items[:, None] * (r.T @ r) / items
    np.fill_diagonal(filtered, 0)
    model = recae.EASE(l2=1e6, user_power=0.5, item_power=0.5).fit(sp.csr_matrix(X))
    np.testing.assert_allclose(1e6 * model.weights_.numpy(), filtered, rtol=1e-4, atol=1e-6)
