"""detect_profiles on planted users of four tastes: who is found, why, and how many in error."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import recae
from recae.apply.anomaly import reconstruction
from recae.apply.anomaly.profiles import measure
from recae.errors import ConfigError, DataError, RecaeWarning

USERS, ITEMS, TASTES = 400, 160, 4


def genuine(seed: int, users: int = USERS) -> recae.Interactions:
    """Users of four tastes, who choose popular items, mostly of their taste, and like those."""
    rng = np.random.default_rng(seed)
    taste, kind = rng.integers(TASTES, size=users), np.arange(ITEMS) % TASTES
    popular = 1 / (5 + np.arange(ITEMS))
    mine = taste[:, None] == kind
    chance = 9 * popular * np.where(mine, 1.0, 0.25) * rng.uniform(0.5, 1.5, size=(users, 1))
    rows, columns = np.nonzero(rng.random((users, ITEMS)) < chance)
    values = 3 + mine[rows, columns] + rng.integers(-1, 2, len(rows))
    matrix = sp.csr_matrix((values.astype(float), (rows, columns)), shape=(users, ITEMS))
    return recae.Interactions.from_csr(matrix)


@pytest.fixture
def few_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the training, where it does not matter how well fake profiles are found."""
    for name in ("CHOICES", "RATINGS"):
        usual = getattr(reconstruction, name)
        monkeypatch.setattr(reconstruction, name, replace(usual, epochs=usual.epochs // 10))


@pytest.fixture(scope="module")
def planted() -> recae.apply.anomaly.Injected:
    return recae.apply.anomaly.inject_profiles(
        genuine(0), "average", share=0.05, filler=20, target=150, seed=1
    )


@pytest.fixture(scope="module")
def found(planted: recae.apply.anomaly.Injected) -> recae.apply.anomaly.Profiles:
    return recae.apply.anomaly.detect_profiles(planted.data, false_alarm_rate=0.02, progress=False)


def test_fake_profiles_come_first(
    planted: recae.apply.anomaly.Injected, found: recae.apply.anomaly.Profiles
) -> None:
    users = found.users
    assert users["user_id"].tolist() == planted.data.users.ids.tolist()
    assert sorted(users["rank"]) == list(range(1, len(users) + 1))
    assert users.sort_values("rank")["score"].is_monotonic_decreasing
    assert users["flagged"][planted.is_fake].mean() > 0.9
    assert users["flagged"][~planted.is_fake].mean() < 0.05
    assert set(found.flagged()) == set(users["user_id"][users["flagged"]])


def test_explanations_add_up(
    planted: recae.apply.anomaly.Injected, found: recae.apply.anomaly.Profiles
) -> None:
    for user in [*planted.users[:3], *found.users.sort_values("rank")["user_id"][-3:], 5]:
        row = found.users.set_index("user_id").loc[user]
        frame = found.explain(user, k=None)
        assert len(frame) == planted.data.matrix[int(user)].nnz
        assert frame["contribution"].sum() == pytest.approx(row["score"], abs=1e-9)
        for part, total in (("choice",) * 2, ("rating_error", "rating"), ("co_rating",) * 2):
            assert frame[part].sum() == pytest.approx(row[total], abs=1e-9)
        assert frame["contribution"].is_monotonic_decreasing
        assert found.explain(user, k=2).equals(frame.head(2))


def test_an_explanation_says_what_it_is_made_of(
    planted: recae.apply.anomaly.Injected, found: recae.apply.anomaly.Profiles
) -> None:
    user = int(planted.users[0])
    frame = found.explain(user, k=None).set_index("item_id")
    dense = planted.data.matrix.toarray()
    for item, row in frame.iterrows():
        rating = dense[user, int(item)]
        assert row["rating"] == rating
        assert row["also_rated"] == (dense[:, int(item)] == rating).sum() - 1
    assert frame["probability"].between(0, 1).all()
    # Rare items speak against it: the most suspicious half is less popular than the others.
    counts = (dense > 0).sum(axis=0)
    half = len(frame) // 2
    assert counts[frame.index[:half]].mean() < counts[frame.index[half:]].mean()


def test_a_group_that_pushes_the_same_items_is_seen_by_co_rating() -> None:
    data = genuine(2)
    targets = list(range(100, 112))
    planted = recae.apply.anomaly.inject_profiles(
        data, "random", share=0.03, filler=3, target=targets, seed=2
    )
    users = recae.apply.anomaly.detect_profiles(planted.data, progress=False).users
    fake = users[planted.is_fake]
    assert (fake["co_rating"] > fake["choice"]).all()
    assert fake["rank"].max() <= 20  # 12 of them, among 412 users


def test_clean_leaves_out_the_flagged_and_says_so(
    planted: recae.apply.anomaly.Injected, found: recae.apply.anomaly.Profiles
) -> None:
    gone = int(found.users["flagged"].sum())
    with pytest.warns(RecaeWarning, match=f"left out {gone} of 420 users"):
        clean = found.clean()
    assert clean.n_users == 420 - gone and clean.n_items == ITEMS
    assert not set(clean.users.ids) & set(found.flagged())
    untouched = planted.data.select_users([0, 1])
    if not set(untouched.users.ids) & set(found.flagged()):
        assert found.clean(untouched) is untouched


def test_of_clean_data_about_the_stated_share_is_flagged() -> None:
    """Without anybody known to be genuine the rate is an estimate: within a factor of 2.5 here."""
    found = recae.apply.anomaly.detect_profiles(
        genuine(10, 600), false_alarm_rate=0.05, progress=False
    )
    assert 0.02 < found.users["flagged"].mean() < 0.125


def test_with_genuine_users_the_rate_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over all choices of the known, among whom chance decides, the share flagged of the others is
    that of a conformal test: floor(0.1 (n + 1)) / (n + 1) of n = 39 known is exactly 0.1."""
    data = genuine(3, 200)
    rng, shares = np.random.default_rng(0), []
    done = measure(data.matrix, True, 0, False)  # the part that does not depend on who is known
    monkeypatch.setattr("recae.apply.anomaly.profiles.measure", lambda *given: done)
    for _ in range(200):
        known = rng.choice(200, size=39, replace=False)
        result = recae.apply.anomaly.detect_profiles(data, genuine=known, false_alarm_rate=0.1)
        others = np.setdiff1d(np.arange(200), known)
        shares.append(result.users["flagged"].to_numpy()[others].mean())
    assert np.mean(shares) == pytest.approx(0.1, abs=0.012)


@pytest.mark.usefixtures("few_epochs")
def test_a_seed_decides_everything() -> None:
    data = genuine(4, 60)
    one = recae.apply.anomaly.detect_profiles(data, seed=3).users
    again = recae.apply.anomaly.detect_profiles(data.matrix, seed=3).users
    assert one.equals(again)
    assert not one["score"].equals(recae.apply.anomaly.detect_profiles(data, seed=4).users["score"])


def test_without_ratings_choices_and_co_rating_are_what_is_left() -> None:
    data = genuine(5)
    planted = recae.apply.anomaly.inject_profiles(data, "random", share=0.05, filler=20, seed=1)
    users = recae.apply.anomaly.detect_profiles(planted.data.binarised(), progress=False).users
    assert (users["rating"] == 0).all()
    assert users["rank"][planted.is_fake].median() < 30
    weights = recae.apply.anomaly.detect_profiles(planted.data, ratings=False, progress=False).users
    assert weights.equals(users)


@pytest.mark.usefixtures("few_epochs")
def test_users_without_interactions_are_never_suspicious() -> None:
    data = genuine(6, 50)
    wider = data.with_users([*data.users.ids, 999])
    users = recae.apply.anomaly.detect_profiles(wider, progress=False).users
    assert users["score"].iloc[-1] == 0 and not users["flagged"].iloc[-1]


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"false_alarm_rate": 0}, ConfigError, "false_alarm_rate"),
        ({"seed": -1}, ConfigError, "seed"),
        ({"ratings": "yes"}, ConfigError, "ratings"),
        ({"progress": "no"}, ConfigError, "progress"),
        ({"genuine": [0, 1, 2]}, DataError, "99 genuine users, not 3"),
        ({"genuine": ["x"]}, DataError, "x"),
    ],
)
def test_bad_options_are_named(
    change: dict[str, object], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        recae.apply.anomaly.detect_profiles(genuine(0, 30), **change)


def test_too_few_users_and_bad_questions_are_named(found: recae.apply.anomaly.Profiles) -> None:
    with pytest.raises(DataError, match="at least 20"):
        recae.apply.anomaly.detect_profiles(genuine(0, 19))
    with pytest.raises(DataError, match="unknown user"):
        found.explain(12345)
    with pytest.raises(ConfigError, match="^k .*>= 1"):
        found.explain(5, k=0)


@pytest.mark.usefixtures("few_epochs")
def test_the_unit_of_the_ratings_does_not_matter() -> None:
    """Stars times 64 (exact in floating point) are the same stars."""
    data = genuine(7, 60)
    scaled = recae.Interactions.from_csr(data.matrix * 64)
    one, other = (
        recae.apply.anomaly.detect_profiles(each, progress=False).users for each in (data, scaled)
    )
    np.testing.assert_allclose(other["score"], one["score"], rtol=1e-9)


@pytest.mark.usefixtures("few_epochs")
def test_equal_ratings_say_nothing() -> None:
    data = genuine(8, 40).binarised()
    users = recae.apply.anomaly.detect_profiles(data, ratings=True, progress=False).users
    assert (users["rating"] == 0).all() and np.isfinite(users["score"]).all()


@pytest.mark.usefixtures("few_epochs")
def test_users_without_interactions_do_not_move_the_others() -> None:
    data = genuine(9, 40)
    wider = data.with_users([*data.users.ids, *range(1000, 1040)])
    alone, among = (
        recae.apply.anomaly.detect_profiles(each, progress=False) for each in (data, wider)
    )
    pd.testing.assert_frame_equal(among.users[:40], alone.users)
    pd.testing.assert_frame_equal(among.explain(3, k=None), alone.explain(3, k=None))
    assert among.explain(1000).empty
    # Nor do they stand for genuine users: those known must have something to be judged by.
    known = list(range(5)) + list(range(1000, 1040))
    with pytest.raises(DataError, match="at least 9 genuine users, not 5"):
        recae.apply.anomaly.detect_profiles(wider, genuine=known, false_alarm_rate=0.1)


def test_numbers_of_numpy_are_numbers(found: recae.apply.anomaly.Profiles) -> None:
    assert len(found.explain(5, k=np.int64(2))) == 2
