"""Users of four planted tastes, and a model that has learnt them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import recae

TASTES, SIZE, USERS = 4, 15, 240
ITEMS = TASTES * SIZE
GENRES = ("Western", "Musical", "Horror", "Space")


def planted(seed: int = 0) -> recae.Interactions:
    """User u has 8 items of taste u mod 4, 3 of another taste or none, and 2 of anything.

    Items of a taste are i // SIZE; within one they are unlike in popularity.
    """
    rng = np.random.default_rng(seed)
    chance = np.linspace(3, 1, SIZE) / np.linspace(3, 1, SIZE).sum()
    rows = []
    for user in range(USERS):
        own = user % TASTES
        items = list(own * SIZE + rng.choice(SIZE, 8, replace=False, p=chance))
        if rng.random() < 0.5:
            other = (own + rng.integers(1, TASTES)) % TASTES
            items += list(other * SIZE + rng.choice(SIZE, 3, replace=False, p=chance))
        items += list(rng.choice(ITEMS, 2, replace=False))
        rows += [(user, item) for item in set(items)]
    users, items = np.array(rows).T
    matrix = sp.csr_matrix((np.ones(len(users)), (users, items)), shape=(USERS, ITEMS))
    return recae.Interactions.from_csr(matrix)


@pytest.fixture(scope="session")
def plays() -> recae.Interactions:
    return planted()


@pytest.fixture(scope="session")
def model(plays: recae.Interactions) -> recae.MultVAE:
    net = recae.MultVAE(latent=8, hidden=(32,), epochs=60, batch_size=60, lr=5e-3, beta=1.0)
    return net.fit(plays, progress=False)


@pytest.fixture(scope="session")
def movies() -> pd.DataFrame:
    """Titles such as "Horror 32", with the genre of the taste, by item id."""
    genres = [GENRES[item // SIZE] for item in range(ITEMS)]
    titles = [f"{genre} {item}" for item, genre in enumerate(genres)]
    return pd.DataFrame({"item_id": range(ITEMS), "title": titles, "genres": genres})


@pytest.fixture(scope="session")
def found(model: recae.MultVAE, plays: recae.Interactions) -> recae.apply.steer.Tastes:
    return recae.apply.steer.find_tastes(
        model, plays, units=6, active=2, epochs=200, progress=False
    )


@pytest.fixture
def tastes(found: recae.apply.steer.Tastes, movies: pd.DataFrame) -> recae.apply.steer.Tastes:
    found.name(movies)
    return found
