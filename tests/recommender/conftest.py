"""A small data set with planted tastes, and how much of them a model gives back."""

from collections.abc import Callable

import numpy as np
import pytest
import scipy.sparse as sp

import recae

GROUPS, GROUP = 6, 10


@pytest.fixture(scope="session")
def planted() -> recae.Interactions:
    """240 users x 60 items: every user has six of the ten items of one group."""
    rng = np.random.default_rng(0)
    columns = np.concatenate(
        [user % GROUPS * GROUP + rng.permutation(GROUP)[:6] for user in range(240)]
    )
    rows = np.repeat(np.arange(240), 6)
    ones = np.ones(len(rows), dtype=np.float32)
    return recae.Interactions.from_csr(
        sp.csr_matrix((ones, (rows, columns)), shape=(240, GROUPS * GROUP))
    )


@pytest.fixture(scope="session")
def own_group(planted: recae.Interactions) -> Callable[[recae.Recommender], float]:
    """The share of everybody's four unseen items of the group among their best four."""

    def share(model: recae.Recommender) -> float:
        items = model.recommend_array(planted, k=GROUP - 6).items
        return float((items // GROUP == np.arange(len(items))[:, None] % GROUPS).mean())

    return share
