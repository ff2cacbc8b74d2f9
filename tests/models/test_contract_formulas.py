"""Every autoencoder against its formulas, written out densely: what it scores, what it minimises.

A new autoencoder gets an entry in FORWARD and one in LOSSES; without them the tests fail.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import logsigmoid, normalize

import recae
from recae import Interactions
from recae.models.neural._base import NeuralRecommender
from recae.nn import Batch, Ragged

NEURAL = [name for name, m in recae.MODELS.items() if issubclass(m, NeuralRecommender)]


class Weights:
    """What a model saves, in float64, and the layers made of it."""

    def __init__(self, arrays: Mapping[str, torch.Tensor]) -> None:
        self.arrays = {name: array.numpy().astype(np.float64) for name, array in arrays.items()}

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    def holds(self, name: str) -> bool:
        """Whether there is a layer of this name."""
        return any(array.startswith(f"{name}.") for array in self.arrays)

    def read(self, name: str, x: np.ndarray) -> np.ndarray:
        """A first layer: one row of weights for each item."""
        return x @ self[f"{name}.weight"] + self[f"{name}.bias"]

    def layer(self, name: str, x: np.ndarray) -> np.ndarray:
        """Any other: one row of weights for each output."""
        return x @ self[f"{name}.weight"].T + self[f"{name}.bias"]

    def gated(self, name: str, x: np.ndarray, first: bool = False) -> np.ndarray:
        apply = self.read if first else self.layer
        return apply(f"{name}.value", x) * sigmoid(apply(f"{name}.gate", x))

    def dense(self, name: str, x: np.ndarray, depth: int, eps: float, first: bool) -> np.ndarray:
        """h_i = N(swish(L_i h_(i-1) + all earlier h)); depth 2 or 3."""
        h1 = self.normed(f"{name}.norms.0", (self.read if first else self.layer), x, 0, eps)
        h2 = self.normed(f"{name}.norms.1", self.layer, h1, h1, eps)
        return h2 if depth == 2 else self.normed(f"{name}.norms.2", self.layer, h2, h1 + h2, eps)

    def normed(self, name: str, apply: Any, x: np.ndarray, more: Any, eps: float) -> np.ndarray:
        a = apply(name.replace("norms", "layers"), x) + more
        a = a * sigmoid(a)
        a = (a - a.mean(1, keepdims=True)) / np.sqrt(a.var(1, keepdims=True) + eps)
        return a * self[f"{name}.weight"] + self[f"{name}.bias"]


def sigmoid(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def auto_rec(w: Weights, x: np.ndarray) -> np.ndarray:
    return w.layer("decoder.head", sigmoid(w.read("encoder.0", x)))


def cdae(w: Weights, x: np.ndarray) -> np.ndarray:
    z = sigmoid(w.read("encoder", x) + w["code.stranger"])
    return w.layer("decoder.head", z)


def mult_dae(w: Weights, x: np.ndarray) -> np.ndarray:
    z = np.tanh(w.layer("encoder.2", np.tanh(w.read("encoder.0", unit(x)))))
    return w.layer("decoder.head", np.tanh(w.layer("decoder.layers.0", z)))


def sparse_ae(w: Weights, x: np.ndarray) -> np.ndarray:
    h = w.read("encoder", unit(x))
    z = h * (h >= np.sort(h, axis=1)[:, -3:-2])  # the three largest
    atoms = 10 * unit(w["decoder.head.weight"].T).T
    return z @ atoms.T + w["decoder.head.bias"]


def mult_vae(w: Weights, x: np.ndarray) -> np.ndarray:
    return w.layer("decoder.head", w.layer("code.mu", np.tanh(w.read("encoder.0", unit(x)))))


def rec_vae(w: Weights, x: np.ndarray) -> np.ndarray:
    return w.layer("decoder.head", w.layer("code.mu", w.dense("encoder", unit(x), 3, 0.1, True)))


def h_vamp(w: Weights, x: np.ndarray) -> np.ndarray:
    upper = w.gated("encoder.upper.1", w.gated("encoder.upper.0", unit(x), first=True))
    z2 = w.layer("code.upper.mu", upper)
    lower = w.gated("encoder.lower", unit(x), first=True)
    joint = w.gated("code.joint.0", np.hstack([lower, w.gated("code.from_upper", z2)]))
    z1 = w.layer("code.lower.mu", joint)
    if not w.holds("decoder.lower"):
        return w.layer("decoder.head", np.hstack([z1, z2]))
    both = np.hstack([w.gated("decoder.lower", z1), w.gated("decoder.upper", z2)])
    hidden = w.gated("decoder.joint.0", both) if w.holds("decoder.joint") else both
    return w.layer("decoder.head", hidden)


def macrid_vae(w: Weights, x: np.ndarray) -> np.ndarray:
    items, prototypes = unit(w["encoder.items.weight"]), unit(w["encoder.prototypes"])
    shares = np.exp(items @ prototypes.T / 0.1)
    shares /= shares.sum(1, keepdims=True)
    total = np.zeros_like(x)
    for share in shares.T:
        z = unit(w.layer("code.mu", np.tanh(w.read("encoder.read", unit(x) * share))))
        total += share * np.exp(z @ items.T / 0.1)
    return np.log(total)


def elsa(w: Weights, x: np.ndarray) -> np.ndarray:
    a = unit(w["encoder.weight"])
    return x @ a @ a.T - x


def compressed_elsa(w: Weights, x: np.ndarray) -> np.ndarray:
    a = np.zeros((x.shape[1], 8))
    for item, (places, values) in enumerate(zip(w["dimensions"], w["values"], strict=True)):
        a[item, places.astype(int)] = values
    np.testing.assert_allclose(np.linalg.norm(a, axis=1), 1, rtol=1e-6)
    return x @ a @ a.T - x


def cosine_ae(w: Weights, x: np.ndarray) -> np.ndarray:
    return unit(w.read("encoder.0", x)) @ unit(w["decoder.head.weight"]).T / 0.15


def neural_ease(w: Weights, x: np.ndarray) -> np.ndarray:
    s = w["decoder.shallow.weight"]
    return np.log(sigmoid(x @ (s - np.diag(np.diag(s)))))


def flvae(w: Weights, x: np.ndarray) -> np.ndarray:
    z = w.layer("code.mu", w.dense("encoder", x, 2, 0.001, True))
    deep = w.layer("decoder.head", w.dense("decoder.deep", z, 2, 0.001, False))
    return np.log(sigmoid(deep) * sigmoid(w.layer("decoder.from_code", z)))


def vasp(w: Weights, x: np.ndarray) -> np.ndarray:
    return flvae(w, x) + neural_ease(w, x)


def waves(t: float) -> np.ndarray:
    """cos and sin of t at five frequencies, from 1 down by 10000^(1/5)."""
    angles = np.array([t / 10000 ** (i / 5) for i in range(5)])
    return np.concatenate([np.cos(angles), np.sin(angles)])


def shift(w: Weights, t: float) -> np.ndarray:
    return w["code.shift.weight"] @ w.layer("code.shift.hidden", waves(t))


def ways_back(variances: np.ndarray, first: float) -> list[tuple[float, float]]:
    """Factors of f and x_t in the mean of q(x_(t-1) | x_t, f), the last step first; variances: of
    the steps, (steps,); first: what the first one adds."""
    added = [first, *(1 - (1 - variances[1:]) / (1 - variances[:-1]))]
    kept = np.cumprod(1 - np.array(added))
    found = [(1.0, 0.0)]
    for now, before in zip(kept[1:], kept, strict=False):
        noise = 1 - now / before
        of_start = np.sqrt(before) * noise / (1 - now)
        found.append((of_start, np.sqrt(1 - noise) * (1 - before) / (1 - now)))
    return found[::-1]


def diff_rec(w: Weights, x: np.ndarray) -> np.ndarray:
    ways = ways_back(1e-3 * np.linspace(0.005, 0.01, 4), 1e-5)
    for t, (of_start, of_step) in zip((3, 2, 1, 0), ways, strict=True):
        h = np.tanh(w.read("encoder", x) + shift(w, t))
        h = np.tanh(w.layer("code.layers.2", np.tanh(w.layer("code.layers.0", h))))
        x = of_start * w.layer("decoder.head", h) + of_step * x
    return x


def l_diff_rec(w: Weights, x: np.ndarray) -> np.ndarray:
    parts = []
    for part in range(2):
        hidden = np.tanh(w.read(f"encoder.parts.{part}", x[:, w["clusters"] == part]))
        parts.append(hidden[:, : hidden.shape[1] // 2])
    z = np.hstack(parts)
    ways = ways_back(0.5 * np.linspace(0.1, 0.5, 4), 0.05)
    for t, (of_start, of_step) in zip((3, 2, 1, 0), ways, strict=True):
        hidden = np.tanh(w.layer("code.first", z) + shift(w, t))
        z = of_start * w.layer("code.last", hidden) + of_step * z
    return w.layer("decoder.head", z)


def flow_cf(w: Weights, x: np.ndarray) -> np.ndarray:
    now, scores = x, x
    for step in (7, 8):  # of nine, the last two
        t = step / 9
        h = np.tanh(w.read("encoder", now) + shift(w, 2 * np.pi * t))
        scores = w.layer("decoder.head", np.tanh(w.layer("code.layers.0", h)))
        chance = now + (scores - now) / (1 - t) / 9
        now = np.where(x > 0, x, chance > 0.5)
    return scores


def giff_cf(w: Weights, x: np.ndarray) -> np.ndarray:
    n, users = x.shape[1], len(w["histories.indptr"]) - 1
    r = np.zeros((users, n))
    bounds = w["histories.indptr"].astype(int)
    for user in range(users):
        r[user, w["histories.indices"][bounds[user] : bounds[user + 1]].astype(int)] = 1
    lengths, counts = r.sum(1, keepdims=True), r.sum(0)
    b = r / np.maximum(lengths, 1) ** 0.25 / np.sqrt(np.maximum(counts, 1))
    values, vectors = np.linalg.eigh(b.T @ b)
    low = vectors[:, -3:] @ vectors[:, -3:].T
    a = (b.T @ b / values[-1] + 0.2 * low) / 1.2

    def swish(v: np.ndarray) -> np.ndarray:
        return v * sigmoid(v)

    def number(name: str, t: int) -> np.ndarray:
        angles = np.array([t / 10000 ** (i / 10) for i in range(10)])
        hidden = w.layer(f"{name}.hidden", np.concatenate([np.cos(angles), np.sin(angles)]))
        return w.layer(f"{name}.out", swish(hidden))

    def mix(name: str, *parts: np.ndarray) -> np.ndarray:
        cells = np.stack(np.broadcast_arrays(*parts), axis=-1)
        return w.layer(f"{name}.out", swish(w.layer(f"{name}.hidden", cells)))[..., 0]

    e = w["encoder.weight"]
    read = x @ e / np.maximum(np.abs(x).sum(1, keepdims=True), 1)
    smooth = [np.eye(n) + 1.5 * t / 3 * (a - np.eye(n)) for t in range(4)]
    x_t = x @ smooth[3]
    for t in (3, 2, 1):
        z = mix("code.mix", x_t @ e / n, read, number("code.step", t))
        y = mix("decoder.mix", z @ e.T, x, x @ a, number("decoder.step", t))
        x_t = y @ smooth[t - 1] + 0.5 * (x_t - y @ smooth[t])
    return x_t


FORWARD: dict[str, Callable[[Weights, np.ndarray], np.ndarray]] = {
    "vanilla-ae": mult_dae,
    "sparse-ae": sparse_ae,
    "auto-rec": auto_rec,
    "cdae": cdae,
    "mult-dae": mult_dae,
    "mult-vae": mult_vae,
    "rec-vae": rec_vae,
    "h-vamp": h_vamp,
    "macrid-vae": macrid_vae,
    "elsa": elsa,
    "compressed-elsa": compressed_elsa,
    "cosine-ae": cosine_ae,
    "neural-ease": neural_ease,
    "flvae": flvae,
    "vasp": vasp,
    "diff-rec": diff_rec,
    "l-diff-rec": l_diff_rec,
    "flow-cf": flow_cf,
    "giff-cf": giff_cf,
}


@pytest.mark.parametrize(
    ("name", "changes"),
    [*((name, {}) for name in NEURAL), *(("h-vamp", {"decoder_depth": d}) for d in (0, 1))],
)
def test_the_scores_are_the_formula_of_what_is_saved(
    name: str, changes: dict[str, Any], small, int_data: Interactions
) -> None:
    settings = small[name] | {"lr": 0.05} | changes
    model = recae.MODELS[name](**settings).fit(int_data, seed=2)
    x = int_data.matrix.toarray().astype(np.float64)
    if model.weights != "both":
        x = (x > 0) * 1.0
    expected = FORWARD[name](Weights(model._arrays()), x)
    found = model.score(int_data)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-5 * np.abs(expected).max())
    assert np.ptp(expected, axis=0).min() > 0.001  # users differ, and so do not hide a constant


def multinomial(f: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return -(x * (f - f.exp().sum(1, keepdim=True).log())).sum(1)


def focal(log_p: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    p = log_p.exp()
    has, has_not = 0.25 * (1 - p) ** 2 * p.log(), 0.75 * p**2 * (1 - p).log()
    return -torch.where(x > 0, x * has, has_not).sum(1)


def logistic(f: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return -torch.where(x > 0, x * logsigmoid(f), logsigmoid(-f)).sum(1)


def cosine(o: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return (normalize(o) - normalize(x)).square().sum(1)


def observed(f: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return ((f - x).square() * (x > 0)).sum(1)


def squared(f: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return (f - x).square().sum(1)


Loss = Callable[[torch.Tensor, torch.Tensor, Any], torch.Tensor]
LOSSES: dict[str, tuple[dict[str, Any], Loss]] = {
    "vanilla-ae": ({}, lambda f, x, kl: multinomial(f, x)),
    "sparse-ae": ({}, lambda f, x, kl: multinomial(f, x)),
    "auto-rec": ({}, lambda f, x, kl: observed(f, x)),
    "cdae": ({"negatives": 0}, lambda f, x, kl: logistic(f, x)),
    "mult-dae": ({}, lambda f, x, kl: multinomial(f, x)),
    # After 30 of 100 updates beta is 30 / 60 of its last value.
    "mult-vae": (
        {"beta": 0.8, "anneal": 0.6},
        lambda f, x, kl: multinomial(f, x) + 0.4 * kl,
    ),
    "rec-vae": ({"gamma": 0.3}, lambda f, x, kl: multinomial(f, x) + 0.3 * x.sum(1) * kl),
    "h-vamp": (
        {"beta": 0.8, "anneal": 0.6, "likelihood": "multinomial"},
        lambda f, x, kl: multinomial(f, x) + 0.4 * kl,
    ),
    "macrid-vae": ({"beta": 0.8, "anneal": 0.6}, lambda f, x, kl: multinomial(f, x) + 0.4 * kl),
    "elsa": ({}, lambda o, x, kl: cosine(o, x)),
    "compressed-elsa": ({}, lambda o, x, kl: cosine(o, x)),
    "cosine-ae": ({}, lambda f, x, kl: multinomial(f, x)),
    "neural-ease": ({}, lambda f, x, kl: focal(f, x)),
    # The mean over the six numbers of a code.
    "flvae": ({"beta": 0.9}, lambda f, x, kl: focal(f, x) + 0.9 * kl / 6),
    "vasp": ({"beta": 0.9}, lambda f, x, kl: focal(f, x) + 0.9 * kl / 6),
    # One step has the weight 1; the weights of several are checked in tests/nn/test_denoise.py.
    "diff-rec": ({"steps": 1}, lambda f, x, kl: squared(f, x) / x.shape[1]),
    "l-diff-rec": (
        {"weight": 0.0, "beta": 0.8, "anneal": 0.6},
        lambda f, x, kl: multinomial(f, x) + 0.4 * kl,
    ),
    "flow-cf": ({}, lambda f, x, kl: squared(f, x)),
    "giff-cf": ({}, lambda f, x, kl: squared(f, x)),
}
"""What a row costs, given its scores, its target and its divergence, and the settings for that. The
divergences themselves are checked where they are made, under tests/nn."""


@pytest.mark.parametrize("name", NEURAL)
def test_the_objective_is_the_documented_loss(name: str, small, int_data: Interactions) -> None:
    changes, loss = LOSSES[name]
    model = recae.MODELS[name](**(small[name] | changes))
    assert isinstance(model, NeuralRecommender)
    x = Ragged.from_csr(int_data.matrix)
    x = x.with_values(x.values.double())
    batch = Batch(x, x, torch.arange(len(x)))
    net = model._network(x.n_columns, len(x))
    net.initialise(torch.Generator().manual_seed(0))
    scores, terms = net.double()(batch, torch.Generator().manual_seed(1))
    dense = torch.from_numpy(int_data.matrix.toarray()).double()
    expected = loss(scores.dense(), dense, terms.get("kl")).mean()
    torch.testing.assert_close(model._objective(100)(scores, terms, batch, 30), expected)
