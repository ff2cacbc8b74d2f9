"""Comparing: scipy and arithmetic as oracles, a simulated null, and reports read back."""

import errno
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel, wilcoxon

from recae import Report, compare
from recae.errors import ConfigError, DataError, StorageError
from recae.report import comparison, plot_comparison


def report(values, users=None, target="t", **more):
    index = pd.Index(range(len(values)) if users is None else users)
    return Report(
        "m", pd.DataFrame({"ndcg@5": values}, index=index), provenance={"target": target}, **more
    )


def three(seed=0, n=60):
    generator = np.random.default_rng(seed)
    base = generator.random(n)
    return {
        "a": report(base),
        "b": report(base + generator.normal(0.02, 0.1, n)),
        "c": report(base + generator.normal(0.1, 0.1, n)),
    }


def test_every_pair_is_that_of_scipy():
    reports = three()
    frame = compare(reports, "ndcg@5")
    assert frame[["a", "b"]].to_numpy().tolist() == [["a", "b"], ["a", "c"], ["b", "c"]]
    for row in frame.itertuples():
        one, other = (reports[name].per_user["ndcg@5"].to_numpy() for name in (row.a, row.b))
        assert row.p == pytest.approx(wilcoxon(one, other).pvalue)
        assert row.difference == pytest.approx(one.mean() - other.mean())
        assert (row.mean_a, row.mean_b) == (one.mean(), other.mean())
        # For means of 60 the percentile interval is near the normal one.
        half = 1.96 * (one - other).std() / np.sqrt(60)
        assert row.low == pytest.approx(row.difference - half, abs=half / 4)
        assert row.high == pytest.approx(row.difference + half, abs=half / 4)


def test_holm_is_stepwise():
    # By hand: the least p times 3, the next times 2, the last times 1, never falling.
    frame = compare(three(), "ndcg@5").sort_values("p")
    p = frame["p"].tolist()
    first = min(3 * p[0], 1)
    second = max(first, min(2 * p[1], 1))
    assert frame["p_holm"].tolist() == pytest.approx([first, second, max(second, p[2])])


def test_the_mean_is_tested_as_scipy_does():
    reports = three()
    frame = compare(reports, "ndcg@5")
    pairs = [("a", "b"), ("a", "c"), ("b", "c")]
    p = [
        ttest_rel(*(reports[name].per_user["ndcg@5"].to_numpy() for name in pair)).pvalue
        for pair in pairs
    ]
    order = np.argsort(p)
    first = min(3 * p[order[0]], 1)
    second = max(first, min(2 * p[order[1]], 1))
    expected = np.empty(3)
    expected[order] = [first, second, max(second, p[order[2]])]
    assert frame["p_mean_holm"].to_numpy() == pytest.approx(expected)


def test_it_prints_whole():
    frame = compare(three(), "ndcg@5")
    head, *rows = str(frame).splitlines()
    assert [*head.split(), "note"] == list(frame.columns) and len(rows) == 3
    assert all(len(line) < 140 for line in (head, *rows))
    assert rows[2].split()[:3] == ["ndcg@5", "b", "c"] and rows[2].endswith("c")
    assert f"{frame.at[2, 'difference']:.4g}" in rows[2]


def test_against_a_baseline():
    frame = compare(three(), "ndcg@5", baseline="b")
    assert frame[["a", "b"]].to_numpy().tolist() == [["a", "b"], ["c", "b"]]
    assert frame.equals(compare(three(), "ndcg@5", baseline="b"))
    assert not frame.equals(compare(three(), "ndcg@5", baseline="b", seed=1))


def test_users_are_matched_by_id_and_those_without_target_do_not_count():
    nan = float("nan")
    a = report([0.5, nan, 0.9, 0.4], users=["u", "v", "w", "x"])
    b = report([0.1, 0.7, 0.4, nan], users=["x", "w", "u", "v"])
    row = compare({"a": a, "b": b}, "ndcg@5").iloc[0]
    assert row["difference"] == pytest.approx((0.1 + 0.2 + 0.3) / 3)
    assert row["p"] == 0.25  # all three are positive: 2 of 2^3 signs are as extreme


def test_equal_reports_do_not_differ():
    row = compare({"a": report([0.1, 0.2]), "b": report([0.1, 0.2])}, "ndcg@5").iloc[0]
    assert (row["difference"], row["low"], row["high"], row["p"]) == (0, 0, 0, 1)
    assert (row["p_mean_holm"], row["better"]) == (1, "")
    # The same gain for everybody leaves no doubt about the mean.
    row = compare({"a": report([0.5, 0.75]), "b": report([0.25, 0.5])}, "ndcg@5").iloc[0]
    assert (row["p_mean_holm"], row["p"]) == (0, 0.5)


def test_zero_differences_leave_the_test_and_stay_in_the_mean():
    a, b = report([0.5, 0.9, 0.4, 0.3]), report([0.4, 0.7, 0.1, 0.3])
    row = compare({"a": a, "b": b}, "ndcg@5").iloc[0]
    assert row["difference"] == pytest.approx(0.6 / 4) and row["p"] == 0.25


def test_rounding_makes_no_ranks():
    # Ten users gain 0.2 and ten lose 0.2, but 0.7 - 0.5 is less than 0.4 - 0.2 in the last bit.
    # All ranks are tied, and the sums of both signs are the same.
    a, b = report([0.7, 0.2] * 10), report([0.5, 0.4] * 10)
    assert compare({"a": a, "b": b}, "ndcg@5").at[0, "p"] == pytest.approx(1)
    # What is nothing but rounding is no difference: (0.1 + 0.2 + 0.3) / 3 is not 0.2.
    seeds = [report([value] * 8) for value in (0.1, 0.2, 0.3)]
    assert compare({"a": seeds, "b": report([0.2] * 8)}, "ndcg@5").at[0, "p"] == 1


def test_a_null_is_rejected_about_as_often_as_stated():
    generator = np.random.default_rng(0)
    tests = 300
    alarms = sum(
        compare(
            {"a": report(generator.random(40)), "b": report(generator.random(40))},
            "ndcg@5",
            resamples=1,
        ).at[0, "p"]
        < 0.05
        for _ in range(tests)
    )
    # Binomial(300, 0.05): mean 15, standard deviation 3.8; four of them either way.
    assert 0 < alarms < 31


@pytest.mark.parametrize(
    ("other", "error", "message"),
    [
        (report([0.1, 0.2], target="u"), DataError, "'b' .*another target"),
        (report([0.1, 0.2], users=[0, 5]), DataError, "2 users .*only one"),
        (report([0.1, 0.2], users=[0, 0]), DataError, "users twice"),
        (report([0.1, float("nan")]), DataError, "1 users .*ndcg@5 .*only one"),
        (Report("m", pd.DataFrame({"ndcg@50": [1.0]})), ConfigError, "mean 'ndcg@50'"),
    ],
)
def test_reports_that_do_not_pair_are_named(other, error, message):
    with pytest.raises(error, match=message):
        compare({"a": report([0.1, 0.2]), "b": other}, "ndcg@5")


def test_bad_requests_are_named():
    reports = three()
    with pytest.raises(ConfigError, match="two reports, not 1"):
        compare({"a": reports["a"]}, "ndcg@5")
    with pytest.raises(ConfigError, match="unknown baseline 'd'"):
        compare(reports, "ndcg@5", baseline="d")
    covered = report([0.1], catalogue={"coverage@5": 0.5})
    with pytest.raises(ConfigError, match="coverage@5 .*one number"):
        compare({"a": covered, "b": covered}, "coverage@5")
    nothing = report([float("nan")])
    with pytest.raises(DataError, match="no user .*ndcg@5"):
        compare({"a": nothing, "b": nothing}, "ndcg@5")


@pytest.mark.parametrize("users", [[3, 1], ["x", "y"]])
def test_a_report_is_read_back(tmp_path, users):
    saved = report(
        [0.1, float("nan")],
        users,
        catalogue={"coverage@5": 0.5},
        interval={"ndcg@5": (float("nan"), float("nan"))},
    )
    path = saved.save(tmp_path / "a.json", per_user=True)
    read = Report.load(path)
    pd.testing.assert_frame_equal(read.per_user, saved.per_user)
    assert (read.model, read.catalogue, read.provenance) == ("m", saved.catalogue, saved.provenance)
    assert np.isnan(read.interval["ndcg@5"]).all()
    assert compare({"a": read, "b": saved}, "ndcg@5").at[0, "p"] == 1


def test_a_report_that_cannot_be_read_back_says_why(tmp_path):
    saved, path = report([0.1, 0.2]), tmp_path / "a.json"
    with pytest.raises(StorageError, match=r"not read .*a\.json"):
        Report.load(path)
    saved.save(path)
    assert "per_user" not in json.loads(path.read_text())
    with pytest.raises(DataError, match="per_user=True"):
        Report.load(path)
    saved.save(path, per_user=True, overwrite=True)
    report([0.3, 0.4]).save(tmp_path / "b.json", per_user=True)
    (ours,), (theirs,) = (tmp_path.glob(f"{name}.json.per_user-*.parquet") for name in "ab")
    theirs.replace(ours)
    with pytest.raises(StorageError, match=f"{ours.name} .*belong"):
        Report.load(path)
    ours.unlink()
    with pytest.raises(StorageError, match=f"{ours.name} is missing"):
        Report.load(path)
    summary = json.loads(path.read_text())
    for foreign in ("../secret", 7, None):
        path.write_text(json.dumps(summary | {"per_user": {"file": foreign}}))
        with pytest.raises(StorageError, match="per_user .*no file"):
            Report.load(path)
    path.write_text("{")
    with pytest.raises(StorageError, match="not JSON"):
        Report.load(path)


def test_a_report_stays_whole_until_the_next_one_is(tmp_path, monkeypatch):
    path = report([0.1, 0.2]).save(tmp_path / "a.json", per_user=True)

    def full(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)  # the values are written, the summary is not
        with pytest.raises(StorageError, match="No space"):
            report([0.3, 0.4]).save(path, per_user=True, overwrite=True)
    assert Report.load(path)["ndcg@5"] == pytest.approx(0.15)
    report([0.3, 0.4]).save(path, per_user=True, overwrite=True)
    assert Report.load(path)["ndcg@5"] == pytest.approx(0.35)
    assert len(list(tmp_path.iterdir())) == 2  # the values of the report before are gone
    report([0.3]).save(path, overwrite=True)
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_no_reports_and_unknown_metrics_are_named(tmp_path):
    for show in (lambda: comparison({}), lambda: plot_comparison({}, "ndcg@5", tmp_path / "a.png")):
        with pytest.raises(ConfigError, match="no reports"):
            show()
    with pytest.raises(ConfigError, match="metric .*'ndgc@5'.* mean 'ndcg@5'"):
        report([0.1])["ndgc@5"]


def test_a_saved_report_keeps_all_digits(tmp_path):
    third = 1 / 3
    saved = report([third, 2 / 7], catalogue={"gini@5": third}, interval={"ndcg@5": (third, 0.5)})
    read = Report.load(saved.save(tmp_path / "a.json", per_user=True))
    assert read.catalogue == {"gini@5": third} and read.interval["ndcg@5"] == (third, 0.5)


@pytest.mark.parametrize("damaged", [[], {"ndcg@5": 3}, {"ndcg@5": {"mean": "x"}}, None])
def test_damaged_metrics_are_named(tmp_path, damaged):
    path = report([0.1, 0.2]).save(tmp_path / "a.json", per_user=True)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"metrics": damaged}))
    with pytest.raises(StorageError, match="metrics .*damaged"):
        Report.load(path)


@pytest.mark.parametrize(
    ("metric", "about"),
    [("diversity@5", "item_vectors"), ("miscalibration@5", "item_categories")],
)
def test_what_was_measured_by_other_facts_of_the_items_is_refused(metric, about):
    def measured(source):
        frame = pd.DataFrame({metric: [0.1, 0.4], "ndcg@5": [0.1, 0.2]})
        return Report("m", frame, provenance={"target": "t", about: source})

    own, given, same = map(measured, ("of the model, 12ab", "given, 34cd", "PureSVD(), 34cd"))
    assert compare({"a": given, "b": same}, metric).at[0, "difference"] == 0
    assert compare({"a": own, "b": given}, "ndcg@5").at[0, "difference"] == 0
    message = f"'b' .*{metric} .*'a' .*{about}="
    with pytest.raises(DataError, match=message):
        compare({"a": own, "b": given}, metric)
