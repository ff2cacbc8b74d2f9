"""What a report counts beside its metrics: items of users, and lists and hits of items."""

from __future__ import annotations

import json
import os

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

import recae
from recae import EASE, Fold, Interactions, Popularity, Report, evaluate
from recae.metrics import MetricAccumulator
from recae.ranking.top_k import TopK

USERS = ["ann", "bob", "cat", "dan"]
HISTORY = [[0], [9], [5], [1, 3]]
TARGET = [[1, 3], [5], [], [4, 2, 6]]
# Item i has 10 - i of ten training users, so the lists are ann 1, 2, 3, 4; bob 0, 1, 2, 3;
# cat (without a target) 0, 1, 2, 3; dan 0, 2, 4, 5.
STAIRS = np.tril(np.ones((10, 10)))[::-1]


def interactions(rows, n_items=10, users=USERS) -> Interactions:
    dense = np.zeros((len(rows), n_items))
    for row, some in enumerate(rows):
        dense[row, some] = 1
    return Interactions.from_csr(sp.csr_matrix(dense), users=users)


FOLD = Fold(interactions(HISTORY), interactions(TARGET))
MODEL = Popularity().fit(sp.csr_matrix(STAIRS))
REPORT = evaluate(MODEL, FOLD, ["recall@2", "ndcg@4", "coverage@2"])


def test_users_have_the_sizes_of_history_and_target() -> None:
    expected = pd.DataFrame({"history": [1, 1, 1, 2], "targets": [2, 1, 0, 3]}, index=USERS)
    pd.testing.assert_frame_equal(REPORT.users, expected)
    assert REPORT.users.index.equals(REPORT.per_user.index)


def test_items_are_counted_by_hand() -> None:
    expected = pd.DataFrame(
        {
            "training_users": [10, 9, 8, 7, 6, 5, 4, 3, 2, 1],
            "targets": [0, 1, 1, 1, 1, 1, 1, 0, 0, 0],
            "hits@2": [0, 1, 1, 0, 0, 0, 0, 0, 0, 0],  # ann 1, dan 2
            "listed@2": [3, 3, 2, 0, 0, 0, 0, 0, 0, 0],  # 1 2, 0 1, 0 1, 0 2
            "hits@4": [0, 1, 1, 1, 1, 0, 0, 0, 0, 0],  # and ann 3, dan 4
            "listed@4": [3, 3, 4, 3, 2, 1, 0, 0, 0, 0],
        }
    )
    pd.testing.assert_frame_equal(REPORT.items, expected)


def test_the_counts_add_up_to_the_metrics() -> None:
    precision = evaluate(MODEL, FOLD, ["precision@2", "precision@4"])
    for k in (2, 4):
        hits = (precision.per_user[f"precision@{k}"] * k).sum()
        assert REPORT.items[f"hits@{k}"].sum() == pytest.approx(hits)
        assert REPORT.items[f"listed@{k}"].sum() == 4 * k
    assert REPORT.items["targets"].sum() == REPORT.users["targets"].sum()
    assert (REPORT.items["listed@2"] > 0).mean() == REPORT["coverage@2"]


@pytest.mark.parametrize("batch_size", [1, 3])
def test_batches_change_nothing(batch_size) -> None:
    other = evaluate(MODEL, FOLD, ["recall@2", "ndcg@4", "coverage@2"], batch_size=batch_size)
    pd.testing.assert_frame_equal(other.items, REPORT.items)
    pd.testing.assert_frame_equal(other.users, REPORT.users)


def test_the_items_are_those_of_the_fold_matched_by_id() -> None:
    # The model knows c, b, a; the fold has a, b, d. Training users: a 3, b 2, c 4; d has none.
    training = [[1, 1, 1], [1, 1, 1], [1, 0, 1], [1, 0, 0]]
    data = Interactions.from_csr(sp.csr_matrix(np.array(training)), items=["c", "b", "a"])
    history, target = (
        Interactions.from_csr(sp.csr_matrix(np.array(rows)), users=[7, 8], items=["a", "b", "d"])
        for rows in ([[1, 0, 0], [0, 1, 0]], [[0, 1, 1], [1, 0, 0]])
    )
    report = evaluate(Popularity().fit(data), Fold(history, target), "recall@2")
    # Lists: 7 is shown c, b; 8 is shown c, a. The fold does not have c.
    expected = pd.DataFrame(
        {
            "training_users": [3, 2, 0],
            "targets": [1, 1, 1],
            "hits@2": [1, 1, 0],
            "listed@2": [1, 1, 0],
        },
        index=["a", "b", "d"],
    )
    pd.testing.assert_frame_equal(report.items, expected)
    assert report.users.index.tolist() == [7, 8]


def test_an_item_listed_twice_hits_once_and_is_listed_twice() -> None:
    accumulator = MetricAccumulator(["recall@1", "recall@3"], 3)
    lists = TopK(np.array([[2, 2, 0], [1, -1, -1]]), np.zeros((2, 3), dtype=np.float32))
    accumulator.update(lists, sp.csr_matrix(np.array([[0, 0, 1], [1, 0, 0]])))
    counted = {name: counts.tolist() for name, counts in accumulator.per_item().items()}
    assert counted == {
        "hits@1": [0, 0, 1], "listed@1": [0, 1, 1], "hits@3": [0, 0, 1], "listed@3": [1, 1, 2],
    }  # fmt: skip


@pytest.mark.parametrize("users", [USERS, [5, 3, 8, 1]])
def test_the_counts_are_saved_and_read_back(tmp_path, users) -> None:
    fold = Fold(interactions(HISTORY, users=users), interactions(TARGET, users=users))
    report = evaluate(MODEL, fold, "recall@2")
    read = Report.load(report.save(tmp_path / "a.json", per_user=True))
    pd.testing.assert_frame_equal(read.users, report.users)
    pd.testing.assert_frame_equal(read.items, report.items)
    pd.testing.assert_frame_equal(read.per_user, report.per_user)
    assert len(list(tmp_path.iterdir())) == 4
    report.save(tmp_path / "a.json", overwrite=True)
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_a_report_of_an_older_version_has_empty_counts(tmp_path) -> None:
    path = Report("m", pd.DataFrame({"ndcg@5": [0.5]}, index=[7])).save(
        tmp_path / "a.json", per_user=True
    )
    assert {"users", "items"}.isdisjoint(json.loads(path.read_text()))
    read = Report.load(path)
    assert read.users.empty and read.items.empty and read["ndcg@5"] == 0.5


def test_damaged_counts_are_named(tmp_path) -> None:
    path = REPORT.save(tmp_path / "a.json", per_user=True)
    (items,) = tmp_path.glob("a.json.items-*.parquet")
    whole = items.read_bytes()
    items.write_bytes(whole[:-1])
    with pytest.raises(recae.errors.StorageError, match=f"{items.name} .*belong"):
        Report.load(path)
    items.unlink()
    with pytest.raises(recae.errors.StorageError, match=f"{items.name} is missing"):
        Report.load(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"users": {"file": 3}}))
    with pytest.raises(recae.errors.StorageError, match="users .*no file"):
        Report.load(path)


def test_the_provenance_names_the_machine_and_shares_out_the_seconds() -> None:
    provenance = evaluate(EASE().fit(sp.csr_matrix(STAIRS)), FOLD, "recall@2").provenance
    assert provenance["device"] == "cpu" and provenance["threads"] == torch.get_num_threads()
    assert 1 <= provenance["cores"] <= os.cpu_count()
    assert str(os.cpu_count()) in provenance["machine"]
    assert 0.05 < provenance["peak_gb"] < 64  # torch alone is more, and the machine has less
    shares = provenance["scoring_seconds"] + provenance["metric_seconds"]
    assert provenance["seconds"] == pytest.approx(shares, abs=0.002)
    assert min(provenance[name] for name in provenance if name.endswith("seconds")) >= 0
    versions = provenance["versions"]
    for module in (np, pd, torch, recae):
        assert versions[module.__name__] == module.__version__
    assert {"scipy", "pyarrow", "implicit", "python"} < versions.keys()
    json.dumps(REPORT.summary())
