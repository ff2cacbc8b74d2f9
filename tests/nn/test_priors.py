"""Rich priors against torch.distributions, and one-sample divergences against their formulas."""

from __future__ import annotations

import math

import numpy as np
import scipy.sparse as sp
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal, kl_divergence

from recae.nn import (
    Batch,
    CompositeGaussian,
    DenselyConnected,
    HierarchicalEncoder,
    HierarchicalVamp,
    InputLinear,
    Posterior,
    Ragged,
    UnitNorm,
)
from recae.nn.variational import MIXTURE

N_ITEMS, WIDTH, LATENT, ROWS = 9, 7, 3, 5


def batch(rows: int = ROWS) -> Batch:
    one = sp.random(ROWS, N_ITEMS, 0.5, format="csr", random_state=3, dtype=np.float64)
    one.data[:] = 1
    ragged = Ragged.from_csr(sp.vstack([one] * (rows // ROWS)).tocsr())
    return Batch(ragged, ragged)


def drawn(module: torch.nn.Module, seed: int) -> torch.Generator:
    """Draws all weights; the generator they came from."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if hasattr(part, "initialise"):
            part.initialise(generator)
    return generator


def composite() -> tuple[CompositeGaussian, DenselyConnected]:
    def encoder() -> DenselyConnected:
        return DenselyConnected(InputLinear(N_ITEMS, WIDTH), WIDTH, 3, 0.1)

    code = CompositeGaussian(WIDTH, LATENT, Posterior(UnitNorm(), encoder(), WIDTH, LATENT))
    drawn(code, 1)
    return code, encoder()


def test_the_composite_prior_is_the_mixture() -> None:
    code, _ = composite()
    z = torch.randn(ROWS, LATENT, generator=torch.Generator().manual_seed(0))
    mu, log_variance = code.prior(batch())
    means = torch.stack([torch.zeros_like(mu), torch.zeros_like(mu), mu], -1)
    spreads = torch.stack(
        [torch.ones_like(mu), torch.full_like(mu, math.exp(5)), (log_variance / 2).exp()], -1
    )
    shares = torch.tensor([3 / 20, 1 / 10, 3 / 4]).expand(ROWS, LATENT, 3)
    expected = MixtureSameFamily(Categorical(shares), Normal(means, spreads)).log_prob(z)
    torch.testing.assert_close(code.log_prior(z, batch()), expected)
    assert sum(share for share, _ in MIXTURE) == 1 / 4


def test_the_composite_divergence_is_right_on_average() -> None:
    # Alone with N(0, 1) the mixture has a divergence in closed form; its one-sample estimates
    # average to it.
    code, _ = composite()
    rows = 40_000
    hidden = torch.tensor([[0.3, -1.0, 0.7, 0.2, 0.1, -0.4, 0.9]]).repeat(rows, 1)
    mu, log_variance = code.mu(hidden[:1]), code.log_variance(hidden[:1])
    posterior = Normal(mu, (0.5 * log_variance).exp())
    code.log_prior = lambda z, batch: Normal(0.0, 1.0).log_prob(z)
    _, terms = code(hidden, batch(rows), torch.Generator().manual_seed(2))
    spread = terms["kl"].std().item() / rows**0.5
    expected = kl_divergence(posterior, Normal(0.0, 1.0)).sum().item()
    assert abs(terms["kl"].mean().item() - expected) < 4 * spread


def test_the_composite_divergence_is_the_integral() -> None:
    # One number of the code after the other: the integral of q (log q - log p) on a fine grid, with
    # p the mixture of the paper, against the mean of the one-sample terms.
    code, encoder = composite()
    drawn(encoder, 5)
    code.remember(encoder)
    for layer in (code.mu, code.log_variance):  # q is no longer what it was
        layer.weight.data *= 1.5
        layer.bias.data += 0.3
    rows = 40_000
    whole = batch(rows)
    hidden = encoder(UnitNorm()(whole, None).input)
    _, terms = code(hidden, whole, torch.Generator().manual_seed(2))
    kl = terms["kl"].reshape(-1, ROWS)  # the same five histories, over and over
    q = Normal(code.mu(hidden[:ROWS]), (0.5 * code.log_variance(hidden[:ROWS])).exp())
    mu, log_variance = code.prior(batch())
    grid = torch.linspace(-30, 30, 20_001)[:, None, None]
    parts = [(3 / 20, 0.0, 1.0), (1 / 10, 0.0, math.exp(5)), (3 / 4, mu, (log_variance / 2).exp())]
    p = sum(share * Normal(m, s).log_prob(grid).exp() for share, m, s in parts)
    integrand = q.log_prob(grid).exp() * (q.log_prob(grid) - p.log())
    expected = torch.trapezoid(integrand, grid, dim=0).sum(1)
    error = kl.std(0) / len(kl) ** 0.5
    assert ((kl.mean(0) - expected).abs() < 4 * error).all()
    assert expected.min() > 10 * error.max()


def test_remembering_makes_the_old_posterior_the_present_one() -> None:
    code, encoder = composite()
    drawn(encoder, 5)
    code.remember(encoder)
    hidden = encoder(UnitNorm()(batch(), None).input)
    mu, log_variance = code.prior(batch())
    torch.testing.assert_close(mu, code.mu(hidden))
    torch.testing.assert_close(log_variance, code.log_variance(hidden))
    assert not any(p.requires_grad for p in code.prior.parameters())


def test_dense_layers_are_the_sums_written_out() -> None:
    encoder = DenselyConnected(InputLinear(N_ITEMS, WIDTH), WIDTH, 4, 0.1)
    drawn(encoder, 3)
    x = torch.randn(ROWS, N_ITEMS, generator=torch.Generator().manual_seed(0))
    layers = list(encoder.layers)

    def normed(a: torch.Tensor) -> torch.Tensor:
        swish = a * torch.sigmoid(a)
        centred = swish - swish.mean(1, keepdim=True)
        return centred / (centred.square().mean(1, keepdim=True) + 0.1).sqrt()

    h1 = normed(x @ layers[0].weight + layers[0].bias)
    h2 = normed(layers[1](h1) + h1)
    h3 = normed(layers[2](h2) + h1 + h2)
    h4 = normed(layers[3](h3) + h1 + h2 + h3)
    torch.testing.assert_close(encoder(x), h4)


def hierarchical() -> tuple[HierarchicalVamp, HierarchicalEncoder]:
    views = HierarchicalEncoder(N_ITEMS, WIDTH, 2)
    code = HierarchicalVamp(
        views, N_ITEMS, width=WIDTH, latent=LATENT, depth=2, components=4, dropout=0.5
    )
    generator = drawn(views, 7)
    for part in code.modules():
        if hasattr(part, "initialise"):
            part.initialise(generator)
    return code, views


def test_the_prior_of_pseudo_inputs_is_the_mixture_of_their_posteriors() -> None:
    code, views = hierarchical()
    code.eval()  # without dropout on the pseudo-inputs
    z = torch.randn(ROWS, LATENT, generator=torch.Generator().manual_seed(0))
    mu, log_variance = code.upper(views.upper(code.prior.inputs.clamp(0, 1)))
    parts = Independent(Normal(mu, (0.5 * log_variance).exp()), 1)
    expected = MixtureSameFamily(Categorical(torch.ones(4)), parts).log_prob(z)
    torch.testing.assert_close(code.log_prior(z, None), expected)


def test_the_prior_with_narrow_products_is_nearly_the_prior() -> None:
    # bfloat16 keeps 8 bits; the gradient must keep its direction, and evaluation its float32.
    code, _ = hierarchical()
    code.eval()
    z = torch.randn(ROWS, LATENT, generator=torch.Generator().manual_seed(0))
    found = []
    for products in (None, torch.bfloat16):
        code.products = products
        density = code.log_prior(z, None)
        (slope,) = torch.autograd.grad(density.sum(), [code.prior.inputs])
        found.append((density.detach(), slope))
    (exact, slope), (narrow, other) = found
    torch.testing.assert_close(narrow, exact, rtol=2e-2, atol=2e-2)
    assert not torch.equal(narrow, exact)
    assert torch.cosine_similarity(slope.flatten(), other.flatten(), 0) > 0.995
    with torch.no_grad():
        assert torch.equal(code.log_prior(z, None), exact)


def test_the_divergence_of_two_levels_is_right_on_average() -> None:
    # log q(z1 | x, z2) - log p(z1 | z2) is the closed form on average over z1, for every z2; with
    # the exact prior term the whole must average to the sum of both.
    code, _ = hierarchical()
    rows = 40_000
    hidden = torch.randn(1, 2 * WIDTH, generator=torch.Generator().manual_seed(1))
    code.log_prior = lambda z, generator: Normal(0.0, 1.0).log_prob(z).sum(1)
    z, terms = code(hidden.repeat(rows, 1), batch(rows), torch.Generator().manual_seed(2))
    z2 = z[:, LATENT:]
    upper = code.upper(hidden[:, :WIDTH])
    first = kl_divergence(Normal(upper[0], (0.5 * upper[1]).exp()), Normal(0.0, 1.0)).sum()
    joined = torch.cat([hidden[:, WIDTH:].repeat(rows, 1), code.from_upper(z2)], 1)
    q, p = code.lower(code.joint(joined)), code.prior.lower(code.prior.layers(z2))
    second = kl_divergence(Normal(q[0], (0.5 * q[1]).exp()), Normal(p[0], (0.5 * p[1]).exp())).sum(
        1
    )
    estimate = terms["kl"] - second  # averages to the first
    spread = estimate.std().item() / rows**0.5
    assert abs(estimate.mean().item() - first.item()) < 4 * spread


def test_the_divergence_under_the_pseudo_inputs_is_right_on_average() -> None:
    # The whole term, prior of pseudo-inputs and all, from draws of our own with torch.distributions
    # against its own draws: two averages of one expectation.
    code, views = hierarchical()
    code.dropout.amount = 0.0
    rows = 40_000
    hidden = torch.randn(1, 2 * WIDTH, generator=torch.Generator().manual_seed(1)).repeat(rows, 1)
    _, terms = code(hidden, batch(rows), torch.Generator().manual_seed(2))
    noise = torch.randn(2, rows, LATENT, generator=torch.Generator().manual_seed(3))

    def normal(pair: tuple[torch.Tensor, torch.Tensor]) -> Independent:
        return Independent(Normal(pair[0], (0.5 * pair[1]).exp()), 1)

    q2 = normal(code.upper(hidden[:, :WIDTH]))
    z2 = q2.mean + q2.stddev * noise[0]
    q1 = normal(code.lower(code.joint(torch.cat([hidden[:, WIDTH:], code.from_upper(z2)], 1))))
    z1 = q1.mean + q1.stddev * noise[1]
    p1 = normal(code.prior.lower(code.prior.layers(z2)))
    p2 = MixtureSameFamily(
        Categorical(torch.ones(4)), normal(code.upper(views.upper(code.prior.inputs.clamp(0, 1))))
    )
    ratio = q2.log_prob(z2) + q1.log_prob(z1) - p1.log_prob(z1) - p2.log_prob(z2)
    error = ((ratio.var() + terms["kl"].var()) / rows).sqrt()
    assert (ratio.mean() - terms["kl"].mean()).abs() < 4 * error


def test_gradients_of_the_vamp_prior_agree_with_finite_differences() -> None:
    code, _ = hierarchical()
    code.double().eval()
    code.shared[0].double()
    z = torch.randn(2, LATENT, dtype=torch.float64, requires_grad=True)
    inputs = code.prior.inputs.detach().clone().requires_grad_()

    def prior(z: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        del code.prior.inputs
        code.prior.inputs = inputs
        value = code.log_prior(z, None)
        return value

    code.prior.inputs = torch.nn.Parameter(inputs.detach())
    del code.prior._parameters["inputs"]
    code.prior.inputs = inputs
    assert torch.autograd.gradcheck(prior, (z, inputs))
