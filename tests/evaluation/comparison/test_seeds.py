"""Several seeds of a model: planted luck, arithmetic, and the law of one seed."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from recae import Report, compare
from recae.errors import ConfigError, DataError
from recae.evaluation.comparison import detectable_difference
from recae.evaluation.comparison import significance as two_level

METRIC = "ndcg@5"


def report(values, users=None, target="t"):
    index = pd.Index(range(len(values)) if users is None else users)
    return Report("m", pd.DataFrame({METRIC: values}, index=index), provenance={"target": target})


def seeds(generator, base, count, luck, rest):
    """Reports whose values are base + one number a seed + noise."""
    shift = luck * generator.normal(size=(count, 1))
    return [report(row) for row in base + shift + rest * generator.normal(size=(count, len(base)))]


def test_one_report_in_a_list_is_that_report():
    generator = np.random.default_rng(0)
    a, b = report(generator.random(50)), report(generator.random(50))
    assert compare({"a": [a], "b": (b,)}, METRIC).equals(compare({"a": a, "b": b}, METRIC))


def test_a_model_without_luck_may_be_given_many_times():
    generator = np.random.default_rng(1)
    a, b = report(generator.random(80)), report(generator.random(80) + 0.05)
    once = compare({"a": a, "b": b}, METRIC).iloc[0]
    often = compare({"a": [a] * 4, "b": b}, METRIC).iloc[0]
    for name in ("mean_a", "difference", "p"):
        assert often[name] == pytest.approx(once[name], abs=1e-12), name
    # A third of a percent wider: Student's t with 79 degrees of freedom, not the normal.
    for name in ("low", "high"):
        assert often[name] == pytest.approx(once[name], abs=0.002), name


def test_users_are_averaged_over_the_seeds_and_matched_by_id():
    first = report([0.2, 0.4, 0.9], users=["u", "v", "w"])
    second = report([0.5, 0.8, 0.6], users=["w", "v", "u"])
    other = report([0.1, 0.3, 0.6], users=["u", "v", "w"])
    row = compare({"a": [first, second], "b": other}, METRIC).iloc[0]
    # u (0.2 + 0.6) / 2, v (0.4 + 0.8) / 2, w (0.9 + 0.5) / 2
    assert row["mean_a"] == pytest.approx((0.4 + 0.6 + 0.7) / 3)
    assert row["difference"] == pytest.approx((0.3 + 0.3 + 0.1) / 3)


def test_the_interval_knows_both_sources():
    """Planted: users sd 1 over 400, luck sd 0.3 of 20 seeds each, both sides."""
    generator = np.random.default_rng(2)
    base, other = generator.normal(size=(2, 400)) / np.sqrt(2)
    a, b = (seeds(generator, part, 20, 0.3, 0.0) for part in (base, other))
    row = compare({"a": a, "b": b}, METRIC, resamples=4000).iloc[0]
    values = [np.stack([r.per_user[METRIC] for r in side]) for side in (a, b)]
    parts = [
        (values[0].mean(0) - values[1].mean(0)).var(ddof=1) / 400,
        *(side.mean(1).var(ddof=1) / 20 for side in values),
    ]
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / 399 + (parts[1] ** 2 + parts[2] ** 2) / 19)
    error = np.sqrt(sum(parts))
    half = stats.t.ppf(0.975, freedom) * error
    assert (row["high"] - row["low"]) / 2 == pytest.approx(half, rel=0.05)
    found = (stats.t.ppf(0.975, freedom) + stats.t.ppf(0.8, freedom)) * error
    assert row["detectable"] == pytest.approx(found)
    assert detectable_difference(a, b, metric=METRIC) == row["detectable"]
    p = 2 * stats.t.sf(abs(row["difference"]) / error, freedom)
    assert row["p_mean_holm"] == pytest.approx(p)
    # Of the fitted models alone, users are all that varies: the interval would be narrower.
    averaged = {"a": report(values[0].mean(0)), "b": report(values[1].mean(0))}
    alone = compare(averaged, METRIC).iloc[0]
    assert alone["high"] - alone["low"] < 0.7 * (row["high"] - row["low"])
    assert alone["p"] == row["p"]


@pytest.mark.parametrize("count", [2, 5])
def test_luck_alone_is_seldom_called_better(count):
    generator = np.random.default_rng(3)
    runs, better, tested = 150, 0, 0
    for _ in range(runs):
        base = generator.normal(size=100)
        both = {name: seeds(generator, base, count, 0.1, 0.1) for name in "ab"}
        row = compare(both, METRIC, resamples=200).iloc[0]
        better += row["better"] != ""
        tested += row["p"] < 0.05
    # Binomial(150, 0.05) is at most 17 with probability 0.9997; the test of the fitted models
    # alone, which knows nothing of luck, is far off.
    assert better <= 17 and tested > 50


def test_the_same_seed_gives_the_same_frame():
    generator = np.random.default_rng(4)
    base = generator.normal(size=60)
    reports = {
        name: seeds(generator, base, n, 0.1, 0.2) for name, n in {"a": 1, "b": 3, "c": 4}.items()
    }
    frame = compare(reports, METRIC)
    assert frame.equals(compare(reports, METRIC))
    assert not frame.equals(compare(reports, METRIC, seed=1))
    # A pair is drawn alike whatever stands beside it; models are drawn apart from each other.
    pair = compare({name: reports[name] for name in "bc"}, METRIC)
    assert pair.loc[0, ["low", "high"]].tolist() == frame.loc[2, ["low", "high"]].tolist()
    assert compare({1: reports["b"], 2: reports["c"]}, METRIC).at[0, "b"] == 2  # any name will do
    twins = compare({"a": reports["b"], "b": reports["b"]}, METRIC).iloc[0]
    assert twins["difference"] == 0 and twins["low"] < 0 < twins["high"] and twins["better"] == ""


def test_what_is_no_report_is_named():
    fine = report([0.1, 0.2])
    for wrong, message in (
        ([], "'b' .*Report.*empty sequence"),
        ([fine, 3], "'b' .*Report.*not int"),
        (None, "'b' .*Report.*not NoneType"),
    ):
        with pytest.raises(ConfigError, match=message):
            compare({"a": fine, "b": wrong}, METRIC)
    with pytest.raises(DataError, match=r"'b' \(report 2\) .*target .*'a'"):
        compare({"a": fine, "b": [fine, report([0.1, 0.2], target="u")]}, METRIC)
    with pytest.raises(DataError, match="'b' has 1 infinite values"):
        compare({"a": fine, "b": report([0.1, float("inf")])}, METRIC)


def test_reports_are_resampled_and_not_their_pairs(monkeypatch):
    """Of 7 models there are 21 pairs; what they cost is that of 7 models, with their seeds."""
    columns = []

    def counted(given, resamples, seed):
        columns.append(len(given))
        return np.zeros((len(given), resamples))

    monkeypatch.setattr(two_level, "resampled_means", counted)
    reports = {str(n): report(np.linspace(0, 1, 9) ** n) for n in range(1, 8)}
    compare(reports | {"1": [reports["1"]] * 3}, METRIC)
    assert columns == [6 + 3]


def test_names_need_not_be_text():
    three = [report([0.1, 0.2, 0.4]), report([0.2, 0.2, 0.3])]
    frame = compare({1: three, 2: three[0]}, METRIC)
    assert frame[["a", "b"]].to_numpy().tolist() == [[1, 2]]
