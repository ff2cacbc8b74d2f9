"""GraphFilter against the equations of its papers, written out with dense matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.polynomial import chebyshev

import recae
from recae.data.splits import Fold
from recae.errors import TrainingError
from recae.models.spectral import _graph_scores, graph_filter

RNG = np.random.default_rng(5)
X = (RNG.random((60, 20)) < 0.25) * 1.0
X[3], X[:, 4] = 0, 0  # a user without items, and an item without users
NEW = (RNG.random((7, 20)) < 0.2) * 1.0
USERS, ITEMS = X.sum(1).clip(1), X.sum(0).clip(1)
ALL = 20  # as many directions as there are items: nothing is left to the slope


SIZES = {"factors": (0, 1 << 23), "factors in parts": (0, 2 * len(X)), "table": (4096, 1 << 23)}


@pytest.fixture(params=SIZES.values(), ids=SIZES, autouse=True)
def sizes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The items up to which all weights are held, and users' shares that are dense at a time."""
    few, cells = request.param
    monkeypatch.setattr(graph_filter, "FEW", few)
    monkeypatch.setattr(_graph_scores, "CELLS", cells)


def normalised(u: float = 0.5, v: float = 0.5) -> np.ndarray:
    return X / USERS[:, None] ** u / ITEMS**v


def scores(**settings: Any) -> np.ndarray:
    return recae.GraphFilter(**settings).fit(sp.csr_matrix(X)).score(sp.csr_matrix(NEW))


def leading(z: np.ndarray, k: int) -> np.ndarray:
    return np.linalg.svd(z)[2][:k].T


def preset(name: str, **others: Any) -> dict[str, Any]:
    return recae.GraphFilter.presets[name] | others


@pytest.mark.parametrize("latent", [3, ALL])
def test_gf_cf_needs_no_more_directions_than_its_low_pass(latent: int) -> None:
    z = normalised()
    v = leading(z, 3)
    low = (NEW / ITEMS**0.5) @ v @ v.T * ITEMS**0.5
    found = scores(**preset("gf-cf", latent=latent, cut=3))
    np.testing.assert_allclose(found, NEW @ z.T @ z + 0.3 * low, atol=1e-5)


def test_cheby_cf_is_a_polynomial_of_the_laplacian() -> None:
    z = normalised()
    laplacian = np.eye(20) - 2 * z.T @ z

    def plateau(x: np.ndarray) -> np.ndarray:
        below = 0.5 + 0.5 * np.abs(x) ** 1.5
        return np.where(x < 0, below, 0.5 - 0.5 * np.abs(x) ** 1.5)

    coefficients = chebyshev.chebinterpolate(plateau, 8)  # type: ignore[arg-type]
    terms = [np.eye(20), laplacian]
    for _ in range(7):
        terms.append(2 * laplacian @ terms[-1] - terms[-2])
    v = leading(z, 6)
    applied = sum(c * t for c, t in zip(coefficients, terms, strict=True)) + 0.2 * v @ v.T
    expected = NEW / ITEMS**0.4 @ applied * ITEMS**0.4
    found = scores(**preset("cheby-cf", latent=ALL, cut=6))
    # The constant term repeats the history, which is never recommended.
    np.testing.assert_allclose(found[NEW == 0], expected[NEW == 0], atol=1e-5)


def test_bspm_blurs_and_sharpens() -> None:
    z = normalised()
    s, v = z.T @ z, leading(z, 6)
    low = (NEW / ITEMS**0.5) @ v @ v.T * ITEMS**0.5
    r = NEW @ s + 0.2 * low

    def change(state: np.ndarray) -> np.ndarray:
        return -state @ s

    h = 2.5  # the classical Runge-Kutta step
    k1 = change(r)
    k2 = change(r + h / 2 * k1)
    k3 = change(r + h / 2 * k2)
    k4 = change(r + h * k3)
    expected = r + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    found = scores(**preset("bspm", latent=ALL, cut=6))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_ridge_is_a_ridge_regression() -> None:
    z = normalised(0.25, 0.5)
    s = z.T @ z
    l2 = 3 * np.diag(s).mean()
    b = np.linalg.solve(s + l2 * np.eye(20), s) * l2
    expected = NEW / ITEMS**0.1 @ b * ITEMS**0.3
    found = scores(latent=ALL, ridge=3, low_pass=0, input_power=0.1, output_power=-0.3)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("response", ["ridge", "linear", "plateau", "sharpened"])
def test_few_directions_are_filtered_exactly_and_the_rest_has_one_slope(response: str) -> None:
    z = normalised(0.25, 0.5)
    s, v = np.linalg.svd(z)[1:]
    some, rest = v[:5].T, v[5:].T
    settings: dict[str, Any] = dict(response=response, low_pass=0, shape=1.5)
    # One history for each direction, as scores are linear in it.
    wholly = recae.GraphFilter(latent=ALL, **settings).fit(sp.csr_matrix(X))
    partly = recae.GraphFilter(latent=5, **settings).fit(sp.csr_matrix(X))
    whole, part = (m.score(sp.csr_matrix(np.eye(20))) / ITEMS**0.25 for m in (wholly, partly))
    np.testing.assert_allclose(some.T @ part, some.T @ whole, atol=1e-5)
    slopes = np.diag(rest.T @ part @ rest)[:14] / s[5:19] ** 2
    np.testing.assert_allclose(slopes, slopes[0], rtol=1e-3)


def test_parts_add_up_and_similar_items_are_scores_of_single_histories() -> None:
    model = recae.GraphFilter(latent=4, cut=2, low_pass_power=0.5).fit(sp.csr_matrix(X))
    alone = model.score(sp.csr_matrix(np.eye(20)))
    np.testing.assert_allclose(NEW @ alone, model.score(sp.csr_matrix(NEW)), atol=1e-5)
    found = model.similar_items(7, k=3)["score"]
    others = np.sort(np.delete(alone[7], 7))[::-1]
    np.testing.assert_allclose(found, others[:3], rtol=1e-5)


@pytest.mark.parametrize("response", ["ridge", "linear", "plateau", "sharpened"])
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_weights_that_are_too_large_are_an_error_and_no_warnings_of_numpy(response: str) -> None:
    model = recae.GraphFilter(latent=4, response=response, weights="both", item_power=0)
    with pytest.raises(TrainingError, match="float32"):
        model.fit(sp.csr_matrix(X * 3e38))


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("power", [None, 0.5])
def test_a_low_pass_wider_than_the_rank_passes_the_span_of_histories(
    turned: bool, power: float | None
) -> None:
    few = X[:5] if not turned else np.tile(X[:5], (9, 1))
    found = []
    settings: dict[str, Any] = dict(user_power=0, item_power=0, low_pass_power=power)
    for gain in (0.0, 1.0):
        model = recae.GraphFilter(latent=12, cut=12, low_pass=gain, **settings)
        found.append(model.fit(sp.csr_matrix(few)).score(sp.csr_matrix(NEW)))
    scale = few.sum(0).clip(1) ** (power or 0)
    after = few.sum(0).clip(1) ** (0.25 if power is None else power)
    expected = (NEW / scale) @ np.linalg.pinv(few) @ few * after
    np.testing.assert_allclose(found[1] - found[0], expected, atol=1e-4)


def test_a_search_decomposes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = []
    original = graph_filter.truncated_svd

    def noted(*given: Any, **options: Any) -> Any:
        counted.append(1)
        return original(*given, **options)

    monkeypatch.setattr(graph_filter, "truncated_svd", noted)
    data = recae.Interactions.from_csr(sp.csr_matrix(X))
    held = recae.Interactions.from_csr(sp.csr_matrix(NEW))
    model = recae.GraphFilter(latent=6, cut=3)
    fold = Fold(data.select_users(range(7)), held)
    tuned = recae.tune(model, data, fold, "recall@5", trials=5, progress=False)
    assert len(tuned.trials) == 5 and len(counted) == 1
    again = tuned.model.clone().fit(data)  # outside of a search nothing is kept
    assert len(counted) == 2
    np.testing.assert_array_equal(again.score(data), tuned.model.score(data))
