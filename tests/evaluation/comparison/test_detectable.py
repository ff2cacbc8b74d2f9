"""The detectable difference: the formula by hand, and the power it promises."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from recae import Report, compare
from recae.errors import ConfigError, DataError
from recae.evaluation.comparison import detectable_difference

METRIC = "ndcg@5"


def report(values, target="t"):
    return Report("m", pd.DataFrame({METRIC: values}), provenance={"target": target})


def test_two_reports_by_hand():
    a, b = report([0.5, 0.9, 0.4, 0.3]), report([0.4, 0.7, 0.1, 0.3])
    # Differences 0.1, 0.2, 0.3, 0: mean 0.15, squares about it 0.05, sd sqrt(0.05 / 3).
    error = math.sqrt(0.05 / 3 / 4)
    expected = (1.959964 + 0.841621) * error
    assert detectable_difference(a, b, metric=METRIC) == pytest.approx(expected, rel=1e-6)
    assert detectable_difference(b, a, metric=METRIC) == pytest.approx(expected, rel=1e-6)
    assert compare({"a": a, "b": b}, METRIC).at[0, "detectable"] == pytest.approx(
        expected, rel=1e-6
    )
    wider = detectable_difference(a, b, metric=METRIC, level=0.99, power=0.9)
    assert wider == pytest.approx((2.575829 + 1.281552) * error, rel=1e-6)


def test_one_report_by_hand():
    a = report([0.0, 1.0, 0.0, 1.0])
    error = math.sqrt(1 / 3) / 2
    found = detectable_difference(a, metric=METRIC)
    assert found == pytest.approx(2.801585 * math.sqrt(2) * error, rel=1e-6)
    shared = detectable_difference(a, metric=METRIC, correlation=0.75)
    assert shared == pytest.approx(2.801585 * math.sqrt(0.5) * error, rel=1e-6)


def test_a_correlation_foretells_the_paired_figure():
    """Two models of the same spread whose values correlate as said."""
    generator = np.random.default_rng(0)
    common, one, other = generator.normal(size=(3, 5000))
    a, b = report(common * 0.8 + one * 0.6), report(common * 0.8 + other * 0.6)  # correlation 0.64
    paired = detectable_difference(a, b, metric=METRIC)
    assert detectable_difference(a, metric=METRIC, correlation=0.64) == pytest.approx(
        paired, rel=0.05
    )
    assert detectable_difference(a, metric=METRIC) > paired * 1.5


def test_the_power_is_that_promised():
    generator = np.random.default_rng(1)
    users, runs = 400, 1000
    noise = generator.normal(size=(runs, users))
    detectable = detectable_difference(report(noise[0]), report(np.zeros(users)), metric=METRIC)
    true = detectable / noise[0].std(ddof=1)  # for a spread of exactly 1
    found = (stats.ttest_1samp(noise + true, 0, axis=1).pvalue < 0.05).mean()
    assert found == pytest.approx(0.8, abs=0.05)  # four standard deviations of Binomial(1000, 0.8)


def test_one_user_shows_nothing():
    assert math.isnan(detectable_difference(report([0.5]), metric=METRIC))
    row = compare({"a": report([0.5]), "b": report([0.1])}, METRIC).iloc[0]
    assert math.isnan(row["detectable"]) and math.isnan(row["low"]) and row["better"] == ""


def test_equal_reports_have_nothing_to_detect():
    a = report([0.1, 0.2])
    assert detectable_difference(a, a, metric=METRIC) == 0
    assert detectable_difference([a, a], [a, a], metric=METRIC) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": 1}, "level .*> 0 and < 1"),
        ({"power": 80}, "power .*> 0 and < 1"),
        ({"correlation": 1}, "correlation .*>= -1 and < 1"),
        ({"correlation": "high"}, "correlation .*'high'"),
        ({"correlation": float("nan")}, "correlation .*nan"),
        ({"metric": "ndgc@5"}, "mean 'ndcg@5'"),
        ({"other": report([0.2, 0.1]), "correlation": 0.5}, "correlation .*one report"),
    ],
)
def test_bad_requests_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        detectable_difference(report([0.1, 0.2]), **{"metric": METRIC} | options)


def test_reports_must_pair():
    with pytest.raises(DataError, match="another target"):
        detectable_difference(report([0.1, 0.2]), report([0.1, 0.2], target="u"), metric=METRIC)
