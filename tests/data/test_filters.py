"""The filters: what each keeps, and the order in which they apply."""

import pandas as pd
import pytest

from recae.data import Interactions
from recae.errors import ConfigError, DataError


def data(*records):
    return Interactions.from_frame(pd.DataFrame(records, columns=["user_id", "item_id", "weight"]))


def pairs(interactions):
    return [tuple(row) for row in interactions.to_frame()[["user_id", "item_id"]].to_numpy()]


def test_each_filter_is_applied_once_threshold_then_items_then_users():
    # Threshold 4 removes (3, b). Items with two interactions are then a (1, 2) and c (1, 4);
    # b keeps only (2, b) and goes. Users with two are then only user 1: a and c stay, each with
    # one interaction, because nothing is iterated.
    ratings = data(
        (1, "a", 4), (2, "a", 5), (2, "b", 4), (3, "b", 3), (1, "c", 4), (4, "c", 4)
    )  # fmt: skip
    left = ratings.filter(min_weight=4, min_per_item=2, min_per_user=2)
    assert pairs(left) == [(1, "a"), (1, "c")]
    assert left.users.ids.tolist() == [1] and left.items.ids.tolist() == ["a", "c"]


def test_counts_are_taken_after_the_threshold():
    ratings = data((1, "a", 5), (2, "a", 1), (1, "b", 5), (2, "b", 5))
    assert pairs(ratings.filter(min_weight=2, min_per_item=2)) == [(1, "b"), (2, "b")]


def test_limits_are_inclusive_and_ids_keep_their_order():
    ratings = data((1, "a", 3), (2, "a", 4), (2, "b", 4)).select_users([1, 0]).select_items([1, 0])
    same = ratings.filter(min_weight=3, min_per_item=1, min_per_user=1)
    assert same.fingerprint() == ratings.fingerprint()


def test_binarise_is_the_last_step():
    left = data((1, "a", 2), (1, "b", 5)).filter(min_weight=3, binarise=True)
    assert pairs(left) == [(1, "b")] and not left.weighted


def test_users_and_items_without_interactions_leave():
    wide = data((1, "a", 1), (2, "b", 1)).keep([True, False])
    left = wide.filter()
    assert (left.n_users, left.n_items) == (1, 1)


def test_times_follow():
    frame = pd.DataFrame(
        {"user_id": [1, 1, 2], "item_id": [1, 2, 1], "weight": [1, 5, 5], "timestamp": [7, 8, 9]}
    )
    assert Interactions.from_frame(frame).filter(min_weight=5).times.tolist() == [8, 9]


@pytest.mark.parametrize(
    ("conditions", "culprit"),
    [
        ({"min_weight": 6}, "min_weight=6"),
        ({"min_weight": 1, "min_per_item": 3}, "min_per_item=3"),
        ({"min_per_user": 3}, "min_per_user=3"),
    ],
)
def test_the_filter_that_leaves_nothing_is_named(conditions, culprit):
    with pytest.raises(DataError, match=f"no interactions .*{culprit}"):
        data((1, "a", 5), (2, "a", 5), (2, "b", 5)).filter(**conditions)


@pytest.mark.parametrize(
    "options",
    [
        {"min_per_item": -1},
        {"min_per_item": "3"},
        {"min_per_user": 2.5},
        {"min_per_user": True},
        {"min_weight": float("nan")},
        {"min_weight": "4"},
        {"min_weight": 10**400},
    ],
)
def test_options_of_the_wrong_kind_are_named(options: dict) -> None:
    with pytest.raises(ConfigError) as caught:
        data((1, "a", 5)).filter(**options)
    assert repr({caught.value.parameter: caught.value.value}) == repr(options)  # nan != nan
