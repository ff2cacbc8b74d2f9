"""Gaussian posteriors with a choice of priors: the `code` of variational autoencoders."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from recae.nn.batch import Batch, Coded, Ragged
from recae.nn.layers import Linear

Moments = tuple[Tensor, Tensor]
"""Means and log variances of diagonal Gaussians, (rows, latent) each."""

Density = Callable[[Tensor], Tensor]
"""Codes, (rows, latent) -> their log density, (rows,)."""

LOG_TWO_PI = math.log(2 * math.pi)


def log_density(z: Tensor, mu: Tensor, log_variance: Tensor) -> Tensor:
    """log N(z; mu, exp(log_variance)) of each row, (rows,)."""
    scaled = (z - mu).square() * (-log_variance).exp()
    return -0.5 * (LOG_TWO_PI + log_variance + scaled).sum(1)


def log_mixture(z: Tensor, parts: Moments, log_shares: Tensor) -> Tensor:
    """log sum_c exp(log_shares_c) N(z; part c) of each row; parts: (components, latent)."""
    mu, log_variance = parts
    # The square is not multiplied out: with narrow parts the difference would cancel.
    scaled = (z[:, None] - mu).square() * (-log_variance).exp()  # (rows, components, latent)
    return (log_shares - 0.5 * (LOG_TWO_PI + log_variance + scaled).sum(2)).logsumexp(1)


class StandardNormal(nn.Module):
    """The prior N(0, 1) (Kingma & Welling 2014)."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.latent = latent

    def density(self) -> Density:
        """log p as a function of codes, (rows, latent) -> (rows,)."""
        return lambda z: -0.5 * (z.square() + LOG_TWO_PI).sum(1)

    def sample(self, rows: int, generator: torch.Generator) -> Tensor:
        """Codes drawn from the prior, (rows, latent)."""
        return torch.randn(rows, self.latent, generator=generator, device=generator.device)


class Parts(nn.Module):
    """The base of priors that are mixtures of Gaussians."""

    def parts(self) -> tuple[Moments, Tensor]:
        """The components and the logarithms of their shares."""
        raise NotImplementedError

    def density(self) -> Density:
        """log p as a function of codes, (rows, latent) -> (rows,); the parts are found once."""
        parts, log_shares = self.parts()
        return lambda z: log_mixture(z, parts, log_shares)

    def sample(self, rows: int, generator: torch.Generator) -> Tensor:
        """Codes drawn from the prior, (rows, latent)."""
        (mu, log_variance), log_shares = self.parts()
        chosen = torch.multinomial(log_shares.exp(), rows, replacement=True, generator=generator)
        return draw(mu[chosen], log_variance[chosen], generator)


class Mixture(Parts):
    """A prior that is a mixture of diagonal Gaussians, learnt with everything else."""

    def __init__(self, latent: int, components: int) -> None:
        super().__init__()
        self.mu = nn.Parameter(torch.empty(components, latent))
        self.log_variance = nn.Parameter(torch.empty(components, latent))
        self.log_shares = nn.Parameter(torch.empty(components))

    def initialise(self, generator: torch.Generator) -> None:
        """Draws the means from N(0, 1); variances are 1 and shares equal."""
        nn.init.normal_(self.mu, generator=generator)
        nn.init.zeros_(self.log_variance)
        nn.init.zeros_(self.log_shares)

    def parts(self) -> tuple[Moments, Tensor]:
        """The components and the logarithms of their shares."""
        return (self.mu, self.log_variance), self.log_shares.log_softmax(0)


class Vamp(Parts):
    """The mean of the posteriors of learnt pseudo-inputs as prior (Tomczak & Welling 2018, eq. 9).

    inputs: (components, ...) what the pseudo-inputs begin as, such as rows of the data; bounds:
    what they are held between; posterior: reads them as it reads data.
    """

    inputs: nn.Parameter

    def __init__(
        self,
        inputs: Tensor,
        posterior: PosteriorOf,
        bounds: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        self.inputs = nn.Parameter(inputs.clone())
        self.posterior, self.bounds = posterior, bounds

    def parts(self) -> tuple[Moments, Tensor]:
        """The components and the logarithms of their shares."""
        inputs = self.inputs if self.bounds is None else self.inputs.clamp(*self.bounds)
        mu, log_variance = self.posterior(inputs)
        return (mu, log_variance), mu.new_full((len(mu),), -math.log(len(mu)))


Prior = StandardNormal | Parts


class Variational(nn.Module):
    """z ~ N(mu(h), sigma(h)^2) under a prior; mu in evaluation.

    The term `kl` under N(0, 1) is the divergence 1/2 sum(sigma^2 + mu^2 - 1 - log sigma^2) of each
    row. Under another prior it is log q(z | x) - log p(z) of the one z drawn, whose expectation is
    the divergence. free_bits: nats of each dimension without a penalty, on average over the batch
    (Kingma et al. 2016, eq. 15): max(free_bits, mean KL_j) summed over j; with N(0, 1) alone.
    """

    def __init__(self, n_hidden: int, latent: int, prior: Prior, *, free_bits: float = 0.0) -> None:
        super().__init__()
        self.mu, self.log_variance = Linear(n_hidden, latent), Linear(n_hidden, latent)
        self.prior: Prior = prior
        self.free_bits = free_bits

    def posterior(self, hidden: Tensor) -> Moments:
        """Means and log variances, (rows, latent) each; the variance is at most e^10."""
        return self.mu(hidden), self.log_variance(hidden).clamp(-20, 10)

    def forward(self, hidden: Tensor, batch: Batch, generator: torch.Generator | None) -> Coded:
        if not self.training:
            mu: Tensor = self.mu(hidden)
            return mu, {}
        mu, log_variance = self.posterior(hidden)
        z = draw(mu, log_variance, generator, batch)
        return z, {"kl": self.kl(z, mu, log_variance)}

    def kl(self, z: Tensor, mu: Tensor, log_variance: Tensor) -> Tensor:
        """The term of each row, (rows,)."""
        if not isinstance(self.prior, StandardNormal):
            return log_density(z, mu, log_variance) - self.prior.density()(z)
        kl = 0.5 * (log_variance.exp() + mu.square() - 1 - log_variance)  # (rows, latent)
        if self.free_bits:
            return kl.mean(0).clamp_min(self.free_bits).sum().expand(len(kl))
        return kl.sum(1)


def draw(
    mu: Tensor, log_variance: Tensor, generator: torch.Generator | None, batch: Batch | None = None
) -> Tensor:
    """One z of each row from N(mu, exp(log_variance)), with its gradient (reparameterised)."""
    return mu + normal_like(mu, generator, batch) * (0.5 * log_variance).exp()


def normal_like(
    values: Tensor, generator: torch.Generator | None, batch: Batch | None = None, each: int = 1
) -> Tensor:
    """Numbers drawn from N(0, 1), in the shape, type and device of `values`.

    They are drawn on the device of the generator: torch takes no generator of another one. batch:
    what the values are of, with `each` rows of values for a row. A process that has some of its
    rows draws for all of them, as if it were alone, and keeps its own.
    """
    where = values.device if generator is None else generator.device
    shape, own = list(values.shape), slice(None)
    if batch is not None and batch.ranks is not None:
        rows = batch.ranks.rows(len(batch))
        shape[0], own = len(batch) * each, slice(rows.start * each, rows.stop * each)
    drawn = torch.randn(shape, generator=generator, device=where, dtype=values.dtype)
    return drawn[own].to(values.device)


@dataclass(frozen=True)
class PosteriorOf:
    """input -> its posterior, through the encoder and the heads of a code.

    No module, so that a prior that holds it does not own their weights; a copy of a network reads
    with its own copies.
    """

    encoder: nn.Module
    code: Variational

    def __call__(self, input: Ragged | Tensor) -> Moments:
        return self.code.posterior(self.encoder(input))


MIXTURE = ((3 / 20, 0.0), (1 / 10, 10.0))
"""Shares and log variances of the parts of the composite prior around zero; the rest, 3/4, is the
posterior of the encoder as it was (Shenbin et al. 2020, the authors' code)."""


def log_normal(z: Tensor, mu: Tensor | float, log_variance: Tensor | float) -> Tensor:
    """log N(z; mu, exp(log_variance)), number by number, in the shape of z."""
    # A number stays a scalar of the host, which a GPU reads without waiting.
    spread = torch.as_tensor(log_variance, dtype=z.dtype)
    return -0.5 * (math.log(2 * math.pi) + spread + (z - mu).square() / spread.exp())


class Posterior(nn.Module):
    """Input -> mean and log variance of a diagonal Gaussian, (rows, latent) each."""

    def __init__(self, read: nn.Module, encoder: nn.Module, n_hidden: int, latent: int) -> None:
        super().__init__()
        self.read, self.encoder = read, encoder
        self.mu, self.log_variance = Linear(n_hidden, latent), Linear(n_hidden, latent)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        hidden = self.encoder(self.read(batch, None).input)
        return self.mu(hidden), self.log_variance(hidden)


class CompositeGaussian(nn.Module):
    """A Gaussian posterior under a mixture of N(0, 1), a wide normal, and the posterior as it was.

    The term `kl` is log q(z | x) - log p(z | x) of the one z drawn, summed over its dimensions; its
    expectation is the divergence. `remember` makes today's encoder the one "as it was"; the prior
    reads the batch before corruption, through `old`.
    """

    def __init__(self, n_hidden: int, latent: int, old: Posterior) -> None:
        super().__init__()
        self.mu, self.log_variance = Linear(n_hidden, latent), Linear(n_hidden, latent)
        self.prior = old.requires_grad_(False)

    def remember(self, encoder: nn.Module) -> None:
        """Copies the encoder and the two heads into the prior."""
        for old, new in (
            (self.prior.encoder, encoder),
            (self.prior.mu, self.mu),
            (self.prior.log_variance, self.log_variance),
        ):
            old.load_state_dict(new.state_dict())

    def forward(self, hidden: Tensor, batch: Batch, generator: torch.Generator | None) -> Coded:
        mu = self.mu(hidden)  # (rows, latent)
        if not self.training:
            return mu, {}
        log_variance = self.log_variance(hidden)
        z = draw(mu, log_variance, generator, batch)
        kl = log_normal(z, mu, log_variance) - self.log_prior(z, batch)
        return z, {"kl": kl.sum(1)}

    def mean_and_deviation(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """The mean and the standard deviation of the posterior, (rows, latent) each."""
        return self.mu(hidden), (0.5 * self.log_variance(hidden)).exp()

    def log_prior(self, z: Tensor, batch: Batch) -> Tensor:
        """log p(z | x), dimension by dimension: (rows, latent)."""
        old_mu, old_log_variance = self.prior(batch)
        parts = [math.log(share) + log_normal(z, 0.0, spread) for share, spread in MIXTURE]
        rest = math.log(1 - sum(share for share, _ in MIXTURE))
        parts.append(rest + log_normal(z, old_mu, old_log_variance))
        return torch.stack(parts).logsumexp(0)


def remember(net: Any) -> None:
    """Makes the encoder of a network with a CompositeGaussian the one of its prior."""
    net.code.remember(net.encoder)
