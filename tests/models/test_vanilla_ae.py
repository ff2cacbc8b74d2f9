"""VanillaAE: the formula written out, and what it learns."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import recae
from recae.nn import Batch, Ragged

X = sp.random(30, 12, 0.3, format="csr", random_state=5, dtype=np.float32)
X.data[:] = 1

ACTIVATIONS = {
    "tanh": np.tanh,
    "sigmoid": lambda h: 1 / (1 + np.exp(-h)),
    "relu": lambda h: np.maximum(h, 0),
    "swish": lambda h: h / (1 + np.exp(-h)),
}
LOSSES = {
    "multinomial": lambda f, x: -(x * (f - np.log(np.exp(f).sum(1, keepdims=True)))).sum(1),
    "logistic": lambda f, x: (np.log1p(np.exp(f)) - x * f).sum(1),
    "squared": lambda f, x: ((f - x) ** 2).sum(1),
}


def network(model: recae.VanillaAE):
    """A network with biases that are not zero, its batch, and its weights as arrays in order."""
    net = model._network(12, 30)
    net.initialise(torch.Generator().manual_seed(0))
    for bias in (p for p in net.parameters() if p.dim() == 1):
        torch.nn.init.normal_(bias, generator=torch.Generator().manual_seed(1))
    ragged = Ragged.from_csr(X)
    return net, Batch(ragged, ragged), [p.detach().double().numpy() for p in net.parameters()]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_network_is_the_formula(activation: str, training: bool) -> None:
    net, batch, weights = network(recae.VanillaAE(latent=3, hidden=(5,), activation=activation))
    first, a, second, b, third, c, last, d = weights
    g, x = ACTIVATIONS[activation], X.toarray().astype(float)
    x /= np.linalg.norm(x, axis=1, keepdims=True) + (x.sum(1, keepdims=True) == 0)
    z = g(g(x @ first + a) @ second.T + b)
    expected = g(z @ third.T + c) @ last.T + d
    scores, terms = net.train(training)(batch, torch.Generator())
    np.testing.assert_allclose(scores.dense().detach(), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(net.encode(batch)[0].detach(), z, rtol=1e-5, atol=1e-6)
    assert terms == {}


@pytest.mark.parametrize("loss", LOSSES)
def test_the_loss_is_the_formula_and_moves_every_weight(loss: str) -> None:
    model = recae.VanillaAE(latent=3, hidden=(5,), loss=loss)
    net, batch, (first, a, second, b, third, c, last, d) = network(model)
    x = X.toarray().astype(float)
    unit = x / (np.linalg.norm(x, axis=1, keepdims=True) + (x.sum(1, keepdims=True) == 0))
    z = np.tanh(np.tanh(unit @ first + a) @ second.T + b)
    scores = np.tanh(z @ third.T + c) @ last.T + d
    found = model._objective(10)(*net(batch), batch, 0)
    np.testing.assert_allclose(found.item(), LOSSES[loss](scores, x).mean(), rtol=1e-5)
    found.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


@pytest.mark.parametrize("loss", LOSSES)
def test_it_learns_what_goes_together(loss: str) -> None:
    # Users of items 0-9 or of 10-19, each with 5: the rest of the group comes first.
    generator = np.random.default_rng(0)
    rows = np.zeros((200, 20), dtype=np.float32)
    for row in range(200):
        rows[row, generator.choice(10, 5, replace=False) + 10 * (row % 2)] = 1
    data = sp.csr_matrix(rows)
    # A wider code copies: under the squared loss it then puts what is not in a history last.
    model = recae.VanillaAE(latent=2, epochs=40, batch_size=20, lr=0.01, loss=loss).fit(data)
    top = model.recommend_array(data, k=5).items
    assert (top // 10 == (np.arange(200) % 2)[:, None]).mean() > 0.98


def test_it_is_mult_dae_without_the_dropout() -> None:
    settings = {"latent": 4, "hidden": (6,), "epochs": 3, "batch_size": 10, "lr": 0.01}
    plain = recae.VanillaAE(**settings).fit(X, seed=2)
    without = recae.MultDAE(dropout=0.0, **settings).fit(X, seed=2)
    np.testing.assert_array_equal(plain.score(X), without.score(X))
