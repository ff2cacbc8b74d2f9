"""Planted clusters, planted tastes, and what is said of their items."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import recae

KINDS = ("war", "love", "space")
ITEMS, USERS = 36, 90


@pytest.fixture(scope="session")
def codes() -> np.ndarray:
    """(60, 6): 20 points around each of three centres, in this order."""
    rng = np.random.default_rng(1)
    centres = np.eye(6)[:3] * 8
    return np.repeat(centres, 20, axis=0) + rng.normal(size=(60, 6))


@pytest.fixture(scope="session")
def plays() -> recae.Interactions:
    """User u has 8 items of taste u % 3 (items i with i % 3 the same) and 2 others; items 100, 101,
    ... and users 0, 1, ..."""
    rng = np.random.default_rng(2)
    rows = []
    for user in range(USERS):
        own = rng.choice(ITEMS // 3, size=8, replace=False) * 3 + user % 3
        rows += [(user, 100 + item) for item in {*own, *rng.choice(ITEMS, size=2)}]
    return recae.Interactions.from_frame(pd.DataFrame(rows, columns=["user_id", "item_id"]))


@pytest.fixture(scope="session")
def titles() -> pd.DataFrame:
    ids = np.arange(100, 100 + ITEMS)
    return pd.DataFrame(
        {
            "item_id": ids,
            "title": [f"Film {id}" for id in ids],
            "genres": [KINDS[item % 3] + ("|long" if item % 2 else "") for item in range(ITEMS)],
            "year": 1960 + ids,
        }
    )


@pytest.fixture(scope="session")
def svd(plays: recae.Interactions) -> recae.PureSVD:
    return recae.PureSVD(latent=4).fit(plays)


@pytest.fixture(scope="session")
def drawn(svd: recae.PureSVD, titles: pd.DataFrame) -> recae.apply.maps.Map:
    return recae.apply.maps.map_items(svd, titles)
