"""The one network class: four slots, corrupt -> encoder -> code -> decoder; and plain codes.

A code maps `(hidden, batch, generator)` to `(z, terms)`; `terms` holds one number per row for every
penalty, unweighted. `batch` is the one before corruption.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from recae.nn.batch import Batch
from recae.nn.heads import Scores
from recae.nn.layers import Linear


class Decoder(nn.Module):
    """Layers, then a head: codes become lazy scores."""

    def __init__(self, layers: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.layers, self.head = layers, head

    def forward(self, z: Tensor, batch: Batch) -> Scores:
        scores: Scores = self.head(self.layers(z))
        return scores


class AutoencoderNet(nn.Module):
    """An autoencoder made of four pieces; it knows nothing of users and items.

    corrupt(batch, generator) -> batch; encoder(input) -> hidden;
    code(hidden, batch, generator) -> (z, {term: (rows,)}); decoder(z, batch) -> Scores. The batch
    that code and decoder see is the one given, not the corrupted one. What only training needs
    belongs to a module named `prior` of the code: it is not saved with a model.
    """

    def __init__(
        self, corrupt: nn.Module, encoder: nn.Module, code: nn.Module, decoder: nn.Module
    ) -> None:
        super().__init__()
        self.corrupt, self.encoder, self.code, self.decoder = corrupt, encoder, code, decoder

    def initialise(self, generator: torch.Generator) -> None:
        """Draws all weights from `generator`, module by module in their order of definition."""
        for module in self.modules():
            initialise: Any = getattr(module, "initialise", None)
            if initialise is not None and module is not self:
                initialise(generator)

    def forward(
        self, batch: Batch, generator: torch.Generator | None = None
    ) -> tuple[Scores, dict[str, Tensor]]:
        """The scores of a batch and the code's penalty terms, each (rows,)."""
        z, terms = self.encode(batch, generator)
        return self.decoder(z, batch), terms

    def encode(
        self, batch: Batch, generator: torch.Generator | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The codes of a batch, (rows, latent), and their penalty terms."""
        corrupted = self.corrupt(batch, generator)
        hidden = self.encoder(corrupted.input)
        z, terms = self.code(hidden, batch, generator)
        return z, terms


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
