"""BPR: planted tastes are found, and the fold-in is the stated one."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

import recae
from recae import BPR, Interactions


@pytest.fixture(scope="module")
def tastes() -> Interactions:
    """Users of two tastes who have half of their group's 20 items."""
    rng = np.random.default_rng(2)
    dense = np.zeros((120, 40))
    for user in range(120):
        dense[user, rng.choice(20, 10, replace=False) + 20 * (user % 2)] = 1
    return Interactions.from_csr(sp.csr_matrix(dense))


def test_a_new_user_gets_the_items_of_the_same_taste(tastes) -> None:
    model = BPR(latent=8, epochs=100).fit(tastes)
    new = sp.csr_matrix((np.ones(4), ([0, 0, 1, 1], [0, 1, 20, 21])), shape=(2, 40))
    top = model.recommend(history=new, k=18)
    for user, low in ((0, 0), (1, 20)):
        items = top.loc[top["user_id"] == user, "item_id"]
        assert items.between(low, low + 19).mean() > 0.9


def test_a_user_is_the_mean_of_the_items_in_the_history(tastes) -> None:
    model = BPR(latent=8, epochs=5).fit(tastes)
    rows = [model.item_factors_[row.indices].mean(axis=0) for row in tastes.matrix]
    np.testing.assert_allclose(model.embed_users(tastes), rows, rtol=1e-5, atol=1e-7)
    expected = np.array(rows) @ model.item_factors_.T + model.item_biases_
    np.testing.assert_allclose(model.score(tastes), expected, rtol=1e-4, atol=1e-6)


def test_a_rate_too_high_is_told(tastes) -> None:
    with pytest.raises(recae.TrainingError, match="lower lr"):
        BPR(lr=1e38, epochs=3).fit(tastes)
