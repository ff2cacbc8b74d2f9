"""Splits: the published protocol against a slow version, and laws that every split obeys."""

import numpy as np
import pandas as pd
import pytest

from recae.data import IdMap, Interactions
from recae.data.splits import StrongGeneralization
from recae.errors import ConfigError, DataError


def random_frame(seed, users=60, items=40, n=600):
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {"user_id": generator.integers(0, users, n) * 7, "item_id": generator.integers(0, items, n)}
    ).drop_duplicates()
    return frame.sample(frac=1, random_state=seed)


def pairs(data):
    return set(data.to_frame()[["user_id", "item_id"]].itertuples(index=False, name=None))


def frame_pairs(frame):
    return set(frame[["user_id", "item_id"]].itertuples(index=False, name=None))


def slow_liang(frame, held_out, hidden_share, min_target, seed):
    """The protocol of Liang et al. 2018, step by step, on a frame in the order of its file."""
    frame = frame.sort_values(["user_id", "item_id"])
    users = np.sort(frame["user_id"].unique())
    shuffled = users[np.random.RandomState(seed).permutation(len(users))]
    train_users = shuffled[: len(users) - 2 * held_out]
    parts = [frame[frame["user_id"].isin(train_users)]]
    vocabulary = parts[0]["item_id"].unique()
    for block in (shuffled[-2 * held_out : -held_out], shuffled[-held_out:]):
        rows = frame[frame["user_id"].isin(block) & frame["item_id"].isin(vocabulary)]
        stream = np.random.RandomState(seed)
        history, target = [], []
        for _, group in rows.groupby("user_id"):
            hidden = np.zeros(len(group), dtype=bool)
            if len(group) >= min_target:
                size = int(hidden_share * len(group))
                hidden[stream.choice(len(group), size=size, replace=False)] = True
            history.append(group[~hidden])
            target.append(group[hidden])
        parts += [pd.concat(history), pd.concat(target)]
    return [frame_pairs(part) for part in parts]


@pytest.mark.parametrize("seed", [0, 1, 98765])
@pytest.mark.parametrize(("fold_in", "hidden_share"), [(0.8, 0.2), (0.5, 0.5)])
def test_strong_generalisation_is_the_published_protocol(seed, fold_in, hidden_share):
    frame = random_frame(seed)
    split = StrongGeneralization(held_out=9, fold_in=fold_in).split(
        Interactions.from_frame(frame), seed
    )
    parts = [split.train, split.validation.history, split.validation.target]
    parts += [split.test.history, split.test.target]
    assert [pairs(part) for part in parts] == slow_liang(frame, 9, hidden_share, 5, seed)


def test_strong_generalisation_does_not_depend_on_the_order_of_the_id_maps():
    data = Interactions.from_frame(random_frame(3))
    turned = data.select_users(np.arange(data.n_users)[::-1])
    turned = turned.select_items(np.random.default_rng(0).permutation(data.n_items))
    one, other = (StrongGeneralization(0.2).split(part, 5) for part in (data, turned))
    for ours, theirs in zip(parts_of(one), parts_of(other), strict=True):
        assert ours.fingerprint() == theirs.fingerprint()
    fold = StrongGeneralization().fold(turned)
    assert fold.history.users == turned.users and fold.history.items == turned.items
    assert pairs(fold.target) == pairs(StrongGeneralization().fold(data).target)


def parts_of(split):
    return [
        split.train,
        split.validation.history,
        split.validation.target,
        split.test.history,
        split.test.target,
    ]


def test_parts_are_disjoint_and_lose_only_items_that_training_lacks():
    data = Interactions.from_frame(random_frame(4, items=200))
    split = StrongGeneralization(held_out=0.2).split(data, 1)
    assert sum(part.nnz for part in parts_of(split)) + split.left_out == data.nnz
    assert len(set().union(*map(pairs, parts_of(split)))) == data.nnz - split.left_out
    assert split.left_out > 0 and f"{split.left_out} interactions with users or items" in repr(
        split
    )
    users = [split.train.users, split.validation.history.users, split.test.history.users]
    assert [len(ids) for ids in users] == [data.n_users - 24, 12, 12]  # 20 % of 60 is 12
    assert set().union(*(ids.ids.tolist() for ids in users)) == set(data.users.ids.tolist())
    for ids in [*users, split.train.items]:
        assert (np.diff(ids.ids) > 0).all()
    assert (split.train.matrix.getnnz(axis=0) > 0).all()


def test_a_fifth_of_five_is_one():
    # 1 - 0.8 is 0.19999999999999996 in floats, whose fivefold cuts to 0.
    frame = pd.DataFrame({"user_id": np.repeat([1, 2], [5, 4]), "item_id": [*range(5), *range(4)]})
    fold = StrongGeneralization(fold_in=0.8).fold(Interactions.from_frame(frame))
    assert fold.target.matrix.getnnz(axis=1).tolist() == [1, 0]
    assert fold.history.matrix.getnnz(axis=1).tolist() == [4, 4]


def test_held_out_users_without_any_known_item_stay_with_empty_rows():
    own = pd.DataFrame({"user_id": range(10), "item_id": range(10)})  # nobody shares an item
    split = StrongGeneralization(held_out=2).split(Interactions.from_frame(own))
    assert split.validation.history.n_users == split.test.history.n_users == 2
    assert split.test.history.nnz == split.test.target.nnz == 0
    assert split.left_out == 4


def test_users_without_interactions_are_not_split():
    data = Interactions.from_frame(random_frame(6))
    wider = data.with_users(data.users.union(IdMap([-5, 10**9])))
    for ours, theirs in zip(
        parts_of(StrongGeneralization().split(data)),
        parts_of(StrongGeneralization().split(wider)),
        strict=True,
    ):
        assert ours.fingerprint() == theirs.fingerprint()


def test_splitting_leaves_the_global_random_state_alone():
    before = np.random.get_state()[1].tolist()
    StrongGeneralization().split(Interactions.from_frame(random_frame(0)))
    assert np.random.get_state()[1].tolist() == before


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"held_out": 0}, ConfigError, "held_out .* share .* not 0$"),
        ({"held_out": 0.5}, ConfigError, r"held_out .* share .* not 0\.5"),
        ({"held_out": True}, ConfigError, "held_out .* True"),
        ({"held_out": "10%"}, ConfigError, "held_out .* '10%'"),
        ({"fold_in": 1.0}, ConfigError, r"fold_in .*< 1, not 1\.0"),
        ({"min_target": 0}, ConfigError, "min_target .* 0"),
        ({"held_out": 30}, DataError, "held_out=30 .* 60 users"),
        ({"held_out": 0.001}, DataError, "held_out=0.001 .* 0 users"),
    ],
)
def test_settings_are_checked_when_splitting(settings, error, message):
    protocol = StrongGeneralization(**settings)
    with pytest.raises(error, match=message):
        protocol.split(Interactions.from_frame(random_frame(0)))


@pytest.mark.parametrize("seed", [-1, 1.5, None, 2**32])
def test_bad_seeds(seed):
    with pytest.raises(ConfigError, match="seed"):
        StrongGeneralization().split(Interactions.from_frame(random_frame(0)), seed)
