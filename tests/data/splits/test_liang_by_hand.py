"""The preparation of Liang et al. (2018) from ratings to folds, worked out by hand.

Only three things below cannot be done on paper, the draws of numpy's legacy generator started with
98765. They are written out here and checked first:

    permutation(10)                 8 7 1 2 0 6 9 4 3 5
    choice(5, 1), then choice(6, 1) 4, then 2
    choice(10, 2)                   8 7
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest

import recae
from recae.data import dataset_card

SEED = 98765
Pairs = set[tuple[int, int]]

# Liked items, with 4 stars or more, of eleven users.
LIKED = {
    2: [100, 101, 102, 103, 104],
    3: [101, 102, 103, 104, 105],
    5: [102, 103, 104, 105, 106],
    7: [101, 103, 105, 107, 110],
    11: [100, 101, 102, 103, 104],
    13: [100, 101, 102, 103, 104, 105, 106, 107, 108, 109],
    17: [103, 104, 105, 106, 107],
    19: [104, 105, 106, 107, 108],
    23: [105, 106, 107, 108, 109],
    29: [100, 102, 104, 106, 108, 109, 111],
    31: [100, 101, 102, 103],
}
# What they rated with 3.5 stars or less; user 31 would have seven items with these, 37 one.
RATED = {2: [111], 3: [110, 111], 31: [104, 105, 106], 37: [100]}


def ratings() -> pd.DataFrame:
    """The table, in the order of its file: by user, then by item."""
    rows = [
        (user, item, [4.0, 4.5, 5.0][item % 3]) for user, items in LIKED.items() for item in items
    ]
    rows += [
        (user, item, [3.5, 0.5, 2.0][item % 3]) for user, items in RATED.items() for item in items
    ]
    return pd.DataFrame(sorted(rows), columns=["user_id", "item_id", "rating"])


def interactions(frame: pd.DataFrame) -> recae.Interactions:
    return recae.Interactions.from_frame(frame, weight="rating")


def pairs(data: recae.Interactions) -> Pairs:
    return set(data.to_frame()[["user_id", "item_id"]].itertuples(index=False, name=None))


def of(user: int, *items: int) -> Pairs:
    return {(user, item) for item in items}


def test_the_draws_are_those_written_above() -> None:
    assert np.random.RandomState(SEED).permutation(10).tolist() == [8, 7, 1, 2, 0, 6, 9, 4, 3, 5]
    stream = np.random.RandomState(SEED)
    assert [stream.choice(n, size=1, replace=False).tolist() for n in (5, 6)] == [[4], [2]]
    assert np.random.RandomState(SEED).choice(10, size=2, replace=False).tolist() == [8, 7]


def test_the_filters_of_movielens() -> None:
    # 3.5 stars do not count, so that user 31 is left with four items and goes; 37 has none at all.
    # Items are not filtered: 110 and 111 stay with the one user who likes each.
    steps = dict(dataset_card("ml-20m")["published_preprocessing"])
    del steps["source"]  # the rest is what load_dataset("ml-20m", preprocessed=True) applies
    data = interactions(ratings()).filter(**steps)
    assert data.users.ids.tolist() == [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]
    assert data.items.ids.tolist() == list(range(100, 112))
    assert data.nnz == 8 * 5 + 10 + 7
    assert not data.weighted
    assert pairs(data) == {pair for user in LIKED if user != 31 for pair in of(user, *LIKED[user])}


def test_the_split_of_movielens() -> None:
    data = interactions(ratings()).filter(min_weight=4, min_per_user=5, binarise=True)
    split = recae.StrongGeneralization(held_out=2).split(data, seed=SEED)
    # Users in ascending order have the numbers     0  1  2  3  4   5   6   7   8   9
    #                                               2  3  5  7  11  13  17  19  23  29
    # and are permuted to 8 7 1 2 0 6 | 9 4 | 3 5:  23 19 3 5 2 17 | 29 11 | 7 13.
    assert split.train.users.ids.tolist() == [2, 3, 5, 17, 19, 23]
    assert split.validation is not None and split.test is not None
    assert split.validation.history.users.ids.tolist() == [11, 29]
    assert split.test.history.users.ids.tolist() == [7, 13]
    # Items of the training users are 100 to 109. Nobody of them likes 110 or 111 (users 2 and 3
    # rated them with too few stars): two interactions are left out, (7, 110) and (29, 111).
    assert split.train.items.ids.tolist() == list(range(100, 110))
    assert split.left_out == 2
    assert pairs(split.train) == {
        p for user in (2, 3, 5, 17, 19, 23) for p in of(user, *LIKED[user])
    }
    # Validation: user 11 has 5 items, int(0.2 * 5) = 1 is hidden, place 4 (from 0): 104.
    # Then user 29 with 6 of the known items, 100 102 104 106 108 109: int(1.2) = 1, place 2: 104.
    assert pairs(split.validation.target) == {(11, 104), (29, 104)}
    assert pairs(split.validation.history) == (
        of(11, 100, 101, 102, 103) | of(29, 100, 102, 106, 108, 109)
    )
    # Test, the stream started anew: user 7 has 4 known items, fewer than five; nothing is drawn and
    # all stay in the fold-in. User 13 has 10, int(2) = 2 are hidden, places 8 and 7: 108 and 107.
    assert pairs(split.test.target) == {(13, 107), (13, 108)}
    assert pairs(split.test.history) == (
        of(7, 101, 103, 105, 107) | of(13, 100, 101, 102, 103, 104, 105, 106, 109)
    )
    assert split.test.target.matrix.getnnz(axis=1).tolist() == [0, 2]


def test_a_user_without_a_target_is_in_no_mean() -> None:
    data = interactions(ratings()).filter(min_weight=4, min_per_user=5, binarise=True)
    split = recae.StrongGeneralization(held_out=2).split(data, seed=SEED)
    model = recae.Popularity().fit(split.train)
    # Training users of 100 ... 109: 1 2 3 4 5 5 4 3 2 1. User 13 has all but 107 and 108, who come
    # first for want of others: calibrated_recall 1. User 7 has no target, and no value.
    assert split.test is not None
    report = recae.evaluate(model, split.test, ["calibrated_recall@2"])
    assert report["calibrated_recall@2"] == 1
    assert report.per_user["calibrated_recall@2"].isna().tolist() == [True, False]


def test_the_filters_of_the_million_songs() -> None:
    # Songs with 3 listeners or more first (200 as published), then users with 2 of those or more
    # (20): the plays are not looked at. Listeners: a 4, b 3, c 3, d 2.
    plays = {1: "ab", 2: "abc", 3: "abcd", 4: "ad", 5: "c"}
    rows = [(user, song, 1 + user) for user, songs in plays.items() for song in songs]
    table = pd.DataFrame(rows, columns=["user_id", "item_id", "rating"])
    steps = dict(dataset_card("msd-taste-profile")["published_preprocessing"])
    assert (steps.pop("min_per_item"), steps.pop("min_per_user")) == (200, 20)
    del steps["source"]
    data = interactions(table).filter(min_per_item=3, min_per_user=2, **steps)
    # d goes. User 4 is left with a alone and goes, as 5 with c. c then has two listeners, 2 and 3,
    # and stays: the songs are not filtered again. (Users first would have kept 4, who has two.)
    assert set(map(tuple, data.to_frame()[["user_id", "item_id"]].to_numpy().tolist())) == {
        (1, "a"), (1, "b"), (2, "a"), (2, "b"), (2, "c"), (3, "a"), (3, "b"), (3, "c"),
    }  # fmt: skip
    assert not data.weighted


def slow(
    rows: list[tuple[int, int, float]], min_per_item: int, min_per_user: int, held_out: int
) -> list[Pairs]:
    """Train, fold-in and target of validation, fold-in and target of the test, with loops only."""
    liked = sorted((user, item) for user, item, stars in rows if stars > 3.5)
    listeners = Counter(item for _, item in liked)
    liked = [(user, item) for user, item in liked if listeners[item] >= min_per_item]
    lengths = Counter(user for user, _ in liked)
    liked = [(user, item) for user, item in liked if lengths[user] >= min_per_user]
    users = sorted({user for user, _ in liked})
    order = [users[place] for place in np.random.RandomState(SEED).permutation(len(users))]
    head = len(users) - 2 * held_out
    train = {(user, item) for user, item in liked if user in order[:head]}
    vocabulary = {item for _, item in train}
    found = [train]
    for block in (order[head : head + held_out], order[head + held_out :]):
        stream = np.random.RandomState(SEED)
        fold_in: Pairs = set()
        target: Pairs = set()
        for user in sorted(block):
            items = [item for who, item in liked if who == user and item in vocabulary]
            hidden: list[int] = []
            if len(items) >= 5:
                drawn = stream.choice(len(items), size=int(0.2 * len(items)), replace=False)
                hidden = [items[place] for place in drawn]
            fold_in |= {(user, item) for item in items if item not in hidden}
            target |= {(user, item) for item in hidden}
        found += [fold_in, target]
    return found


@pytest.mark.parametrize(("min_per_item", "min_per_user"), [(0, 5), (6, 4)])
@pytest.mark.parametrize("seed", range(4))
def test_larger_tables_agree_with_the_slow_version(
    seed: int, min_per_item: int, min_per_user: int
) -> None:
    rng = np.random.default_rng(seed)
    cells = rng.choice(70 * 60, 2500, replace=False)
    rows = [
        (int(cell // 60) * 3 + 1, int(cell % 60) ** 2, float(rng.integers(1, 11)) / 2)
        for cell in cells
    ]
    table = pd.DataFrame(rows, columns=["user_id", "item_id", "rating"])
    data = interactions(table).filter(
        min_weight=4, min_per_item=min_per_item, min_per_user=min_per_user, binarise=True
    )
    split = recae.StrongGeneralization(held_out=15).split(data, seed=SEED)
    assert split.validation is not None and split.test is not None
    ours = [split.train, split.validation.history, split.validation.target]
    ours += [split.test.history, split.test.target]
    theirs = slow(rows, min_per_item, min_per_user, 15)
    assert [pairs(part) for part in ours] == theirs
    assert sum(map(len, theirs)) + split.left_out == data.nnz
    lengths = np.diff(split.test.history.matrix.indptr) + np.diff(split.test.target.matrix.indptr)
    hidden = np.diff(split.test.target.matrix.indptr)
    assert hidden.tolist() == [int(0.2 * n) if n >= 5 else 0 for n in lengths]

    # The four tables, written to files and read back, are the same split again.
    given = dict(zip(("train", "vh", "vt", "th", "tt"), theirs, strict=True))
    frames = {n: pd.DataFrame(sorted(p), columns=["user_id", "item_id"]) for n, p in given.items()}
    again = recae.data.splits.fixed_folds(
        frames["train"],
        validation_history=frames["vh"],
        validation_target=frames["vt"],
        test_history=frames["th"],
        test_target=frames["tt"],
    )
    assert again.test is not None and again.validation is not None
    parts = [again.train, again.validation.history, again.validation.target]
    parts += [again.test.history, again.test.target]
    assert [pairs(part) for part in parts] == theirs
    assert again.train.items.ids.tolist() == split.train.items.ids.tolist()
    assert again.test.history.users.ids.tolist() == sorted({user for user, _ in theirs[3]})
