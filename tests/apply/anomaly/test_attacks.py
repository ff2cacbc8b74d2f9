"""Planted profiles are what the literature says, written out here."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import recae
from recae.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def ratings() -> recae.Interactions:
    """200 users, 60 items; item i has the mean rating 1 + i % 5, and popularity falls with i."""
    rng = np.random.default_rng(0)
    chance = np.linspace(0.9, 0.1, 60)
    users, items = np.nonzero(rng.random((200, 60)) < chance)
    values = np.clip(1 + items % 5 + rng.integers(-1, 2, len(items)), 1, 5).astype(float)
    return recae.Interactions.from_csr(sp.csr_matrix((values, (users, items)), shape=(200, 60)))


def fakes(planted: recae.apply.anomaly.Injected) -> pd.DataFrame:
    frame = planted.data.to_frame()
    return frame[frame["user_id"].isin(planted.users)]


@pytest.mark.parametrize("attack", ["random", "average", "bandwagon", "segment"])
def test_every_attack_leaves_the_genuine_rows_and_fills_the_others(
    attack: str, ratings: recae.Interactions
) -> None:
    planted = recae.apply.anomaly.inject_profiles(
        ratings, attack, share=0.1, filler=12, target=59, seed=3
    )
    assert planted.data.n_users == 220
    assert planted.users.tolist() == list(range(200, 220))
    assert planted.is_fake.tolist() == [False] * 200 + [True] * 20
    genuine = planted.data.select_users(np.arange(200))
    assert (genuine.matrix != ratings.matrix).nnz == 0
    frame = fakes(planted)
    size = 12 + len(planted.selected) + 1
    assert frame.groupby("user_id").size().tolist() == [size] * 20
    assert not frame.duplicated(["user_id", "item_id"]).any()
    assert (frame.loc[frame["item_id"] == 59, "weight"] == 5).all()
    assert frame["weight"].isin([1, 2, 3, 4, 5]).all()


def fillers(planted: recae.apply.anomaly.Injected) -> pd.DataFrame:
    frame = fakes(planted)
    return frame[~frame["item_id"].isin([*planted.targets, *planted.selected])]


def test_average_fillers_follow_their_items_and_random_ones_do_not(
    ratings: recae.Interactions,
) -> None:
    every = ratings.to_frame()
    means = every.groupby("item_id")["weight"].mean()
    for attack, follows in (("average", True), ("random", False)):
        planted = recae.apply.anomaly.inject_profiles(
            ratings, attack, share=2.0, filler=20, target=0, seed=1
        )
        drawn = fillers(planted).groupby("item_id")["weight"].mean()
        correlation = np.corrcoef(drawn, means[drawn.index])[0, 1]
        assert (correlation > 0.95) if follows else (abs(correlation) < 0.4)
    # 400 profiles x 20 draws from a normal distribution, cut to 1..5: the mean of all ratings
    assert fillers(planted)["weight"].mean() == pytest.approx(every["weight"].mean(), abs=0.1)


def test_bandwagon_selects_the_most_rated(ratings: recae.Interactions) -> None:
    planted = recae.apply.anomaly.inject_profiles(
        ratings, "bandwagon", filler=3, target=0, selected=4
    )
    counts = np.bincount(ratings.matrix.indices, minlength=60)
    others = [int(item) for item in np.argsort(-counts, kind="stable") if item != 0]
    assert planted.selected.tolist() == others[:4]
    frame = fakes(planted)
    assert (frame.loc[frame["item_id"].isin(planted.selected), "weight"] == 5).all()


def test_segment_selects_what_the_target_is_rated_with() -> None:
    rows = [[5, 4, 5, 0, 0, 3]] * 10 + [[0, 0, 0, 4, 5, 3]] * 10
    data = recae.Interactions.from_csr(sp.csr_matrix(np.array(rows, dtype=float)))
    planted = recae.apply.anomaly.inject_profiles(data, "segment", filler=1, target=0, selected=2)
    assert sorted(planted.selected.tolist()) == [1, 2]
    assert (fillers(planted)["weight"] == 3).all()  # the lowest rating that occurs


def test_nuke_text_ids_times_and_top() -> None:
    frame = pd.DataFrame(
        {
            "user_id": [f"u{user}" for user in range(30) for _ in range(4)] + ["fake-2"],
            "item_id": [f"i{item}" for _ in range(30) for item in range(4)] + ["i9"],
            "weight": ([1.0, 2.0, 4.0, 5.0] * 30) + [3.0],
            "timestamp": range(121),
        }
    )
    data = recae.Interactions.from_frame(frame)
    planted = recae.apply.anomaly.inject_profiles(
        data, share=0.1, filler=2, target="i3", push=False, top=0.8
    )
    assert planted.users.tolist() == ["fake-1", "fake-3", "fake-4"]
    drawn = fakes(planted)
    assert (drawn.loc[drawn["item_id"] == "i3", "weight"] == 1).all()
    assert "i9" not in set(drawn["item_id"])  # the least rated
    assert planted.data.times is not None and planted.data.times.max() <= 120


def test_a_seed_decides_everything(ratings: recae.Interactions) -> None:
    one, same, other = (
        recae.apply.anomaly.inject_profiles(ratings, seed=seed) for seed in (5, 5, 6)
    )
    assert one.data.fingerprint() == same.data.fingerprint() != other.data.fingerprint()


def test_without_ratings_only_the_choice_is_left() -> None:
    data = recae.Interactions.from_csr(sp.random(30, 20, 0.3, random_state=0).tocsr().ceil())
    planted = recae.apply.anomaly.inject_profiles(data, "average", filler=3)
    assert not planted.data.weighted


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"attack": "averag"}, ConfigError, "mean 'average'"),
        ({"share": 0}, ConfigError, "share"),
        ({"filler": 2.0}, ConfigError, "filler"),
        ({"filler": True}, ConfigError, "filler"),
        ({"filler": "0.1"}, ConfigError, "filler .*float .*integer"),
        ({"share": 10**400}, ConfigError, "share"),
        ({"selected": -1}, ConfigError, "selected"),
        ({"top": 1.5}, ConfigError, "top"),
        ({"filler": 60}, DataError, "lower filler"),
        ({"target": 999}, DataError, "999"),
        ({"seed": -1}, ConfigError, "seed"),
        ({"push": "no"}, ConfigError, "push"),
        ({"target": []}, DataError, "target"),
    ],
)
def test_bad_input_is_named(
    change: dict[str, object], error: type[Exception], says: str, ratings: recae.Interactions
) -> None:
    with pytest.raises(error, match=says):
        recae.apply.anomaly.inject_profiles(ratings, **change)


def test_numbers_of_numpy_and_sets_of_targets(ratings: recae.Interactions) -> None:
    plain = recae.apply.anomaly.inject_profiles(
        ratings, "bandwagon", filler=3, selected=2, target=[4, 9]
    )
    options = {"filler": np.int64(3), "selected": np.int64(2), "target": {4, 9}}
    other = recae.apply.anomaly.inject_profiles(ratings, "bandwagon", **options)
    assert other.data.fingerprint() == plain.data.fingerprint()
    assert recae.apply.anomaly.inject_profiles(ratings, target=np.int64(4)).targets.tolist() == [4]


def test_ids_that_leave_no_room_are_named() -> None:
    frame = pd.DataFrame({"user_id": [1, 2**63 - 1], "item_id": [1, 2]})
    with pytest.raises(DataError, match="largest .* 9223372036854775807"):
        recae.apply.anomaly.inject_profiles(frame, filler=1)
