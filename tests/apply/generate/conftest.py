"""Planted users of four tastes, and a model fitted on some of them."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

import recae

TASTES, SIZE = 4, 20
ITEMS = TASTES * SIZE


def tasteful(n_users: int, seed: int, prefix: str = "u") -> recae.Interactions:
    """Users with 8 to 13 items of their own taste and 2 of any; the first items of each taste are
    the popular ones."""
    rng = np.random.default_rng(seed)
    weights = 1 / np.arange(2, SIZE + 2)
    rows = np.zeros((n_users, ITEMS), dtype=np.float32)
    for user in range(n_users):
        own = rng.choice(SIZE, rng.integers(8, 14), replace=False, p=weights / weights.sum())
        rows[user, own + SIZE * rng.integers(TASTES)] = 1
        rows[user, rng.choice(ITEMS, 2, replace=False)] = 1
    users = [f"{prefix}{number}" for number in range(n_users)]
    return recae.Interactions.from_csr(sp.csr_matrix(rows), users=users)


@pytest.fixture(scope="session")
def people() -> recae.Interactions:
    return tasteful(400, 0)


@pytest.fixture(scope="session")
def strangers() -> recae.Interactions:
    return tasteful(200, 1, "stranger")


@pytest.fixture(scope="session")
def vae(people: recae.Interactions) -> recae.MultVAE:
    return recae.MultVAE(latent=8, hidden=(32,), epochs=20, lr=0.01).fit(people)
