"""A report by length of history and by popularity: arithmetic by hand, and slow versions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recae
from recae import ConfigError, DataError, Report
from recae.evaluation import by_history, by_popularity

NAN = float("nan")


def users_report(lengths, values) -> Report:
    users = pd.DataFrame({"history": lengths, "targets": 1})
    return Report("m", pd.DataFrame({"ndcg@5": values}), {"coverage@5": 0.5}, users=users)


def items_report(training, targets, hits, listed) -> Report:
    items = pd.DataFrame(
        {"training_users": training, "targets": targets, "hits@3": hits, "listed@3": listed}
    )
    return Report("m", pd.DataFrame({"recall@3": [0.5]}), items=items)


LENGTHS = [3, 1, 8, 4, 2, 20, 9]
VALUES = [0.6, 0.2, 0.9, NAN, 0.4, 0.1, 0.5]


def test_given_bins_by_hand() -> None:
    frame = by_history(users_report(LENGTHS, VALUES), "ndcg@5", bins=[1, 4, 8, 30])
    assert frame.columns.tolist() == ["low", "high", "users", "mean", "ci_low", "ci_high"]
    assert frame["low"].tolist() == [1, 4, 8, 30]
    assert frame["high"].tolist() == [3, 7, 29, 30]
    assert frame["users"].tolist() == [3, 0, 3, 0]  # the user with 4 has no value
    np.testing.assert_allclose(frame["mean"], [0.4, NAN, 0.5, NAN])
    # Resamples of three values lie within them, and the interval holds the mean.
    assert 0.2 <= frame.at[0, "ci_low"] < 0.4 < frame.at[0, "ci_high"] <= 0.6
    assert frame.loc[1, ["ci_low", "ci_high"]].isna().all()


def test_bins_of_equal_numbers_by_hand() -> None:
    # With values: 1 2 3 8 9 20. Three bins begin at the first, third and fifth.
    frame = by_history(users_report(LENGTHS, VALUES), "ndcg@5", bins=3)
    assert frame[["low", "high", "users"]].to_numpy().tolist() == [[1, 2, 2], [3, 8, 2], [9, 20, 2]]
    np.testing.assert_allclose(frame["mean"], [0.3, 0.75, 0.3])


def test_users_with_equal_histories_stay_together() -> None:
    frame = by_history(users_report([5, 5, 5, 5, 6], [0.0, 1, 0, 1, 1]), "ndcg@5", bins=3)
    assert frame[["low", "high", "users"]].to_numpy().tolist() == [[5, 6, 5]]
    frame = by_history(users_report([5, 5, 6, 6], [0.0, 1, 0, 1]), "ndcg@5")
    assert frame[["low", "high", "users"]].to_numpy().tolist() == [[5, 5, 2], [6, 6, 2]]


@given(
    lengths=st.lists(st.integers(0, 30), min_size=1, max_size=40),
    bins=st.integers(1, 8),
)
@settings(max_examples=30, deadline=None)
def test_every_user_is_in_one_bin(lengths, bins) -> None:
    values = [0.01 * number for number in range(len(lengths))]
    frame = by_history(users_report(lengths, values), "ndcg@5", bins)
    assert len(frame) <= bins and frame.at[0, "low"] == min(lengths)
    for row in frame.itertuples():
        inside = [v for n, v in zip(lengths, values, strict=True) if row.low <= n <= row.high]
        assert row.users == len(inside) > 0
        assert row.mean == pytest.approx(sum(inside) / len(inside))
    assert frame["users"].sum() == len(lengths)


@pytest.mark.parametrize(
    ("bins", "message"),
    [
        (0, "bins .*, not 0"),
        (True, "bins .*lengths .*, not True"),
        ("5", "bins .*lengths .*, not '5'"),
        ([], r"bins .*lengths .*, not \[\]"),
        ([1.0, 3.0], r"bins .*lengths .*, not \[1.0, 3.0\]"),
        ([1, 3, 3], r"ascend.* \[1, 3, 3\]"),
        ([2, 5], "bins .* 2, .*1 users .*shorter histories: .* 1 "),
    ],
)
def test_bad_bins_are_named(bins, message) -> None:
    with pytest.raises(ConfigError, match=message):
        by_history(users_report(LENGTHS, VALUES), "ndcg@5", bins)


def test_what_has_no_breakdown_says_why() -> None:
    report = users_report(LENGTHS, VALUES)
    with pytest.raises(ConfigError, match="metric .*'ndgc@5'.* mean 'ndcg@5'"):
        by_history(report, "ndgc@5")
    with pytest.raises(ConfigError, match="coverage@5 .*one number"):
        by_history(report, "coverage@5")
    with pytest.raises(DataError, match="no user .*ndcg@5"):
        by_history(users_report([1, 2], [NAN, NAN]), "ndcg@5")
    bare = Report("m", pd.DataFrame({"ndcg@5": [0.5]}))
    with pytest.raises(DataError, match="history lengths: evaluate"):
        by_history(bare, "ndcg@5")
    with pytest.raises(DataError, match="item counts: evaluate"):
        by_popularity(bare, 5)
    counted = items_report([1], [1], [1], [1])
    untrained = Report("m", bare.per_user, items=counted.items.drop(columns="training_users"))
    with pytest.raises(DataError, match="training users.* train="):
        by_popularity(untrained, 3)
    with pytest.raises(ConfigError, match=r"lists .*5; .*cut-offs .*\[3\]"):
        by_popularity(counted, 5)
    for groups in (0, True, 2.0):
        with pytest.raises(ConfigError, match=f"groups .*integer .*, not {groups}"):
            by_popularity(counted, 3, groups)


def test_groups_of_items_by_hand() -> None:
    # 24 training interactions: 10 | 6 4 | 2 1 1 0 are the thirds, of which each should hold 8.
    # Middles, head first: 5, 13, 18, 21, then the two with 1 together 23, and the 0 at the end 24;
    # thirds end at 8 and 16, so 10 | 6 | 4 2 1 1 0.
    report = items_report(
        training=[1, 10, 2, 6, 0, 4, 1],
        targets=[1, 4, 2, 5, 1, 0, 0],
        hits=[0, 3, 1, 1, 0, 0, 0],
        listed=[0, 6, 1, 2, 0, 1, 0],
    )
    expected = pd.DataFrame(
        {
            "low": [10, 6, 0],
            "high": [10, 6, 4],
            "items": [1, 1, 5],
            "training_share": [10 / 24, 6 / 24, 8 / 24],
            "targets": [4, 5, 4],
            "hits": [3, 1, 1],
            "recall": [3 / 4, 1 / 5, 1 / 4],
            "listed_share": [0.6, 0.2, 0.2],
        }
    )
    pd.testing.assert_frame_equal(by_popularity(report, 3, groups=3), expected)


def test_equally_popular_items_stay_together_whatever_their_order() -> None:
    frame = by_popularity(items_report([2] * 6, [1] * 6, [0] * 6, [0] * 6), 3)
    assert frame[["low", "high", "items"]].to_numpy().tolist() == [[2, 2, 6]]
    assert frame.at[0, "training_share"] == 1 and frame.at[0, "recall"] == 0
    assert np.isnan(frame.at[0, "listed_share"])  # nothing is listed
    nobody = by_popularity(items_report([0, 0], [0, 1], [0, 1], [0, 1]), 3)
    assert nobody["items"].tolist() == [2] and nobody["recall"].tolist() == [1]


def test_a_group_without_targets_has_no_recall() -> None:
    frame = by_popularity(items_report([5, 5, 1], [1, 1, 0], [1, 0, 0], [1, 1, 1]), 3, groups=2)
    assert frame["items"].tolist() == [2, 1]
    np.testing.assert_allclose(frame["recall"], [0.5, NAN])


@given(st.lists(st.integers(0, 40), min_size=1, max_size=50), st.integers(1, 7))
@settings(max_examples=50, deadline=None)
def test_groups_follow_popularity_and_are_nearly_equal(training, groups) -> None:
    ones = [1] * len(training)
    frame = by_popularity(items_report(training, ones, ones, ones), 3, groups)
    assert frame["items"].sum() == len(training) and len(frame) <= groups
    assert (frame["low"].to_numpy()[:-1] > frame["high"].to_numpy()[1:]).all()  # head first
    total = sum(training)
    if total:
        # At most half of the items that share a count lies beyond each border of a group.
        largest = max(number * training.count(number) for number in training)
        assert (frame["training_share"] <= 1 / groups + largest / total + 1e-9).all()


def test_a_real_report_is_shared_out_whole(int_data) -> None:
    fold = recae.data.splits.holdout_pairs(int_data, 0.3).validation
    report = recae.evaluate(recae.Popularity().fit(fold.history), fold, ["recall@3", "recall@1"])
    frame = by_popularity(report, 3, groups=4)
    assert frame["targets"].sum() == fold.target.nnz
    assert frame["training_share"].sum() == pytest.approx(1)
    hits = (report.per_user["recall@3"] * report.users["targets"]).sum()
    assert frame["hits"].sum() == pytest.approx(hits)
    bins = by_history(report, "recall@3", bins=3)
    assert bins["users"].sum() == report.per_user["recall@3"].notna().sum()
    whole = (bins["mean"] * bins["users"]).sum() / bins["users"].sum()
    assert whole == pytest.approx(report["recall@3"])


def test_unsigned_bins_must_ascend_too() -> None:
    bins = np.array([1, 8, 4], dtype=np.uint64)  # 4 - 8 is a large number there
    with pytest.raises(ConfigError, match=r"ascend.* \[1, 8, 4\]"):
        by_history(users_report(LENGTHS, VALUES), "ndcg@5", bins)
