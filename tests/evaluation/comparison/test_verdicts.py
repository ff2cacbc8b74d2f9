"""Verdicts: the column `better`, and the sentences."""

import numpy as np
import pandas as pd
import pytest

from recae import Report, compare
from recae.errors import ConfigError
from recae.evaluation.comparison import verdicts

METRIC = "ndcg@10"


def report(values):
    return Report("m", pd.DataFrame({METRIC: values}))


def row(**changes):
    """A row of a comparison, with these values."""
    usual = {"metric": METRIC, "a": "EDLAE", "b": "EASE", "difference": 0.0011, "low": 0.0004}
    usual |= {
        "high": 0.0018,
        "p_holm": 0.0002,
        "p_mean_holm": 0.0001,
        "detectable": 0.00101,
        "better": "EDLAE",
    }
    return pd.DataFrame([usual | changes])


def test_the_better_one_is_named_first():
    assert verdicts(row()) == [
        "EDLAE is better than EASE by 0.0011 [0.0004, 0.0018] in ndcg@10 (p = 0.0002 after Holm)"
    ]
    turned = row(a="EASE", b="EDLAE", difference=-0.0011, low=-0.0018, high=-0.0004)
    assert verdicts(turned) == verdicts(row())


def test_no_difference_says_what_could_have_been_shown():
    unclear = row(difference=-0.0003, low=-0.0017, high=0.0011, p_holm=0.41, better="")
    assert verdicts(unclear) == [
        "EDLAE and EASE: no difference shown in ndcg@10, -0.0003 [-0.0017, 0.0011] (p = 0.41 after "
        "Holm); such a test alone could have shown 0.0010"
    ]
    alone = row(better="", p_holm=1.0, low=np.nan, high=np.nan, detectable=np.nan)
    assert verdicts(alone)[0].endswith("0.0011 [nan, nan] (p = 1.00 after Holm)")


def test_the_less_certain_test_is_told():
    (line,) = verdicts(row(p_mean_holm=0.03))
    assert "(p = 0.03 after Holm)" in line
    (line,) = verdicts(row(p_mean_holm=np.nan, better=""))
    assert "(p unknown after Holm)" in line


def test_small_and_certain_is_still_readable():
    tiny = row(
        difference=0.0000123, low=0.00000912, high=0.0000152, p_holm=1e-30, p_mean_holm=1e-30
    )
    assert verdicts(tiny) == [
        "EDLAE is better than EASE by 0.000012 [0.000009, 0.000015] in ndcg@10 "
        "(p < 0.0001 after Holm)"
    ]


def test_a_sentence_for_every_row_in_order():
    generator = np.random.default_rng(0)
    base = generator.random(300)
    reports = {"low": report(base), "high": report(base + generator.normal(0.1, 0.1, 300))}
    reports["same"] = report(base + generator.normal(0, 0.1, 300))
    frame = compare(reports, METRIC)
    assert frame["better"].tolist() == ["high", "", "high"]
    lines = verdicts(frame)
    assert [line.split(" by ")[0] for line in (lines[0], lines[2])] == [
        "high is better than low",
        "high is better than same",
    ]
    assert lines[1].startswith("low and same: no difference shown")
    assert verdicts(frame.iloc[:0]) == []


def test_all_must_agree():
    """Skewed differences with mean 0: the signed-rank test rejects symmetry, the mean is 0."""
    skewed = np.random.default_rng(1).lognormal(size=2000)
    frame = compare({"a": report(skewed - skewed.mean()), "b": report(np.zeros(2000))}, METRIC)
    assert frame.at[0, "p_holm"] < 1e-6 and frame.at[0, "low"] < 0 < frame.at[0, "high"]
    assert frame.at[0, "p_mean_holm"] == pytest.approx(1)
    assert frame.at[0, "better"] == ""


def test_a_stricter_level_shows_less():
    values = np.random.default_rng(2).normal(0.25, 1, 100)
    reports = {"a": report(values), "b": report(np.zeros(100))}
    assert compare(reports, METRIC).at[0, "better"] == "a"
    assert compare(reports, METRIC, level=0.999).at[0, "better"] == ""


def test_another_frame_is_refused():
    with pytest.raises(ConfigError, match="no column 'detectable'"):
        verdicts(row().drop(columns="detectable"))


def test_where_less_is_better_the_lower_one_is() -> None:
    base = np.random.default_rng(0).random(50)
    users = {"far": base + 1, "near": base, "again": base + 1}
    reports = {n: Report("m", pd.DataFrame({"miscalibration@5": v})) for n, v in users.items()}
    frame = compare(reports, "miscalibration@5")
    assert frame["better"].tolist() == ["near", "", "near"]
    assert frame["difference"].tolist() == pytest.approx([1, 0, -1])
    assert [line.partition(" (p")[0] for line in (verdicts(frame)[0], verdicts(frame)[2])] == [
        "near is better than far by 1.0000 [1.0000, 1.0000] in miscalibration@5, where less is "
        "better,",
        "near is better than again by 1.0000 [1.0000, 1.0000] in miscalibration@5, where less is "
        "better,",
    ]
