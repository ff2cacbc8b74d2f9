"""AutoencoderNet: corruption, encoder, code and decoder, with corruptions and basic codes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from recae.nn.anchors import Anchors
from recae.nn.batch import Batch, Coded, Ragged
from recae.nn.heads import Scores
from recae.nn.layers import Linear
from recae.nn.ranks import Ranks
from recae.nn.sharded import shard_module
from recae.nn.variational import draw, normal_like


class NoCorruption(nn.Module):
    """No corruption: the batch as it is."""

    def forward(self, batch: Batch, generator: torch.Generator | None) -> Batch:
        return batch


SMALLEST = torch.finfo(torch.float64).tiny
"""Below the norm of every row but an empty one and one of zeros."""


class UnitNorm(nn.Module):
    """Scales every input row to Euclidean length one; empty rows stay empty."""

    def forward(self, batch: Batch, generator: torch.Generator | None) -> Batch:
        """Divides each row by its norm; an empty row stays empty."""
        x = batch.input
        if isinstance(x, Tensor):
            return batch.with_input(nn.functional.normalize(x, dim=1))
        # In float64, because squares of very large or small weights leave float32.
        values = x.values.double()
        norms = x.row_sums(values.square()).sqrt().clamp_min(SMALLEST)  # (rows,)
        return batch.with_input(x.with_values((values / norms[x.rows]).to(x.values.dtype)))


class Noise(nn.Module):
    """Changes every input entry by itself in training; of a sparse row, the entries it has.

    amount: 0 for no noise.
    """

    def __init__(self, amount: float) -> None:
        super().__init__()
        self.amount = amount

    def forward(self, batch: Batch, generator: torch.Generator | None) -> Batch:
        if not self.training or self.amount == 0:
            return batch
        x = batch.input
        if isinstance(x, Ragged):
            return batch.with_input(x.with_values(self.noisy(x.values, generator)))
        return batch.with_input(self.noisy(x, generator))

    def noisy(self, values: Tensor, generator: torch.Generator | None) -> Tensor:
        """The values with noise, in their shape."""
        raise NotImplementedError


class Dropout(Noise):
    """Sets a share `amount` of the input entries to zero, scales the rest by 1 / (1 - amount)."""

    def noisy(self, values: Tensor, generator: torch.Generator | None) -> Tensor:
        drawn = torch.rand(values.shape, generator=generator, device=values.device)
        return values * (drawn >= self.amount) / (1 - self.amount)


class Chain(nn.Module):
    """Several corruptions, one after the other."""

    def __init__(self, *steps: nn.Module) -> None:
        super().__init__()
        self.steps = nn.ModuleList(steps)

    def forward(self, batch: Batch, generator: torch.Generator | None) -> Batch:
        for step in self.steps:
            batch = step(batch, generator)
        return batch


class GaussianNoise(Noise):
    """Adds normal noise of standard deviation `amount`."""

    def noisy(self, values: Tensor, generator: torch.Generator | None) -> Tensor:
        return values + self.amount * normal_like(values, generator)


class Masking(Noise):
    """Sets a share `amount` of the input entries to zero, leaves the rest (Vincent et al. 2008)."""

    def noisy(self, values: Tensor, generator: torch.Generator | None) -> Tensor:
        kept = torch.rand(values.shape, generator=generator, device=values.device) >= self.amount
        return values * kept


class SaltAndPepper(Noise):
    """Sets a share `amount` of the entries of dense rows to `low` or `high`, by tossing a coin.

    Vincent et al. (2010), section 3.3. Not for sparse rows, which would become dense.
    """

    def __init__(self, amount: float, low: float = 0.0, high: float = 1.0) -> None:
        super().__init__(amount)
        self.low, self.high = low, high

    def forward(self, batch: Batch, generator: torch.Generator | None) -> Batch:
        if isinstance(batch.input, Ragged):
            raise TypeError("salt and pepper would fill sparse rows: use masking or dropout")
        return super().forward(batch, generator)

    def noisy(self, values: Tensor, generator: torch.Generator | None) -> Tensor:
        drawn = torch.rand(values.shape, generator=generator, device=values.device)
        values = torch.where(drawn < self.amount, self.high, values)
        return torch.where(drawn < self.amount / 2, self.low, values)


class Decoder(nn.Module):
    """Layers, then a head: codes become lazy scores."""

    def __init__(self, layers: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.layers, self.head = layers, head

    def forward(self, z: Tensor, batch: Batch) -> Scores:
        scores: Scores = self.head(self.layers(z))
        return scores


class AutoencoderNet(nn.Module):
    """An autoencoder of four modules; it does not depend on users and items.

    corrupt(batch, generator) -> batch; encoder(input) -> hidden;
    code(hidden, batch, generator) -> (z, {term: (rows,)}); decoder(z, batch) -> Scores. The batch
    that code and decoder see is the one given, not the corrupted one. Parts that only training
    needs belong to a module `prior` of the code, which is not saved with a model.

    anchors: pull the codes towards the user's items in training, if set; their term is `alignment`.
    ranks: processes that train it together, if set before its weights are drawn. Of the wide
    parameters of a module, each keeps its items as soon as they are drawn.
    """

    ranks: Ranks | None = None

    def __init__(
        self, corrupt: nn.Module, encoder: nn.Module, code: nn.Module, decoder: nn.Module
    ) -> None:
        super().__init__()
        self.corrupt, self.encoder, self.code, self.decoder = corrupt, encoder, code, decoder
        self.anchors: Anchors | None = None

    def initialise(self, generator: torch.Generator) -> None:
        """Draws all weights from `generator`, module by module in their order of definition."""
        for module in self.modules():
            initialise: Any = getattr(module, "initialise", None)
            if initialise is not None and module is not self:
                initialise(generator)
            if self.ranks is not None:
                shard_module(module, self.ranks)

    def forward(
        self, batch: Batch, generator: torch.Generator | None = None
    ) -> tuple[Scores, dict[str, Tensor]]:
        """The scores of a batch and the code's penalty terms, each (rows,)."""
        z, terms = self.encode(batch, generator)
        if self.anchors is not None:
            terms = terms | {"alignment": self.anchors(z, batch)}
        return self.decoder(z, batch), terms

    def encode(self, batch: Batch, generator: torch.Generator | None = None) -> Coded:
        """The codes of a batch, (rows, latent), and their penalty terms."""
        corrupted = self.corrupt(batch, generator)
        hidden = self.encoder(corrupted.input)
        z, terms = self.code(hidden, batch, generator)
        return z, terms


class DeterministicCode(nn.Module):
    """The encoder's output is the code."""

    def forward(self, hidden: Tensor, batch: Batch, generator: torch.Generator | None) -> Coded:
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

    def forward(self, hidden: Tensor, batch: Batch, generator: torch.Generator | None) -> Coded:
        mu = self.mu(hidden)  # (rows, latent)
        if not self.training:
            return mu, {}
        log_variance = self.log_variance(hidden)
        kl = 0.5 * (log_variance.exp() + mu.square() - 1 - log_variance).sum(1)  # (rows,)
        return draw(mu, log_variance, generator, batch), {"kl": kl}

    def mean_and_deviation(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """The mean and the standard deviation of the posterior, (rows, latent) each."""
        return self.mu(hidden), (0.5 * self.log_variance(hidden)).exp()


class UserNodes(nn.Module):
    """sigma(hidden + V_u): a node of its own for every training user (Wu et al. 2016).

    In evaluation every user gets the mean node. It is saved; the nodes themselves are only needed
    in training and are not.
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

    def forward(self, hidden: Tensor, batch: Batch, generator: torch.Generator | None) -> Coded:
        node = self.stranger
        if self.training:
            assert batch.rows is not None
            node = self.prior.nodes[batch.mine(batch.rows)]
        return (hidden + node).sigmoid(), {}


class _Nodes(nn.Module):
    def __init__(self, n_users: int, width: int) -> None:
        super().__init__()
        self.nodes = nn.Parameter(torch.empty(n_users, width))

    def initialise(self, generator: torch.Generator) -> None:
        """Draws the nodes in place, with small values, so that the history dominates."""
        nn.init.normal_(self.nodes, std=0.01, generator=generator)
