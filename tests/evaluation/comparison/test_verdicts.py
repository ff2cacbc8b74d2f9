"""Verdicts: the column `better`, and the names and numbers in the sentences."""

import re

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
    (line,) = verdicts(row())
    assert re.fullmatch(
        r"EDLAE .*better .*EASE .*0\.0011 \[0\.0004, 0\.0018\] .*ndcg@10 \(p = 0\.0002 .*Holm\)",
        line,
    )
    turned = row(a="EASE", b="EDLAE", difference=-0.0011, low=-0.0018, high=-0.0004)
    assert verdicts(turned) == verdicts(row())


def test_no_difference_says_what_could_have_been_shown():
    unclear = row(difference=-0.0003, low=-0.0017, high=0.0011, p_holm=0.41, better="")
    (line,) = verdicts(unclear)
    assert re.fullmatch(
        r"EDLAE .*EASE: no difference .*ndcg@10, -0\.0003 \[-0\.0017, 0\.0011\] "
        r"\(p = 0\.41 .*Holm\).* 0\.0010",
        line,
    )
    alone = row(better="", p_holm=1.0, low=np.nan, high=np.nan, detectable=np.nan)
    assert re.search(r"0\.0011 \[nan, nan\] \(p = 1\.00 .*Holm\)$", verdicts(alone)[0])


def test_p_is_the_larger_of_the_two():
    (line,) = verdicts(row(p_mean_holm=0.03))
    assert "(p = 0.03 " in line
    (line,) = verdicts(row(p_mean_holm=np.nan, better=""))
    assert "(p unknown " in line


def test_small_and_certain_is_still_readable():
    tiny = row(
        difference=0.0000123, low=0.00000912, high=0.0000152, p_holm=1e-30, p_mean_holm=1e-30
    )
    (line,) = verdicts(tiny)
    assert re.search(r" 0\.000012 \[0\.000009, 0\.000015\] .*\(p < 0\.0001 ", line)


def test_a_sentence_for_every_row_in_order():
    generator = np.random.default_rng(0)
    base = generator.random(300)
    reports = {"low": report(base), "high": report(base + generator.normal(0.1, 0.1, 300))}
    reports["same"] = report(base + generator.normal(0, 0.1, 300))
    frame = compare(reports, METRIC)
    assert frame["better"].tolist() == ["high", "", "high"]
    lines = verdicts(frame)
    assert re.match("high .*better .*low ", lines[0]) and re.match(
        "high .*better .*same ", lines[2]
    )
    assert re.match("low .*same: no difference ", lines[1])
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
    for worse, line in (("far", verdicts(frame)[0]), ("again", verdicts(frame)[2])):
        amount = r"1\.0000 \[1\.0000, 1\.0000\] .*miscalibration@5, .*less"
        assert re.match(f"near .*better .*{worse} .*{amount}", line)
