"""The bootstrap interval against the normal approximation, the binomial law and its promises."""

import math
from statistics import NormalDist

import numpy as np
import pytest
import torch

from recae.errors import ConfigError, DataError
from recae.metrics import bootstrap, bootstrap_interval, bootstrap_intervals


@pytest.mark.parametrize("count", [2_000, 300_000])  # many resamples at once; one in several parts
@pytest.mark.parametrize("level", [0.5, 0.95])
def test_bootstrap_against_the_normal_approximation(count, level) -> None:
    values = np.random.default_rng(7).beta(0.5, 2.0, size=count)
    error = values.std() / math.sqrt(count)
    reach = NormalDist().inv_cdf((1 + level) / 2) * error
    low, high = bootstrap_interval(values, level=level, resamples=600)
    # A quantile of 600 draws is itself off by 0.11 (at 95 %) or 0.06 (at 50 %) standard errors, one
    # standard deviation: sqrt(p (1 - p) / 600) / normal density. The seed is fixed.
    assert low == pytest.approx(values.mean() - reach, abs=0.25 * error)
    assert high == pytest.approx(values.mean() + reach, abs=0.25 * error)


def test_bootstrap_of_a_coin_is_binomial() -> None:
    # Four users, half of them 1: the mean is Binomial(4, 1/2) / 4, whose quantiles at 2.5 % and
    # 97.5 % are 0 and 1 (each has probability 1/16), and at 25 % and 75 % are 1/4 and 3/4 (5/16).
    values = [0.0, 1.0, math.nan, 1.0, 0.0]
    assert bootstrap_interval(values) == (0.0, 1.0)
    assert bootstrap_interval(values, level=0.5) == (0.25, 0.75)


def test_bootstrap_is_deterministic_and_private() -> None:
    values = np.random.default_rng(0).random(50)
    with_gaps = np.insert(values, [0, 3, 50], math.nan)
    state, torch_state = np.random.get_state()[1].copy(), torch.random.get_rng_state()
    first = bootstrap_interval(values, seed=3)
    assert bootstrap_interval(with_gaps, seed=3) == first
    assert bootstrap_interval(values, seed=4) != first
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    assert torch.equal(torch.random.get_rng_state(), torch_state)


@pytest.mark.parametrize("values", [[], [0.5], [math.nan, 0.5, math.nan]])
def test_bootstrap_of_too_few(values) -> None:
    assert all(math.isnan(end) for end in bootstrap_interval(values))


def test_bootstrap_of_equal_values_has_no_width() -> None:
    assert bootstrap_interval([0.25] * 1000) == (0.25, 0.25)


@pytest.mark.parametrize(
    "values, options, error, message",
    [
        ([0.0, 1.0], {"level": 1.0}, ConfigError, "level .*> 0 and < 1"),
        ([0.0, 1.0], {"level": 95}, ConfigError, "level .*> 0 and < 1"),
        ([0.0, 1.0], {"resamples": 0}, ConfigError, "resamples .*>= 1"),
        ([0.0, 1.0], {"resamples": 10.5}, ConfigError, "resamples .*>= 1"),
        ([0.0, 1.0], {"seed": -1}, ConfigError, "seed .*>= 0"),
        ([[0.0, 1.0]], {}, DataError, r"shape \(1, 2\)"),
        ([0.0, math.inf], {}, DataError, "values .*finite"),
    ],
)
def test_bootstrap_options(values, options, error, message) -> None:
    with pytest.raises(error, match=message):
        bootstrap_interval(values, **options)


def test_columns_together_have_the_intervals_they_have_alone(monkeypatch) -> None:
    monkeypatch.setattr(bootstrap, "BOOTSTRAP_CELLS", 64)  # columns longer and shorter than that
    rng = np.random.default_rng(0)
    whole, other, gaps = rng.random(90), rng.random(90), rng.random(90)
    gaps[[3, 50]] = math.nan
    same_gaps = np.where(np.isnan(gaps), math.nan, 1 - gaps)
    columns = [whole, gaps, other, same_gaps, [0.5], [math.nan] * 3, rng.random(20).tolist()]
    together = bootstrap_intervals(columns, seed=5, resamples=40)
    alone = [bootstrap_interval(column, seed=5, resamples=40) for column in columns]
    assert np.isnan(together[4:6]).all()
    del together[4:6], alone[4:6]
    assert together == alone
    assert bootstrap_intervals([]) == []


def test_columns_that_share_draws_draw_once(monkeypatch) -> None:
    calls = []
    draws = bootstrap._draws
    monkeypatch.setattr(bootstrap, "_draws", lambda *about: calls.append(about) or draws(*about))
    bootstrap_intervals([[0.0, 1.0, 0.5], [0.1, 0.2, 0.3], [0.0, 1.0, math.nan]])
    assert [count for count, _, _ in calls] == [3, 2]
