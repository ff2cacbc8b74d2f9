"""Gaussian posteriors with priors richer than N(0, 1)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from recae.nn.batch import Batch, Coded
from recae.nn.layers import Linear
from recae.nn.variational import draw

MIXTURE = ((3 / 20, 0.0), (1 / 10, 10.0))
"""Shares and log variances of the parts of the composite prior around zero; the rest, 3/4, is the
posterior of the encoder as it was (Shenbin et al. 2020, the authors' code)."""


def log_normal(z: Tensor, mu: Tensor | float, log_variance: Tensor | float) -> Tensor:
    """log N(z; mu, exp(log_variance)), number by number, in the shape of z."""
    spread = torch.as_tensor(log_variance, dtype=z.dtype, device=z.device)
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
        z = draw(mu, log_variance, generator)
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
