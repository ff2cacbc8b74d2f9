"""SparseAE: the formula written out for each kind of sparsity, and codes that can be read."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import recae
from recae import ConfigError
from recae.nn import Batch, Ragged
from tests.laws import assert_same_scores

X = sp.random(30, 12, 0.3, format="csr", random_state=5, dtype=np.float32)
X.data[:] = 1
SPARSITY = ("l1", "top-k", "kl")
RATE, BETA, ACTIVE = 0.1, 0.7, 2


def made(sparsity: str, **settings) -> recae.SparseAE:
    settings = {"latent": 5, "active": ACTIVE, "beta": BETA, "rate": RATE} | settings
    return recae.SparseAE(sparsity=sparsity, **settings)


def written_out(sparsity: str, h: np.ndarray) -> tuple[np.ndarray, float]:
    """The code of h (rows, units) and the mean of its penalty."""
    if sparsity == "l1":
        z = np.maximum(h, 0)
        return z, np.abs(z).sum(1).mean()
    if sparsity == "top-k":
        stays = h >= np.sort(h, axis=1)[:, [-ACTIVE]]  # no two units are equal here
        return np.where(stays, h, 0), 0.0
    z = 1 / (1 + np.exp(-h) * (1 - RATE) / RATE)
    p = z.mean(0)
    return z, (RATE * np.log(RATE / p) + (1 - RATE) * np.log((1 - RATE) / (1 - p))).sum()


@pytest.mark.parametrize("sparsity", SPARSITY)
def test_network_and_loss_are_the_formula_and_every_weight_moves(sparsity: str) -> None:
    model = made(sparsity)
    net = model._network(12, 30)
    net.initialise(torch.Generator().manual_seed(0))
    for bias in (p for p in net.parameters() if p.dim() == 1):
        torch.nn.init.normal_(bias, generator=torch.Generator().manual_seed(1))
    first, a, last, b = (p.detach().double().numpy() for p in net.parameters())
    x = X.toarray().astype(float)
    unit = x / (np.linalg.norm(x, axis=1, keepdims=True) + (x.sum(1, keepdims=True) == 0))
    z, penalty = written_out(sparsity, unit @ first + a)
    f = z @ (10 * last / np.linalg.norm(last, axis=0)).T + b
    ragged = Ragged.from_csr(X)
    batch = Batch(ragged, ragged)
    scores, terms = net(batch)
    np.testing.assert_allclose(net.encode(batch)[0].detach(), z, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(scores.dense().detach(), f, rtol=1e-4, atol=1e-5)
    loss = model._objective(10)(scores, terms, batch, 0)
    multinomial = -(x * (f - np.log(np.exp(f).sum(1, keepdims=True)))).sum(1).mean()
    np.testing.assert_allclose(loss.item(), multinomial + BETA * penalty, rtol=1e-5)
    loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


GROUPS = np.arange(300) % 6


def groups() -> sp.csr_matrix:
    """Users of one of six groups of ten items, each with five of them."""
    generator = np.random.default_rng(0)
    rows = np.zeros((300, 60), dtype=np.float32)
    for row, group in enumerate(GROUPS):
        rows[row, generator.choice(10, 5, replace=False) + 10 * group] = 1
    return sp.csr_matrix(rows)


@pytest.mark.parametrize("sparsity", SPARSITY)
def test_other_rows_hardly_change_its_codes(sparsity: str, tmp_path) -> None:
    data = groups()
    model = made(sparsity, latent=12, epochs=3, batch_size=20, lr=0.01).fit(data)
    codes, scores = model.embed_users(data), model.score(data)
    for row in (0, 7, 150):
        assert_same_scores(model.embed_users(data[row]), codes[[row]])
        assert_same_scores(model.score(data[row]), scores[[row]])
    np.testing.assert_allclose(np.linalg.norm(model.item_embeddings_, axis=0), 10, rtol=1e-5)
    read = recae.load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(read.score(data), scores)
    if sparsity == "top-k":
        assert ((codes != 0).sum(1) <= ACTIVE).all()


@pytest.mark.parametrize("sparsity", SPARSITY)
def test_the_rest_of_a_group_comes_first_and_units_are_groups(sparsity: str) -> None:
    data = groups()
    settings = {"latent": 12, "active": 1, "beta": 1.0, "epochs": 20, "batch_size": 20, "lr": 0.02}
    model = made(sparsity, **settings).fit(data)
    top = model.recommend_array(data, k=5).items
    assert (top // 10 == GROUPS[:, None]).mean() > 0.95
    # Under the other two, groups may share a unit or be spread over several.
    if sparsity == "l1":
        codes, items = model.embed_users(data), model.item_embeddings_
        for group in range(6):
            strongest = codes[GROUPS == group].mean(0).argmax()
            assert sorted(np.argsort(-items[:, strongest])[:10] // 10) == [group] * 10


def test_a_larger_beta_leaves_fewer_units() -> None:
    data, left = groups(), []
    for beta in (0.0, 1.0, 100.0):
        model = made("l1", latent=12, beta=beta, epochs=40, batch_size=20, lr=0.02).fit(data)
        left.append((model.embed_users(data) > 0).sum())
    assert left[0] > left[1] > left[2] == 0


def test_more_units_than_there_are_cannot_stay() -> None:
    with pytest.raises(ConfigError, match="active=9 .*latent=8"):
        made("top-k", latent=8, active=9).fit(X)
    made("l1", latent=8, active=9, epochs=1).fit(X)
