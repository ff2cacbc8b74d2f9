"""Denoisers in training: what they are given, and how the losses of steps are weighted."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from recae.nn import Batch, InputLinear, LinearHead, Ragged
from recae.nn.denoise import (
    ClusterEncoder,
    NoisyCode,
    NoisyInput,
    NoisyRows,
    StepDecoder,
    units,
)
from recae.nn.diffusion import GaussianSchedule

SCHEDULE = GaussianSchedule.linear(3, 0.5, 0.1, 0.5)
MATRIX = sp.random(8, 12, 0.4, format="csr", random_state=1, dtype=np.float32)
X = Ragged.from_csr(MATRIX)
BATCH = Batch(X, X)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(module: torch.nn.Module) -> None:
    for part in module.modules():
        if hasattr(part, "initialise"):
            part.initialise(generator(2))


def test_the_loss_of_a_row_is_weighted_by_its_step() -> None:
    first, head = InputLinear(12, 5), LinearHead(5, 12)
    code = NoisyRows(SCHEDULE, (5,), 4)
    code.outside = [first, head]
    corrupt, decoder = NoisyInput(code, 0.0), StepDecoder(head, code)
    for module in (first, code, decoder):
        drawn(module)
    noisy = corrupt(BATCH, generator(0))
    assert code.drawn is not None and noisy.target is X
    steps, factors = code.drawn
    assert len(set(steps.tolist())) == 3 and (factors == 1).all()
    z, _ = code(first(noisy.input), BATCH, None)
    scores = decoder(z, BATCH)
    errors = (scores.dense() - torch.from_numpy(MATRIX.toarray())).square().mean(1)
    a = [0.95, 0.85, 0.75]  # the noise has a variance of 0.05, 0.15, 0.25
    ratios = [kept / (1 - kept) for kept in a]
    weights = torch.tensor([1, ratios[0] - ratios[1], ratios[1] - ratios[2]])[steps]
    torch.testing.assert_close(scores.loss("squared", X), (errors * weights).mean())
    met = torch.bincount(steps, minlength=3)
    torch.testing.assert_close(code.prior.counts, met)
    last = code.prior.losses[steps[-1], -1]
    torch.testing.assert_close(last, (errors * weights)[-1].detach())
    with torch.no_grad():
        scores.loss("squared", X)
    torch.testing.assert_close(code.prior.counts, met)  # only training is remembered

    corrupt.eval()
    assert corrupt(BATCH, generator(7)) is BATCH and code.drawn is None


def test_the_divergence_and_the_loss_of_a_noisy_code() -> None:
    code = NoisyCode(SCHEDULE, latent=4, width=6, waves=4, dropout=0.0)
    drawn(code)
    hidden = torch.randn(8, 8, generator=generator(4))
    found, terms = code(hidden, BATCH, generator(5))
    mu, log_variance = hidden[:, :4], hidden[:, 4:]
    kl = [
        sum(0.5 * (np.exp(v) + m * m - 1 - v) for m, v in zip(ms, vs, strict=True))
        for ms, vs in zip(mu.tolist(), log_variance.tolist(), strict=True)
    ]
    assert terms["kl"].tolist() == pytest.approx(kl, rel=1e-5)
    # The same draws again: a code, steps, noise.
    noise = generator(5)
    z = mu + (log_variance / 2).exp() * torch.randn(8, 4, generator=noise)
    steps = (torch.rand(8, generator=noise) * 3).long()
    kept = torch.tensor([0.95, 0.85, 0.75])[steps, None]
    z_t = kept.sqrt() * z + (1 - kept).sqrt() * torch.randn(8, 4, generator=noise)
    expected = code.last((code.first(z_t) + code.shift(steps)).tanh())
    torch.testing.assert_close(found, expected)
    ratio = [0.95 / 0.05, 0.85 / 0.15, 0.75 / 0.25]
    weights = torch.tensor([1, ratio[0] - ratio[1], ratio[1] - ratio[2]])[steps]
    torch.testing.assert_close(terms["diffusion"], weights * (z - expected).square().mean(1))


def test_clusters_read_their_own_items() -> None:
    clusters = np.array([0, 2, 1, 0, 0, 2, 1, 0, 0, 2, 0, 0])
    encoder = ClusterEncoder(clusters, latent=6)
    drawn(encoder)
    assert encoder.units == [3, 1, 2] and units(np.array([98, 1, 1]), 4) == [2, 1, 1]
    means, variances = [], []
    for number, part in enumerate(encoder.parts):
        own = torch.from_numpy(MATRIX.toarray()[:, clusters == number])
        hidden = (own @ part.weight + part.bias).tanh()
        means.append(hidden[:, : encoder.units[number]])
        variances.append(hidden[:, encoder.units[number] :])
    expected = torch.cat([*means, *variances], 1)
    torch.testing.assert_close(encoder(X), expected)
    torch.testing.assert_close(encoder(torch.from_numpy(MATRIX.toarray())), expected)
    table = torch.from_numpy(MATRIX @ encoder.table()) + encoder.bias()
    torch.testing.assert_close(table.tanh(), expected)
