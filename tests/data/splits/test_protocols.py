"""Random splits, splits by time and folds over users: laws, and slow versions row by row."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recae.data import Interactions
from recae.data.splits import GlobalTime, LeaveLastOut, RandomSplit, UserKFold
from recae.errors import ConfigError, DataError


def log(seed, users=30, items=25, n=300, moments=50):
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "user_id": generator.integers(0, users, n) * 7,
            "item_id": generator.integers(0, items, n),
            "timestamp": generator.integers(0, moments, n),
        }
    )
    return frame.drop_duplicates(["user_id", "item_id"])


def pairs(data):
    return set(data.to_frame()[["user_id", "item_id"]].itertuples(index=False, name=None))


def parts(split):
    return [pairs(split.train), pairs(split.validation.target), pairs(split.test.target)]


ALL = [RandomSplit(0.2, 0.2), RandomSplit(0.2, 0.2, by="all"), LeaveLastOut(2, 1), GlobalTime()]
ALL += [LeaveLastOut(0.2, 0.2, users=0.5), GlobalTime(cold="keep")]


@pytest.mark.parametrize("splitter", ALL, ids=repr)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_parts_are_disjoint_complete_and_blind_to_the_order(splitter, seed):
    frame = log(seed)
    data = Interactions.from_frame(frame)
    split = splitter.split(data, seed)
    found = parts(split)
    assert sum(map(len, found)) == len(set.union(*found)) == data.nnz - split.left_out
    shuffled = Interactions.from_frame(frame.sample(frac=1, random_state=1))
    turned = shuffled.select_users(np.arange(data.n_users)[::-1])
    turned = turned.select_items(np.arange(data.n_items)[::-1])
    assert parts(splitter.split(turned, seed)) == found
    users = set(split.test.target.users.ids.tolist())
    before = {pair for pair in found[0] | found[1] if pair[0] in users}
    assert pairs(split.test.history) == before and split.test.mask is None
    assert (np.diff(split.test.target.matrix.indptr) > 0).all()


def test_the_test_history_can_be_the_training_part_alone():
    data = Interactions.from_frame(log(1))
    for splitter in (RandomSplit, LeaveLastOut, GlobalTime):
        split = splitter(history="train").split(data, 1)
        users = set(split.test.target.users.ids.tolist())
        expected = {pair for pair in pairs(split.train) if pair[0] in users}
        assert pairs(split.test.history) == expected


def test_random_shares_of_every_user():
    # n = 1, 2, 3 and 10, shares of a fifth: 10 gives 2 and 2, 3 gives 1 and 1, 2 gives a test.
    frame = pd.DataFrame(
        {
            "user_id": np.repeat([1, 2, 3, 4], [1, 2, 3, 10]),
            "item_id": [0, 0, 1, *range(3), *range(10)],
        }
    )
    data = Interactions.from_frame(frame)
    split = RandomSplit(0.2, 0.2).split(data)
    assert np.diff(split.train.matrix.indptr).tolist() == [1, 1, 1, 6]
    assert np.diff(split.validation.target.matrix.indptr).tolist() == [1, 2]
    assert np.diff(split.test.target.matrix.indptr).tolist() == [1, 1, 2]
    assert RandomSplit(0, 0.2).split(data).validation is None
    only = RandomSplit(0.2, 0).split(data)
    assert only.test is None and only.validation.target.n_users == 3
    assert parts(RandomSplit(0.3, 0.3).split(data, 1)) != parts(
        RandomSplit(0.3, 0.3).split(data, 2)
    )


@given(validation=st.floats(0.01, 0.49), test=st.floats(0.01, 0.5), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_one_interaction_of_every_user_always_trains(validation, test, seed):
    split = RandomSplit(validation, test).split(Interactions.from_frame(log(seed)), seed)
    assert (np.diff(split.train.matrix.indptr) > 0).all()


def test_shares_of_all_interactions_are_exact():
    data = Interactions.from_frame(log(3))
    split = RandomSplit(0.1, 0.29, by="all").split(data)
    assert split.test.target.nnz == int(round(0.29 * data.nnz, 9))
    assert split.validation.target.nnz == int(round(0.1 * data.nnz, 9))


def test_the_last_of_every_user_is_the_test():
    frame = log(5, moments=10**9)  # no ties
    split = LeaveLastOut(2, 1).split(Interactions.from_frame(frame))
    train, valid, test = set(), set(), set()
    for user, group in frame.sort_values("timestamp").groupby("user_id"):
        rows = [(user, item) for item in group["item_id"]]
        if len(rows) < 4:
            train |= set(rows)
        else:
            train |= set(rows[:-3])
            valid |= set(rows[-3:-1])
            test |= set(rows[-1:])
    assert parts(split) == [train, valid, test]


def test_ties_are_drawn_from_the_seed():
    frame = pd.DataFrame({"user_id": 1, "item_id": range(10), "timestamp": 5})
    data = Interactions.from_frame(frame)
    last = {
        LeaveLastOut().split(data, seed).test.target.to_frame()["item_id"][0] for seed in range(40)
    }
    assert len(last) > 5


def test_a_share_before_a_moment_comes_last_before_it():
    # One interaction at each moment from 0 to 99: 10 test from 90 on, the 20 before them validate.
    rng = np.random.default_rng(2)
    pairs = rng.permutation(200)[:100]  # of 10 users and 20 items
    frame = pd.DataFrame(
        {"user_id": pairs % 10, "item_id": pairs // 10, "timestamp": np.arange(100)}
    )
    split = GlobalTime(0.2, 90).split(Interactions.from_frame(frame))
    assert split.train.times.max() == 69
    targets = [set(fold.target.times) for fold in (split.validation, split.test)]
    assert targets[0] <= {*range(70, 90)} and targets[1] <= {*range(90, 100)}
    assert len(targets[0]) + len(targets[1]) + split.left_out == 30


@pytest.mark.parametrize("cuts", [(30, 40), (0.2, 0.1)])
def test_one_moment_cuts_the_log(cuts):
    frame = log(6, items=200)
    split = GlobalTime(*cuts).split(Interactions.from_frame(frame))
    last = np.sort(frame["timestamp"].to_numpy())
    first, second = cuts
    if first < 1:
        second = last[len(last) - int(0.1 * len(last) + 1e-9)]
        # Times tie here: the test is more than a tenth, and the two tenths come before all of it.
        tested = int((last >= second).sum())
        assert tested > int(0.1 * len(last))
        first = last[len(last) - int(tested + 0.2 * len(last) + 1e-9)]
    train = frame[frame["timestamp"] < first]
    known = frame["user_id"].isin(train["user_id"]) & frame["item_id"].isin(train["item_id"])
    middle = frame["timestamp"].between(first, second, inclusive="left")
    expected = [
        train,
        frame[known & middle],
        frame[known & (frame["timestamp"] >= second)],
    ]
    assert parts(split) == [
        set(part[["user_id", "item_id"]].itertuples(index=False, name=None)) for part in expected
    ]
    assert split.left_out == int((~known).sum()) > 0
    assert split.train.items.ids.tolist() == sorted(train["item_id"].unique())


def test_a_date_cuts_times_that_were_dates():
    days = pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-03"])
    frame = pd.DataFrame({"user_id": [1, 2, 1], "item_id": [7, 8, 8], "timestamp": days})
    split = GlobalTime(None, "2020-01-03").split(Interactions.from_frame(frame))
    assert pairs(split.test.target) == {(1, 8)} and split.validation is None


@given(seed=st.integers(0, 10**6), folds=st.integers(3, 7))
@settings(max_examples=15, deadline=None)
def test_every_user_is_tested_once(seed, folds):
    data = Interactions.from_frame(log(seed))
    splits = UserKFold(folds).split(data, seed)
    tested = [user for split in splits for user in split.test.history.users.ids.tolist()]
    assert len(splits) == folds and sorted(tested) == sorted(data.users.ids.tolist())
    sizes = [split.test.history.n_users for split in splits]
    assert max(sizes) - min(sizes) <= 1
    for split in splits:
        folds_of = [split.validation.history, split.test.history]
        users = [set(part.users.ids.tolist()) for part in [split.train, *folds_of]]
        assert len(set.union(*users)) == sum(map(len, users)) == data.n_users
        held = folds_of + [split.validation.target, split.test.target]
        assert split.train.nnz + sum(part.nnz for part in held) + split.left_out == data.nnz


@pytest.mark.parametrize(
    ("splitter", "parameter", "value"),
    [
        (RandomSplit(0.5, 0.5), "test", 0.5),
        (RandomSplit(-0.1, 0.5), "validation", -0.1),
        (RandomSplit(by="item"), "by", "item"),
        (RandomSplit(history="all"), "history", "all"),
        pytest.param(RandomSplit(10**400), "validation", 10**400, id="huge"),
        (RandomSplit(0.1, 10**400), "test", 10**400),
        (LeaveLastOut(-1), "validation", -1),
        (LeaveLastOut(1, 0), "test", 0),
        (GlobalTime(40, 30), "validation", 40),
        (GlobalTime(0.5, 0.5), "validation", 0.5),
        (GlobalTime(None, "soon"), "test", "soon"),
        (GlobalTime(None, "NaT"), "test", "NaT"),
        (GlobalTime(None, "3000-01-01"), "test", "3000-01-01"),
        (GlobalTime("1500-01-01", 0.1), "validation", "1500-01-01"),
        (GlobalTime(None, None), "test", None),
        (UserKFold(2), "folds", 2),
        (UserKFold(fold_in=1.0), "fold_in", 1.0),
    ],
)
def test_settings_out_of_range_are_named(splitter, parameter, value):
    with pytest.raises(ConfigError, match=parameter) as caught:
        splitter.split(Interactions.from_frame(log(1)))
    assert caught.value.parameter == parameter and caught.value.value == value
    assert str(value) in str(caught.value)


@pytest.mark.parametrize(
    ("splitter", "message"),
    [
        (RandomSplit(0.1, 0.1, by="all"), "validation=0.1 .* 1 interactions"),
        (LeaveLastOut(), "3 interactions.* validation=1 .*test=1"),
        (GlobalTime(), "=0.1 .* 1 interactions"),
        (GlobalTime(None, 9), "for test:"),
        (GlobalTime(None, 1), "for training:"),
        (GlobalTime(0.1, 1), "for training:"),
        (UserKFold(), "1 users .* folds=5"),
    ],
)
def test_too_few_interactions_are_an_error(splitter, message):
    frame = pd.DataFrame({"user_id": [1], "item_id": [2], "timestamp": [3]})
    with pytest.raises(DataError, match=message):
        splitter.split(Interactions.from_frame(frame))


def test_times_are_needed_to_split_by_time():
    data = Interactions.from_frame(log(1), time=None)
    for splitter in (LeaveLastOut(), GlobalTime()):
        with pytest.raises(DataError, match="no times"):
            splitter.split(data)


def test_ties_at_the_cut_leave_the_share_of_validation():
    # Ten interactions, the last three at one moment: the test takes all three.
    frame = pd.DataFrame(
        {
            "user_id": [0, 1, 0, 1, 0, 1, 0, 1, 0, 1],
            "item_id": [5, 6, 7, 8, 6, 5, 8, 7, 9, 9],
            "timestamp": [0, 1, 2, 3, 4, 5, 6, 9, 9, 9],
        }
    )
    split = GlobalTime(validation=0.2, test=0.1).split(Interactions.from_frame(frame))
    assert split.train.times.tolist() and split.train.times.max() == 4
    assert sorted(split.validation.target.times) == [5, 6]
    assert split.left_out == 2  # item 9 is new


def test_a_truth_value_is_no_moment():
    with pytest.raises(ConfigError, match="test .*a date.* True"):
        GlobalTime(None, True).split(Interactions.from_frame(log(1)))
