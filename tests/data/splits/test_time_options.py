"""Options of the splits by time, rolling splits and folds over interactions: slow versions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import recae
from recae import ConfigError, DataError, Interactions
from recae.data.splits import RollingTime, WeakKFold, repeated


def log(seed: int = 0, n: int = 300, moments: int = 10**6) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    columns = {"user_id": (30, 1), "item_id": (40, 0), "timestamp": (moments, 0)}
    frame = pd.DataFrame({name: rng.integers(0, high, n) for name, (high, _) in columns.items()})
    return frame.drop_duplicates(["user_id", "item_id"]).sort_values("timestamp", kind="stable")


Pairs = set[tuple[Any, ...]]


def pairs(data: Interactions | pd.DataFrame) -> Pairs:
    frame = data if isinstance(data, pd.DataFrame) else data.to_frame()
    return set(frame[["user_id", "item_id"]].itertuples(index=False, name=None))


def test_the_last_share_of_every_user() -> None:
    frame = log()
    split = recae.LeaveLastOut(0.2, 0.3).split(frame)
    train, valid, test = Pairs(), Pairs(), Pairs()
    for _, group in frame.groupby("user_id"):
        n = len(group)
        last = max(int(0.3 * n + 1e-9), 1) if n >= 3 else int(n == 2)
        middle = max(int(0.2 * n + 1e-9), 1) if n >= 3 else 0
        cut = n - last - middle
        train |= pairs(group.iloc[:cut])
        valid |= pairs(group.iloc[cut : n - last])
        test |= pairs(group.iloc[n - last :])
    assert pairs(split.train) == train
    assert pairs(split.validation.target) == valid and pairs(split.test.target) == test


@pytest.mark.parametrize(
    "splitter",
    [
        recae.LeaveLastOut(1, 1, latest=2),
        recae.GlobalTime(0.2, 0.2, latest=2),
        recae.GlobalTime(0.2, 0.2, latest=2, cold="keep"),
        recae.StrongGeneralization(5, min_target=2, latest=2),
        recae.StrongGeneralization(5, moment=500_000, latest=2),
    ],
    ids=repr,
)
def test_histories_of_the_latest(splitter: Any) -> None:
    frame = log()
    split = splitter.split(frame)
    whole = type(splitter)(**{**vars(splitter), "latest": None}).split(frame)
    for fold, full in ((split.validation, whole.validation), (split.test, whole.test)):
        assert pairs(fold.mask) == pairs(full.history)  # none of them comes back
        assert pairs(fold.target) == pairs(full.target)
        latest = full.history.to_frame().sort_values("timestamp").groupby("user_id").tail(2)
        assert pairs(fold.history) == pairs(latest)
    assert pairs(split.train) == pairs(whole.train)


@pytest.mark.parametrize("cold", ["drop", "users", "items", "keep"])
def test_cold_users_and_items(cold: str) -> None:
    frame = log(seed=3, n=120)
    first, second = frame["timestamp"].quantile([0.5, 0.7]).astype(int)
    train = frame[frame["timestamp"] < first]
    stays = pd.Series(True, frame.index)
    if cold in ("drop", "items"):
        stays &= frame["user_id"].isin(train["user_id"])
    if cold in ("drop", "users"):
        stays &= frame["item_id"].isin(train["item_id"])
    split = recae.GlobalTime(int(first), int(second), cold=cold).split(frame)
    assert pairs(split.train) == pairs(train)
    assert pairs(split.test.target) == pairs(frame[stays & (frame["timestamp"] >= second)])
    middle = frame["timestamp"].between(first, second, inclusive="left")
    assert pairs(split.validation.target) == pairs(frame[stays & middle])
    assert split.left_out == int((~stays).sum()) and (split.left_out > 0) == (cold != "keep")
    model = recae.Popularity().fit(split.train)
    assert recae.evaluate(model, split.test, "recall@40")["recall@40"] <= 1


@pytest.mark.parametrize("splitter", [recae.LeaveLastOut, recae.RandomSplit])
def test_some_users_are_tested_and_the_others_train(splitter: Any) -> None:
    frame = log()
    rest: list[Any] = [1, 1] if splitter is recae.LeaveLastOut else [0.2, 0.2]
    everyone = splitter(*rest).split(frame)
    for users, count in ((7, 7), (0.5, round(0.5 * everyone.test.target.n_users)), (1.0, None)):
        split = splitter(*rest, users=users).split(frame, seed=4)
        tested = set(split.test.target.users.ids.tolist())
        assert len(tested) == (everyone.test.target.n_users if count is None else count)
        others = frame[~frame["user_id"].isin(tested)]
        assert pairs(others) <= pairs(split.train)
        assert split.train.nnz + split.validation.target.nnz + split.test.target.nnz == len(frame)
    drawn = {
        tuple(splitter(*rest, users=3).split(frame, seed=s).test.target.users.ids) for s in range(8)
    }
    assert len(drawn) > 3
    shuffled = splitter(*rest, users=3).split(frame.sample(frac=1, random_state=0), seed=1)
    again = splitter(*rest, users=3).split(frame, seed=1)
    assert pairs(shuffled.test.target) == pairs(again.test.target)
    with pytest.raises(DataError, match="users=31 .*"):
        splitter(*rest, users=31).split(frame)


def test_users_need_shares_by_user() -> None:
    with pytest.raises(ConfigError) as caught:
        recae.RandomSplit(0.1, 0.1, by="all", users=0.5).split(log())
    assert caught.value.parameter == "users"


@pytest.mark.parametrize("validation", [False, True])
@pytest.mark.parametrize("window", [0.1, 100_000])
def test_rolling_windows(validation: bool, window: float) -> None:
    frame = log(n=500)
    splits = RollingTime(3, window, validation=validation, cold="keep").split(frame)
    times = frame["timestamp"].to_numpy()
    if window == 0.1:
        count = int(0.1 * len(times) + 1e-9)
        starts = [int(np.sort(times)[len(times) - count * n]) for n in (4, 3, 2, 1)]
        starts.append(int(times.max()) + 1)
    else:
        starts = [int(times.max()) + 1 - 100_000 * n for n in (4, 3, 2, 1, 0)]
    assert len(splits) == 3
    for number, split in enumerate(splits):
        valid, test, end = starts[number : number + 3]
        before = valid if validation else test
        assert pairs(split.train) == pairs(frame[times < before])
        assert pairs(split.test.target) == pairs(frame[(times >= test) & (times < end)])
        assert (split.validation is None) != validation
        users = split.test.target.users.ids
        history = frame[(times < test) & frame["user_id"].isin(users)]
        assert pairs(split.test.history) == pairs(history)


@pytest.mark.parametrize(
    ("splitter", "error"),
    [
        (RollingTime(30, 0.1), DataError),
        (RollingTime(30, 100_000), DataError),
        (RollingTime(3, 0.0001), DataError),
        (RollingTime(0), ConfigError),
        (RollingTime(3, "2D"), DataError),  # times are no dates
    ],
    ids=repr,
)
def test_windows_that_do_not_fit(splitter: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        splitter.split(log())


def test_strong_generalisation_in_time() -> None:
    frame = log(n=400)
    data = Interactions.from_frame(frame)
    split = recae.StrongGeneralization(5, moment=500_000).split(data, seed=1)
    usual = recae.StrongGeneralization(5).split(data, seed=1)
    for fold, other in ((split.validation, usual.validation), (split.test, usual.test)):
        users = fold.history.users.ids
        assert users.tolist() == other.history.users.ids.tolist()  # the same users
        known = frame["item_id"].isin(split.train.items.ids) & frame["user_id"].isin(users)
        early = frame["timestamp"] < 500_000
        assert pairs(fold.history) == pairs(frame[known & early])
        assert pairs(fold.target) == pairs(frame[known & ~early])
    trains = frame["user_id"].isin(usual.train.users.ids)
    assert pairs(split.train) == pairs(frame[trains & (frame["timestamp"] < 500_000)])


def test_the_last_interactions_of_held_out_users() -> None:
    frame = log(n=500)
    protocol = recae.StrongGeneralization(6, fold_in=0.6, target="last")
    split, usual = protocol.split(frame), recae.StrongGeneralization(6, fold_in=0.6).split(frame)
    assert pairs(split.train) == pairs(usual.train)
    for fold, other in ((split.validation, usual.validation), (split.test, usual.test)):
        # As many of every user as at random, but the last ones.
        sizes = np.diff(other.target.matrix.indptr)
        assert np.diff(fold.target.matrix.indptr).tolist() == sizes.tolist() and sizes.sum()
        both = pd.concat([fold.history.to_frame(), fold.target.to_frame()])
        expected = Pairs()
        for user, group in both.groupby("user_id"):
            count = int(sizes[other.target.users.lookup([user])[0]])
            expected |= pairs(group.sort_values("timestamp").tail(count)) if count else Pairs()
        assert pairs(fold.target) == expected


def test_strong_generalisation_without_validation() -> None:
    frame = log()
    split = recae.StrongGeneralization(5, validation=False).split(frame, seed=2)
    usual = recae.StrongGeneralization(5).split(frame, seed=2)
    assert split.validation is None
    assert split.test.history.users == usual.test.history.users
    users = {*usual.train.users.ids.tolist(), *usual.validation.history.users.ids.tolist()}
    assert set(split.train.users.ids.tolist()) == users


@pytest.mark.parametrize("by", ["user", "all"])
@pytest.mark.parametrize("validation", [False, True])
def test_every_interaction_tests_once(by: str, validation: bool) -> None:
    frame = log()
    data = Interactions.from_frame(frame)
    splits = WeakKFold(3, by=by, validation=validation).split(data, seed=5)
    tests = [pairs(split.test.target) for split in splits]
    sizes = data.matrix.getnnz(axis=1)
    able = sizes >= (3 if validation else 2)
    expected = pairs(data.select_users(np.flatnonzero(able))) if by == "user" else pairs(data)
    assert set.union(*tests) == expected and sum(map(len, tests)) == len(expected)
    for number, split in enumerate(splits):
        others = tests[number] | (tests[(number + 1) % 3] if validation else Pairs())
        assert pairs(split.train) == pairs(data) - others
        if validation:
            assert pairs(split.validation.target) == tests[(number + 1) % 3]
        if by == "user":
            assert (np.diff(split.train.matrix.indptr)[sizes > 0] > 0).all()
            counts = np.zeros(data.n_users, dtype=int)
            counts[data.users.lookup(split.test.target.users.ids)] = np.diff(
                split.test.target.matrix.indptr
            )
            assert (np.abs(counts - sizes / 3)[able] < 1).all()
    assert max(map(len, tests)) - min(map(len, tests)) <= (1 if by == "all" else data.n_users)
    shuffled = Interactions.from_frame(frame.sample(frac=1, random_state=0))
    turned = shuffled.select_users(np.arange(data.n_users)[::-1])
    again = WeakKFold(3, by=by, validation=validation).split(turned, seed=5)
    assert [pairs(split.test.target) for split in again] == tests


def test_repeated_samples_are_those_of_their_seeds() -> None:
    protocol = recae.RandomSplit(0, 0.2)
    splits = repeated(protocol, log(), times=3, seed=7)
    expected = [protocol.split(log(), seed=seed) for seed in (7, 8, 9)]
    assert [s.test.fingerprint() for s in splits] == [s.test.fingerprint() for s in expected]
    for wrong in (recae.UserKFold(), 3, None):
        with pytest.raises(ConfigError) as caught:
            repeated(wrong, log(), times=1)
        assert caught.value.parameter == "protocol"
    with pytest.raises(ConfigError):
        repeated(protocol, log(), times=0)


def test_counts_of_random_interactions() -> None:
    frame = log()
    split = recae.RandomSplit(1, 3).split(frame, seed=1)
    sizes = frame.groupby("user_id").size()
    able = sizes.index[sizes > 4]
    assert split.test.target.users.ids.tolist() == able.tolist()
    assert set(np.diff(split.test.target.matrix.indptr)) == {3}
    assert set(np.diff(split.validation.target.matrix.indptr)) == {1}
    assert split.train.nnz == len(frame) - 4 * len(able)
    assert recae.RandomSplit(0, 2).split(frame).validation is None
    for wrong, parameter in (
        (recae.RandomSplit(0.1, 2), "validation"),
        (recae.RandomSplit(2, 0.1), "test"),
        (recae.RandomSplit(1, 1, by="all"), "by"),
        (recae.RandomSplit(-1, 1), "validation"),
    ):
        with pytest.raises(ConfigError) as caught:
            wrong.split(frame)
        assert caught.value.parameter == parameter
    with pytest.raises(DataError, match="test=500 "):
        recae.RandomSplit(0, 500).split(frame)
