"""BPR: planted tastes are found, and the objective and the fold-in are the stated ones."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
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
    with pytest.raises(recae.errors.TrainingError, match="lower lr"):
        BPR(lr=1e38, epochs=3).fit(tastes)


def test_the_fit_ends_where_items_cannot_be_bettered() -> None:
    # Users solved for given the items, then the slope of the documented objective in the items: at
    # a maximum the pull of the data and that of the penalty cancel, but for the noise of the steps.
    rng, l2 = np.random.default_rng(0), 0.05
    x = (rng.random((25, 8)) < [0.9, 0.7, 0.5, 0.35, 0.25, 0.2, 0.15, 0.1]) * 1.0
    x = x[(x.sum(1) > 0) & (x.sum(1) < 8)]
    model = BPR(latent=3, lr=0.01, l2=l2, epochs=10_000).fit(sp.csr_matrix(x))
    items = np.column_stack([model.item_factors_, model.item_biases_]).astype(np.float64)

    def slopes(share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of the likelihood and of the penalty in the items, when j is drawn with this share."""
        data, penalty = np.zeros_like(items), np.zeros_like(items)
        for row in x:
            mine, others = np.flatnonzero(row), np.flatnonzero(row == 0)
            chance = np.tile(share[others], (len(mine), 1))  # of (i, j), once for every i
            apart = items[mine][:, None] - items[others][None]

            def cost(user: np.ndarray, apart=apart, chance=chance) -> float:
                margin = apart @ np.append(user, 1)
                return (chance * (np.logaddexp(0, -margin) + l2 / 2 * user @ user)).sum()

            user = np.append(scipy.optimize.minimize(cost, np.zeros(3)).x, 1)
            wrong = chance / (1 + np.exp(apart @ user))
            data[mine] += wrong.sum(1)[:, None] * user
            data[others] -= wrong.sum(0)[:, None] * user
            penalty[mine] -= l2 * chance.sum(1)[:, None] * items[mine]
            penalty[others] -= l2 * chance.sum(0)[:, None] * items[others]
        return data, penalty

    data, penalty = slopes(x.sum(0) / x.sum())
    assert np.linalg.norm(data + penalty) < 0.15 * np.linalg.norm(data)
    uniform = sum(slopes(np.full(8, 1 / 8)))
    assert np.linalg.norm(uniform) > 4 * np.linalg.norm(data + penalty)
