"""CosineAE: where it starts, how its learning rate falls, and planted tastes."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch

import recae
from recae.models.neural._svd_init import unit_svd_init
from recae.rng import torch_generator
from recae.training import Plan


def histories() -> sp.csr_matrix:
    rng = np.random.default_rng(4)
    dense = (rng.random((80, 25)) < np.linspace(0.5, 0.05, 25)).astype(np.float32)
    dense[:, -1] = 0  # an item without users
    return sp.csr_matrix(dense)


def test_both_layers_start_at_the_singular_vectors_times_the_roots_of_their_values() -> None:
    x = histories()
    net = recae.CosineAE(latent=5)._network(25, 80)
    net.initialise(torch_generator(0, 2))
    drawn = net.encoder[0].weight[-1].clone(), net.decoder.head.weight[-1].clone()
    unit_svd_init(net, x, 0, False)
    dense = x.toarray().astype(np.float64)
    counts = dense.sum(0).clip(1)
    r = dense / np.sqrt(dense.sum(1).clip(1))[:, None] * (counts / counts.mean()) ** -0.5
    _, s, vt = np.linalg.svd(r, full_matrices=False)
    inner = (vt[:5].T * s[:5]) @ vt[:5]  # of the rows of V diag(s)^1/2
    inner /= np.trace(inner) / 24
    a, b = net.encoder[0].weight.detach().numpy(), net.decoder.head.weight.detach().numpy()
    np.testing.assert_allclose(a[:-1] @ a[:-1].T, inner[:-1, :-1], atol=2e-3)
    lengths = np.sqrt(np.diag(inner)[:-1])
    cosines = inner[:-1, :-1] / np.outer(lengths, lengths)
    np.testing.assert_allclose(b[:-1] @ b[:-1].T, cosines, atol=5e-3)
    assert torch.equal(net.encoder[0].weight[-1], drawn[0])
    assert torch.equal(net.decoder.head.weight[-1], drawn[1])


def test_units_beyond_the_rank_of_the_histories_stay_as_drawn() -> None:
    rng = np.random.default_rng(1)
    x = sp.csr_matrix(np.tile((rng.random((3, 25)) < 0.4).astype(np.float32), (20, 1)))
    net = recae.CosineAE(latent=6)._network(25, 60)
    net.initialise(torch_generator(0, 2))
    layers = net.encoder[0].weight, net.decoder.head.weight
    drawn = [layer.detach().clone() for layer in layers]
    unit_svd_init(net, x, 0, False)
    for layer, before in zip(layers, drawn, strict=True):
        assert torch.equal(layer[:, 3:], before[:, 3:])
        assert not torch.equal(layer[:, 2], before[:, 2])


def test_the_learning_rate_falls_in_equal_steps_to_zero_behind_the_last_epoch() -> None:
    plan = Plan(epochs=4, lr=0.8, l2=0, metric="", patience=1, falling=True, milestones=(2,))
    assert np.allclose([plan.rate(e) for e in (1, 2, 3, 4)], [0.8, 0.6, 0.4 / 5, 0.2 / 5])


def test_planted_tastes_are_found_with_a_sample_and_without() -> None:
    rng = np.random.default_rng(0)
    dense = np.zeros((300, 60), np.float32)
    for user in range(300):
        dense[user, rng.choice(20, 6, replace=False) + 20 * (user % 3)] = 1
    x = sp.csr_matrix(dense)
    for sampled in (10, 1000):
        model = recae.CosineAE(latent=8, batch_size=50, num_sampled=sampled, init="glorot", lr=0.02)
        found = model.fit(x, seed=1, progress=False).score(x)
        best = np.where(dense > 0, -np.inf, found).argsort(1)[:, -10:]
        assert (best // 20 == np.arange(300)[:, None] % 3).mean() > 0.95


def test_a_score_is_the_sum_of_its_parts_written_out() -> None:
    x = histories()
    model = recae.CosineAE(latent=4, epochs=3, batch_size=20).fit(x, seed=1, progress=False)
    why = model.explain(x[5], items=[7], top=99)
    net = model.network_
    a, shift = (t.detach().double().numpy() for t in (net.encoder[0].weight, net.encoder[0].bias))
    b = net.decoder.head.weight[7].detach().double().numpy()
    b /= np.linalg.norm(b) * model.temperature
    length = np.linalg.norm(x[5].toarray()[0] @ a + shift)
    parts = why.contributions
    expected = a[parts["history_item_id"]] @ b / length
    np.testing.assert_allclose(parts["contribution"], expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(why.totals["baseline"], shift @ b / length, rtol=1e-4, atol=1e-6)
