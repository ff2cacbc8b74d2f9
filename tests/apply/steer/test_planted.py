"""Four planted tastes are found, named right, and steered by."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import recae
from tests.laws import assert_same_frames

from .conftest import GENRES, SIZE, TASTES, USERS


def unit_of(tastes: recae.apply.steer.Tastes, taste: int) -> int:
    """The unit, of those named by the genre of a taste, that most users have."""
    return next(u for u, name in enumerate(tastes.names) if name.startswith(GENRES[taste]))


def test_every_taste_has_a_unit_with_its_name(
    tastes: recae.apply.steer.Tastes, movies: pd.DataFrame
) -> None:
    named = tastes.name(movies)
    assert {*GENRES} <= {*named["genre"]}
    for taste in range(TASTES):
        unit = unit_of(tastes, taste)
        first = tastes.model.items_.decode(tastes.top[unit, :5])
        assert (first // SIZE == taste).all()  # not only most of them
        assert named["support"][unit] == 5  # genres are read from five in a catalogue of 60
        assert named["lift"][unit] == pytest.approx(
            named["precision"][unit] / (movies["genres"][known(tastes)] == GENRES[taste]).mean()
        )


def known(tastes: recae.apply.steer.Tastes) -> np.ndarray:
    counts = tastes.model.item_counts_
    return counts >= np.median(counts)


def test_users_have_the_unit_of_their_taste(
    tastes: recae.apply.steer.Tastes, plays: recae.Interactions
) -> None:
    strengths = tastes.strengths(plays)
    for taste in range(TASTES):
        own = np.arange(USERS) % TASTES == taste
        named = [u for u, name in enumerate(tastes.names) if name.startswith(GENRES[taste])]
        strength = strengths[:, named].max(axis=1)
        assert strength[own].mean() > 3 * strength[~own].mean()
    profile = tastes.profile(plays, k=1)
    right = [
        name.startswith(GENRES[user % TASTES])
        for user, name in zip(profile["user_id"], profile["name"], strict=True)
    ]
    assert np.mean(right) > 0.85


@pytest.mark.parametrize("taste", range(TASTES))
def test_shifting_a_taste_up_brings_its_items(
    tastes: recae.apply.steer.Tastes, plays: recae.Interactions, taste: int
) -> None:
    unit = unit_of(tastes, taste)
    shares = []
    for strength in (-2, -1, 0, 0.5, 1, 2, 6):
        top = tastes.recommend(plays, k=5, shift={unit: strength})
        others = top[top["user_id"] % TASTES != taste]  # the others: who has it has seen its items
        shares.append((others["item_id"] // SIZE == taste).mean())
    assert (np.diff(shares) >= 0).all()
    assert shares[-1] > 0.95
    assert shares[0] < 0.03


def test_strength_0_changes_no_bit(
    tastes: recae.apply.steer.Tastes, plays: recae.Interactions
) -> None:
    plain = tastes.model.recommend(history=plays, k=7)
    for shift in (None, {}, {0: 0}, {0: 0.0, 1: -0.0}):
        pd.testing.assert_frame_equal(tastes.recommend(plays, k=7, shift=shift), plain)
        assert np.array_equal(tastes.score(plays, shift), tastes.model.score(plays))


def test_the_change_is_what_the_formula_says(
    tastes: recae.apply.steer.Tastes, plays: recae.Interactions
) -> None:
    # A linear decoder: f(z + t m) = f(z) + t W m.
    shifted = tastes.score(plays, {0: 0.5, 2: -1})
    move = 0.5 * tastes.moves[0] - tastes.moves[2]
    expected = tastes.model.score(plays) + move @ tastes.model.item_embeddings_.T
    assert shifted == pytest.approx(expected, abs=1e-4)


def test_what_is_seen_never_comes_back(
    tastes: recae.apply.steer.Tastes, plays: recae.Interactions
) -> None:
    top = tastes.recommend(plays, k=60, shift={0: 3})
    assert not plays.matrix[top["user_id"], top["item_id"]].any()
    assert not {0, 1} & {*tastes.recommend(plays, k=60, exclude_items=[0, 1])["item_id"]}
    only = tastes.recommend(plays, users=[3], k=60, items=[5, 6, 7], exclude_seen=False)
    assert {*only["item_id"]} == {5, 6, 7} and {*only["user_id"]} == {3}


def test_batches_change_nothing(
    tastes: recae.apply.steer.Tastes, plays: recae.Interactions
) -> None:
    lists = tastes.recommend(plays, shift={1: 0.7})
    again = tastes.recommend(plays, shift={1: 0.7}, batch_size=7)
    assert_same_frames(again, lists)
    rows = [5, 100, 3]
    some = tastes.score(plays.select_users(rows), {1: 0.7})
    np.testing.assert_allclose(some, tastes.score(plays, {1: 0.7})[rows], rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore:SparseAutoencoder")  # few epochs
def test_a_popular_item_does_not_name_a_unit(plays: recae.Interactions) -> None:
    # Everybody has item 0 of ALS's data: its factors are long, and every direction raises it.
    matrix = plays.matrix.tolil()
    matrix[:, 0] = 1
    data = recae.Interactions.from_csr(matrix.tocsr())
    model = recae.ALS(latent=6, l2=5, alpha=5).fit(data, progress=False)
    tastes = recae.apply.steer.find_tastes(
        model, data, units=6, active=2, epochs=100, progress=False
    )
    assert (tastes.top[:, :3] == 0).any(axis=1).sum() <= 1


def test_same_seed_same_tastes_and_other_seeds_agree(
    found: recae.apply.steer.Tastes, model: recae.MultVAE, plays: recae.Interactions
) -> None:
    options = {"units": 6, "active": 2, "epochs": 200, "progress": False}
    again = recae.apply.steer.find_tastes(model, plays, **options)
    assert np.array_equal(again.moves, found.moves) and np.array_equal(again.top, found.top)
    other = recae.apply.steer.find_tastes(model, plays, seed=1, **options)
    assert not np.array_equal(other.moves, found.moves)
    chance = np.random.default_rng(0).normal(size=(6, 8))
    chance /= np.linalg.norm(chance, axis=1, keepdims=True)
    directions = found.moves / np.linalg.norm(found.moves, axis=1, keepdims=True)
    assert found.agreement(other).mean() > (directions @ chance.T).max(axis=1).mean()
    assert found.agreement(found) == pytest.approx(1)
