"""SoftmaxMF: its loss written out, its fold-in, and planted tastes that it finds."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import recae
from recae import Interactions, SoftmaxMF


@pytest.fixture(scope="module")
def tastes() -> Interactions:
    """Users of two tastes who have half of their group's 20 items."""
    rng = np.random.default_rng(2)
    dense = np.zeros((120, 40))
    for user in range(120):
        dense[user, rng.choice(20, 10, replace=False) + 20 * (user % 2)] = 1
    return Interactions.from_csr(sp.csr_matrix(dense))


def test_the_loss_is_the_one_stated() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((5, 3)), rng.standard_normal((7, 3))
    users, items, drawn = [0, 4, 4, 2], [6, 1, 3, 3], [3, 0, 3, 5]

    def cosine(u: int, i: int) -> float:
        return float(x[u] @ y[i] / math.sqrt((x[u] @ x[u]) * (y[i] @ y[i])))

    expected = 0.0
    for u, i in zip(users, items, strict=True):
        own = math.exp(cosine(u, i) / 0.2)
        others = sum(math.exp(cosine(u, j) / 0.2) for j in drawn if j != i)
        expected -= math.log(own / (own + others)) / 4
    tensors = (torch.from_numpy(part) for part in (x, y))
    numbers = (torch.tensor(part) for part in (users, items, drawn))
    found = SoftmaxMF(temperature=0.2)._loss(*tensors, *numbers)
    assert float(found) == pytest.approx(expected, rel=1e-12)


def test_a_user_is_the_direction_of_the_sum_of_the_items(tastes) -> None:
    model = SoftmaxMF(**SoftmaxMF.small).fit(tastes)
    items = model.item_factors_
    np.testing.assert_allclose(np.linalg.norm(items, axis=1), 1, rtol=1e-5)
    sums = np.array([items[row.indices].sum(axis=0) for row in tastes.matrix])
    expected = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    np.testing.assert_allclose(model.embed_users(tastes), expected, atol=1e-5)
    np.testing.assert_allclose(model.score(tastes), expected @ items.T, atol=1e-5)


def test_a_new_user_gets_the_items_of_the_same_taste(tastes) -> None:
    model = SoftmaxMF(latent=8, epochs=30, batch_size=64, num_sampled=20, lr=0.05).fit(tastes)
    new = sp.csr_matrix((np.ones(4), ([0, 0, 1, 1], [0, 1, 20, 21])), shape=(2, 40))
    top = model.recommend(history=new, k=18)
    for user, low in ((0, 0), (1, 20)):
        items = top.loc[top["user_id"] == user, "item_id"]
        assert items.between(low, low + 19).mean() > 0.9


def test_the_loss_falls_and_a_callback_may_stop(tastes) -> None:
    losses: list[float] = []

    def watch(epoch) -> bool:
        losses.append(epoch.loss)
        return len(losses) == 6

    SoftmaxMF(latent=8, epochs=30, batch_size=64, num_sampled=20, lr=0.05).fit(
        tastes, callbacks=[watch]
    )
    assert len(losses) == 6 and losses[-1] < 0.9 * losses[0]


def test_a_rate_too_high_is_an_error(tastes) -> None:
    with pytest.raises(recae.errors.TrainingError, match="lower lr"):
        SoftmaxMF(lr=1e38, epochs=3).fit(tastes)
