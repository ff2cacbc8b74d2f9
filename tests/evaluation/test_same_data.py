"""Reports are compared on the same data only: every part of a fold, through every door."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import recae
from recae import ConfigError, DataError
from recae.evaluation.comparison import detectable_difference, variance
from recae.evaluation.same_data import check_same_data, fingerprints
from recae.report import Entry, comparison, html, load_entries, markdown, plot_comparison
from recae.report.entry import check_measured


def plays(weights: bool = False) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"user_id": rng.integers(0, 40, 500), "item_id": rng.integers(0, 30, 500)})
    frame = frame.drop_duplicates()
    return frame.assign(weight=rng.integers(1, 9, len(frame))) if weights else frame


def report(fold: recae.Fold, model: recae.Recommender) -> recae.Report:
    return recae.evaluate(model, fold, ["ndcg@10"])


@pytest.fixture(scope="module")
def other_masks() -> tuple[recae.Report, recae.Report]:
    """One model on the same targets, once without the validation items in its lists."""
    folds = [
        recae.RandomSplit(0.2, 0.2, history="train", mask=mask).split(plays(), seed=1)
        for mask in (None, "train+validation")
    ]
    model = recae.Popularity().fit(folds[0].train)
    one, two = (report(split.test, model) for split in folds)
    assert one.provenance["target"] == two.provenance["target"]
    return one, two


def test_another_mask_is_refused_wherever_reports_meet(other_masks, tmp_path: Path) -> None:
    one, two = other_masks
    entries = [Entry("one", [one]), Entry("two", [two])]
    for entry in entries:
        entry.save(tmp_path / entry.name)
    doors: list[Callable[[], object]] = [
        lambda: recae.compare({"one": one, "two": two}, "ndcg@10"),
        lambda: recae.compare({"one": [one, two], "two": two}, "ndcg@10"),
        lambda: detectable_difference(one, two, metric="ndcg@10"),
        lambda: variance([one, two], "ndcg@10"),
        lambda: markdown(entries),
        lambda: comparison({"one": one, "two": two}),
        lambda: plot_comparison({"one": one, "two": two}, "ndcg@10", tmp_path / "a.png"),
        lambda: html(entries, tmp_path / "page.html"),
        lambda: load_entries(tmp_path),
    ]
    for door in doors:
        with pytest.raises(DataError, match="another mask"):
            door()


def test_another_history_is_refused() -> None:
    data = recae.Interactions.from_frame(plays())
    split = recae.RandomSplit(0.2, 0.2).split(data, seed=1)
    short = recae.RandomSplit(0.2, 0.2, history="train", mask="train+validation").split(data, 1)
    model = recae.EASE().fit(split.train)
    with pytest.raises(DataError, match="another history"):
        recae.compare({"a": report(split.test, model), "b": report(short.test, model)}, "ndcg@10")


def test_other_weights_of_the_same_pairs_are_the_same_data(tmp_path: Path) -> None:
    counts = plays(weights=True)
    ones, logs = counts.assign(weight=1.0), counts.assign(weight=np.log1p(counts["weight"]))
    folds = [
        recae.RandomSplit(0.2, 0.2).split(frame, seed=1).test for frame in (ones, counts, logs)
    ]
    model = recae.Popularity().fit(recae.RandomSplit(0.2, 0.2).split(ones, seed=1).train)
    reports = {name: report(fold, model) for name, fold in zip("abc", folds, strict=True)}
    frame = recae.compare(reports, "ndcg@10")
    assert frame["difference"].tolist() == [0, 0, 0]  # it ignores the weights
    marked = [reports[name].provenance for name in "abc"]
    assert "target_pairs" not in marked[0]  # all ones: the fingerprint is that of the pairs
    assert marked[1]["target_pairs"] == marked[2]["target_pairs"] == marked[0]["target"]
    entries = [Entry(name, [one]) for name, one in reports.items()]
    assert markdown(entries).count("| a") > 0
    for entry in entries:
        entry.save(tmp_path / entry.name)
    assert len(load_entries(tmp_path, target=folds[2])) == 3
    with pytest.raises(DataError, match="other weights .*'b'|'b' .*other weights"):
        check_same_data({repr(n): p for n, p in zip("abc", marked, strict=True)}, weights=True)


def test_reports_of_older_versions_stay_comparable() -> None:
    weighted = recae.RandomSplit(0.2, 0.2).split(plays(weights=True), seed=1).test
    now = fingerprints(weighted)
    older = {part: now[part] for part in ("target", "mask", "history")}
    check_same_data({"older": older, "now": now})
    check_same_data({"now": now, "older": older})
    binary = recae.Fold(*(part.binarised() for part in (weighted.history, weighted.target)))
    check_same_data({"older": fingerprints(binary), "now": now})  # all ones, without pairs


def test_kept_entries_are_checked_against_a_fold(other_masks) -> None:
    one, _ = other_masks
    splits = {
        mask: recae.RandomSplit(0.2, 0.2, history="train", mask=mask).split(plays(), seed=1)
        for mask in (None, "train+validation")
    }
    entry = Entry("one", [one])
    check_measured([entry], splits[None].test)
    check_measured([entry], splits[None].test.target.fingerprint())
    with pytest.raises(DataError, match="'one' .*another mask"):
        check_measured([entry], splits["train+validation"].test)


@pytest.mark.parametrize("given", [[1, 2], None, "ease", 3, recae.Report("a", pd.DataFrame())])
def test_reports_have_names(given: object) -> None:
    with pytest.raises(ConfigError, match=type(given).__name__) as caught:
        recae.compare(given, "ndcg@10")  # type: ignore[arg-type]
    assert caught.value.parameter == "reports"


def test_the_oldest_reports_had_no_mask_of_their_own() -> None:
    fold = recae.RandomSplit(0.2, 0.2).split(plays(), seed=1).test
    now = fingerprints(fold)
    check_same_data({"old": {part: now[part] for part in ("target", "history")}, "now": now})


def test_popularity_by_other_training_users_is_warned_of() -> None:
    split = recae.RandomSplit(0.2, 0.2).split(plays(), seed=1)
    both = recae.RandomSplit(0, 0.2).split(plays(), seed=1).train
    models = {"a": recae.Popularity().fit(split.train), "b": recae.Popularity().fit(both)}
    metrics = ["novelty@5", "miscalibration@5", "recall@5"]
    reports = {name: recae.evaluate(m, split.test, metrics) for name, m in models.items()}
    for metric in metrics[:2]:
        with pytest.warns(recae.RecaeWarning, match=f"'b' .*'a' .*{metric}"):
            recae.compare(reports, metric)
    recae.compare(reports, "recall@5")  # the same whoever has trained
    recae.compare({"a": reports["a"], "c": reports["a"]}, "novelty@5")
