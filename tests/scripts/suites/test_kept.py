"""The kept results of a suite: what is written comes back, in float32, and damage is found."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evaluation.suites.kept import load_entries, names, read_about, save_entry
from recae import Report
from recae.errors import DataError, StorageError
from recae.report import Entry, Published


def entry(name: str, users: int = 4, seeds: int = 2, shift: float = 0.0) -> Entry:
    """A result with values of two metrics per user, a metric of the catalogue and counts."""
    ids = 10 * np.arange(users)
    counts = pd.DataFrame({"history": 3, "targets": 2}, index=ids)
    items = pd.DataFrame(
        {"targets": [5, 6], "hits@5": [1, 2], "listed@5": [3, 4]}, index=["a", "b"]
    )
    reports = [
        Report(
            model=f"{name}()",
            per_user=pd.DataFrame(
                {"recall@5": np.arange(users) / 7 + shift, "ndcg@5": 1 / (1 + seed + ids)},
                index=ids,
            ),
            catalogue={"coverage@5": 0.25},
            interval={"recall@5": (0.1, 0.2)},
            provenance={"target": "abc"},
            users=pd.DataFrame() if seed else counts,
            items=pd.DataFrame() if seed else items,
        )
        for seed in range(seeds)
    ]
    return Entry(
        name,
        reports,
        fit_seconds=[1.5] * seeds,
        trials=[{"params": {"l2": 3.0}, "value": math.nan, "seconds": 1.0, "state": "failed"}],
        published={"ndcg@5": Published(0.5, "a paper")},
        provenance={"identity": {"seeds": seeds}},
    )


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    saved = [entry("a"), entry("b", seeds=1)]
    for one in reversed(saved):
        save_entry(tmp_path, one)
    assert names(tmp_path) == ["a", "b"]
    assert sorted(path.name for path in tmp_path.glob("*.parquet")) == [
        "items.parquet",
        "users.parquet",
    ]
    for one, found in zip(saved, load_entries(tmp_path, target="abc"), strict=True):
        assert (found.name, found.fit_seconds) == (one.name, one.fit_seconds)
        assert found.published == one.published and found.provenance == one.provenance
        assert found.trials[0]["value"] is None and found.trials[0]["params"] == {"l2": 3.0}
        for before, after in zip(one.reports, found.reports, strict=True):
            assert before.model == after.model and before.metrics == after.metrics
            assert after.interval == before.interval and after.catalogue == before.catalogue
            close = {"check_exact": False, "rtol": 1e-7, "atol": 0, "check_dtype": False}
            pd.testing.assert_frame_equal(before.per_user, after.per_user, **close)
            pd.testing.assert_frame_equal(before.users, after.users, check_dtype=False)
            pd.testing.assert_frame_equal(before.items, after.items, check_dtype=False)


def test_values_are_in_float32_and_counts_are_kept_once(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_entry(tmp_path, entry(name))
    table = pd.read_parquet(tmp_path / "users.parquet")
    assert list(table) == ["user_id", "history", "targets"] + [
        f"{name}/{seed}/{metric}"
        for name in ("a", "b")
        for seed in (0, 1)
        for metric in ("ndcg@5", "recall@5")
    ]
    assert set(table.dtypes[3:]) == {np.dtype(np.float32)}
    assert list(pd.read_parquet(tmp_path / "items.parquet"))[:2] == ["item_id", "targets"]


def test_shares_of_the_targets_come_back_in_full(tmp_path: Path) -> None:
    ids = np.arange(4)
    counts = pd.DataFrame({"history": 1, "targets": [3, 3, 7, 3]}, index=ids)
    values = pd.DataFrame({"recall@5": [1 / 3, 2 / 3, 3 / 7, math.pi / 10]}, index=ids)
    save_entry(tmp_path, Entry("a", [Report("a()", values, users=counts)]))
    found = load_entries(tmp_path)[0].reports[0].per_user["recall@5"]
    assert list(found[:3]) == [1 / 3, 2 / 3, 3 / 7]
    assert found[3] == np.float32(math.pi / 10)


def test_a_new_result_takes_the_place_of_the_old(tmp_path: Path) -> None:
    for one in (entry("a"), entry("b"), entry("a", seeds=1, shift=0.5)):
        save_entry(tmp_path, one)
    again, other = load_entries(tmp_path)
    assert len(again.reports) == 1 and len(other.reports) == 2
    assert again.value("recall@5") == pytest.approx(other.value("recall@5") + 0.5)
    assert not [c for c in pd.read_parquet(tmp_path / "users.parquet") if c.startswith("a/1/")]


def test_results_of_other_users_are_not_mixed(tmp_path: Path) -> None:
    save_entry(tmp_path, entry("a"))
    with pytest.raises(DataError, match="--results"):
        save_entry(tmp_path, entry("b", users=5))
    assert names(tmp_path) == ["a"] and len(load_entries(tmp_path)) == 1
    with pytest.raises(DataError, match="abc"):
        load_entries(tmp_path, target="xyz")


def test_values_that_do_not_belong_to_the_json_are_found(tmp_path: Path) -> None:
    save_entry(tmp_path, entry("a"))
    kept = (tmp_path / "a.json").read_text()
    save_entry(tmp_path, entry("a", shift=0.001))
    (tmp_path / "a.json").write_text(kept)
    with pytest.raises(StorageError, match="recall@5"):
        load_entries(tmp_path)
    (tmp_path / "users.parquet").unlink()
    with pytest.raises(StorageError, match="users.parquet .*no values .* a, seed 0"):
        load_entries(tmp_path)
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(StorageError, match="not JSON"):
        read_about(tmp_path, "a")


def test_a_folder_without_results_is_said_so(tmp_path: Path) -> None:
    assert names(tmp_path) == [] and read_about(tmp_path, "a") is None
    with pytest.raises(StorageError, match="no results"):
        load_entries(tmp_path)
