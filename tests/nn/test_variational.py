"""Posteriors and priors against torch.distributions, formulas and draws."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal, kl_divergence

from recae.nn import (
    Batch,
    Linear,
    Mixture,
    PosteriorOf,
    StandardNormal,
    Vamp,
    Variational,
    draw,
    log_density,
)
from recae.nn.variational import log_mixture

LATENT = 3
NOTHING: Any = Batch(torch.zeros(0), torch.zeros(0))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def mixture() -> Mixture:
    prior = Mixture(LATENT, 5).double()
    prior.initialise(generator(1))
    with torch.no_grad():
        prior.log_variance.copy_(normal(5, LATENT, seed=2))
        prior.log_shares.copy_(normal(5, seed=3))
    return prior


def vamp(bounds: tuple[float, float] | None = None) -> tuple[Vamp, Variational]:
    encoder = Linear(4, 6).double()
    code = Variational(6, LATENT, StandardNormal(LATENT)).double()
    for number, layer in enumerate((encoder, code.mu, code.log_variance)):
        layer.initialise(generator(number))
    prior = Vamp(normal(5, 4, seed=9), PosteriorOf(encoder, code), bounds).double()
    code.prior = prior
    return prior, code


def as_torch(prior: Any) -> MixtureSameFamily:
    (mu, log_variance), log_shares = prior.parts()
    parts = Independent(Normal(mu, (0.5 * log_variance).exp()), 1)
    return MixtureSameFamily(Categorical(logits=log_shares), parts)


def test_densities_are_those_of_torch() -> None:
    z, mu, log_variance = normal(20, LATENT), normal(20, LATENT, seed=1), normal(20, LATENT, seed=2)
    expected = Normal(mu, (0.5 * log_variance).exp()).log_prob(z).sum(1)
    assert torch.allclose(log_density(z, mu, log_variance), expected)
    expected = Normal(0.0, 1.0).log_prob(z).sum(1)
    assert torch.allclose(StandardNormal(LATENT).density()(z), expected)
    for prior in (mixture(), vamp()[0], vamp((-0.5, 0.5))[0]):
        assert torch.allclose(prior.density()(z), as_torch(prior).log_prob(z))


def test_a_mixture_of_narrow_parts_keeps_its_digits() -> None:
    """In float32, variances of e^-16: squares multiplied out would be off by nats."""
    mu = torch.tensor([[3.0, -2.0]])
    log_variance = torch.full((1, 2), -16.0)
    z = mu + torch.tensor([[1e-4, -3e-4]])
    scaled = ((z.double() - mu.double()) / math.exp(-8)).square().sum()
    expected = float(-0.5 * scaled - math.log(2 * math.pi) + 16)
    found = float(log_mixture(z, (mu, log_variance), torch.zeros(1)))
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("make", [mixture, lambda: vamp()[0]])
def test_draws_have_the_moments_of_the_prior(make: Any) -> None:
    prior = make()
    with torch.no_grad():
        drawn = prior.sample(40_000, generator())
        expected = as_torch(prior)
    tolerance = 5 * (expected.variance / 40_000).sqrt()
    assert (drawn.mean(0) - expected.mean).abs().lt(tolerance).all()
    assert torch.allclose(drawn.var(0), expected.variance, rtol=0.05)
    with torch.no_grad():
        assert torch.equal(prior.sample(9, generator(4)), prior.sample(9, generator(4)))
    plain = StandardNormal(LATENT).sample(40_000, generator())
    assert torch.allclose(plain.mean(0), torch.zeros(LATENT), atol=0.03)
    assert torch.allclose(plain.var(0), torch.ones(LATENT), rtol=0.05)


def test_posterior_draws_have_its_moments() -> None:
    mu, log_variance = normal(1, LATENT), normal(1, LATENT, seed=1)
    drawn = draw(mu.expand(40_000, -1), log_variance.expand(40_000, -1), generator())
    assert torch.allclose(drawn.mean(0), mu[0], atol=0.05)
    assert torch.allclose(drawn.var(0), log_variance[0].exp(), rtol=0.05)


def test_kl_is_the_formula_and_what_draws_say() -> None:
    code = Variational(2, LATENT, StandardNormal(LATENT))
    mu, log_variance = normal(7, LATENT), normal(7, LATENT, seed=1)
    posterior = Normal(mu, (0.5 * log_variance).exp())
    expected = kl_divergence(posterior, Normal(torch.zeros(()).double(), 1.0)).sum(1)
    assert torch.allclose(code.kl(mu, mu, log_variance), expected)

    for prior in (StandardNormal(LATENT), mixture(), vamp()[0]):
        other = Variational(2, LATENT, prior)
        total = torch.zeros(7).double()
        for seed in range(2000):
            z = draw(mu, log_variance, generator(seed))
            with torch.no_grad():
                total += log_density(z, mu, log_variance) - prior.density()(z)
                if not isinstance(prior, StandardNormal) and seed == 0:
                    assert torch.equal(other.kl(z, mu, log_variance), total)
        if isinstance(prior, StandardNormal):
            assert torch.allclose(total / 2000, expected, rtol=0.1)


def test_free_bits_are_free_for_each_dimension_on_average() -> None:
    """Kingma et al. 2016, eq. 15: two rows, means of KL_j 0.25, 1 and 0; 0.5 are free."""
    code = Variational(2, LATENT, StandardNormal(LATENT), free_bits=0.5)
    mu = torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.0, 0.0]])
    kl = code.kl(mu, mu, torch.zeros(2, LATENT))
    assert kl.tolist() == pytest.approx([0.5 + 1.0 + 0.5] * 2)


def test_evaluation_gives_the_mean_and_training_a_draw() -> None:
    code = Variational(4, LATENT, StandardNormal(LATENT)).double()
    code.mu.initialise(generator(1)), code.log_variance.initialise(generator(2))
    hidden = normal(5, 4)
    mu, log_variance = code.posterior(hidden)
    z, terms = code.eval()(hidden, NOTHING, None)
    assert torch.equal(z, mu) and terms == {}
    z, terms = code.train()(hidden, NOTHING, generator(7))
    noise = torch.randn(5, LATENT, generator=generator(7), dtype=torch.float64)
    assert torch.allclose(z, mu + noise * (0.5 * log_variance).exp())
    assert torch.allclose(terms["kl"], code.kl(z, mu, log_variance))


@pytest.mark.parametrize("which", ["standard", "free bits", "mixture", "vamp", "bounded"])
def test_gradients_are_those_of_finite_differences(which: str) -> None:
    prior, code = vamp((-2.0, 2.0) if which == "bounded" else None)
    if which in ("standard", "free bits"):
        code.prior = StandardNormal(LATENT)
        code.free_bits = 0.3 if which == "free bits" else 0.0
    if which == "mixture":
        code.prior = mixture()
    hidden, weights = normal(6, 6, seed=5), normal(6, LATENT, seed=6)
    learning = [p for p in code.parameters()]

    def loss() -> Tensor:
        z, terms = code.train()(hidden, NOTHING, generator(3))
        return (z * weights).sum() + terms["kl"].sum()

    gradients = torch.autograd.grad(loss(), learning)
    for parameter, gradient in zip(learning, gradients, strict=True):
        direction = normal(*parameter.shape, seed=11)
        sides = []
        for sign in (1e-6, -1e-6):
            with torch.no_grad():
                parameter += sign * direction
                sides.append(loss().item())
                parameter -= sign * direction
        slope = (sides[0] - sides[1]) / 2e-6
        assert (gradient * direction).sum().item() == pytest.approx(slope, rel=1e-5, abs=1e-7)


def test_pseudo_inputs_are_read_by_the_encoder_they_belong_to() -> None:
    prior, code = vamp()
    names = [name for name, _ in code.named_parameters()]
    assert names == [
        "mu.weight",
        "mu.bias",
        "log_variance.weight",
        "log_variance.bias",
        "prior.inputs",
    ]
    net = nn.ModuleDict({"encoder": prior.posterior.encoder, "code": code})
    twin: Any = copy.deepcopy(net)
    before = [t.clone() for t in code.prior.parts()[0]]
    with torch.no_grad():
        twin["encoder"].weight.zero_()
        twin["code"].mu.bias.fill_(5.0)
    assert np.allclose(twin["code"].prior.parts()[0][0].detach(), 5.0)
    assert all(torch.equal(a, b) for a, b in zip(code.prior.parts()[0], before, strict=True))
