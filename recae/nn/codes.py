"""The `code` slot: how the encoder's output becomes the latent code, and what that costs.

Each piece maps `(hidden, batch, generator)` to `(z, terms)`; `terms` holds one number per row for
every penalty, unweighted. `batch` is the one before corruption.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recae.nn.batch import Batch
from recae.nn.layers import Linear


class DeterministicCode(nn.Module):
    """The encoder's output is the code."""

    def forward(
        self, hidden: Tensor, batch: Batch, generator: torch.Generator | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        return hidden, {}


class Gaussian(nn.Module):
    """A diagonal Gaussian posterior under a standard normal prior (Kingma & Welling 2014).

    z = mu + sigma * eps in training and mu otherwise; the term `kl` is, for each row,
    KL(N(mu, sigma^2) || N(0, 1)) = 1/2 sum(sigma^2 + mu^2 - 1 - log sigma^2).
    """

    def __init__(self, n_hidden: int, latent: int) -> None:
        super().__init__()
        self.mu = Linear(n_hidden, latent)
        self.log_variance = Linear(n_hidden, latent)

    def forward(
        self, hidden: Tensor, batch: Batch, generator: torch.Generator | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        mu = self.mu(hidden)  # (rows, latent)
        if not self.training:
            return mu, {}
        log_variance = self.log_variance(hidden)
        kl = 0.5 * (log_variance.exp() + mu.square() - 1 - log_variance).sum(1)  # (rows,)
        noise = torch.randn(mu.shape, generator=generator, device=mu.device, dtype=mu.dtype)
        return mu + noise * (0.5 * log_variance).exp(), {"kl": kl}

    def mean_and_deviation(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """The mean and the standard deviation of the posterior, (rows, latent) each."""
        return self.mu(hidden), (0.5 * self.log_variance(hidden)).exp()


class UserNodes(nn.Module):
    """sigma(hidden + V_u): a node of its own for every training user (Wu et al. 2016).

    In evaluation everybody is a stranger and gets the mean node, which is kept when the nodes
    themselves, needed by training alone, are not.
    """

    def __init__(self, n_users: int, width: int) -> None:
        super().__init__()
        self.prior = _Nodes(n_users, width)
        self.stranger: Tensor
        self.register_buffer("stranger", torch.zeros(width))

    def train(self, mode: bool = True) -> UserNodes:
        """Also takes the mean of the nodes when training ends."""
        if not mode and len(self.prior.nodes):
            self.stranger.copy_(self.prior.nodes.detach().mean(0))
        return super().train(mode)

    def forward(
        self, hidden: Tensor, batch: Batch, generator: torch.Generator | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        node = self.prior.nodes[batch.rows] if self.training else self.stranger
        return (hidden + node).sigmoid(), {}


class _Nodes(nn.Module):
    def __init__(self, n_users: int, width: int) -> None:
        super().__init__()
        self.nodes = nn.Parameter(torch.empty(n_users, width))

    def initialise(self, generator: torch.Generator) -> None:
        """Draws the nodes in place, small: a history must say more than a number."""
        nn.init.normal_(self.nodes, std=0.01, generator=generator)
