"""Encoder and decoder that share one matrix of unit-norm item vectors (ELSA)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recae.errors import check_option
from recae.nn.batch import Batch, Ragged, bag
from recae.nn.layers import Derived
from recae.nn.products import FactoredScores, gather
from recae.nn.sharded import Shard


class UnitRows(Derived):
    """x -> x A, with A (n_items, latent) scaled to rows of length one.

    With a `shard` it reads all rows, and returns those of this process.
    """

    wide = {"weight": 0}
    shard: Shard | None = None

    def __init__(self, n_items: int, latent: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_items, latent))

    def initialise(self, generator: torch.Generator) -> None:
        """Draws the weights in place."""
        nn.init.xavier_uniform_(self.weight, generator=generator)

    def rows(self) -> Tensor:
        """A, (n_items, latent)."""
        return self.derived(self.weight, lambda w: F.normalize(w, dim=1))

    def forward(self, x: Ragged | Tensor) -> Tensor:
        a, shard = self.rows(), self.shard
        if isinstance(x, Tensor):
            return x @ a
        if shard is not None:
            return shard.split(bag(a, shard.own(x)))
        return bag(a, x)


class PrunedRows(UnitRows):
    """UnitRows that keep the `nonzeros` largest entries of a row, by absolute value, in evaluation.

    Training uses the entries that `prune` has left: a weight of zero stays zero.
    """

    def __init__(self, n_items: int, latent: int, nonzeros: int) -> None:
        super().__init__(n_items, latent)
        self.nonzeros = nonzeros
        self.first: Tensor | None = None  # the weights that `rewind` returns to

    def rows(self) -> Tensor:
        """A, (n_items, latent)."""
        if self.training:
            return F.normalize(self.weight * (self.weight != 0), dim=1)
        kept = self.nonzeros
        return self.derived(self.weight, lambda w: F.normalize(w * largest(w, kept), dim=1))

    @torch.no_grad()
    def prune(self, kept: int, *, rewind: bool) -> None:
        """Leaves the `kept` largest of each row; rewind: with their values in `first`."""
        places = largest(self.weight, kept)
        if rewind:
            assert self.first is not None
            self.weight.copy_(self.first)
        self.weight.mul_(places)


def largest(weight: Tensor, kept: int) -> Tensor:
    """Where the `kept` largest absolute values of each row are: ones and zeros."""
    places = weight.detach().abs().topk(kept, dim=1).indices
    return torch.zeros_like(weight).scatter_(1, places, 1.0)


class TiedDecoder(nn.Module):
    """h -> h A' - x, with A of `encoder`: an item's score from the others of the history."""

    def __init__(self, encoder: UnitRows) -> None:
        super().__init__()
        self.shared = [encoder]  # in a list: its weights are the encoder's and are saved once

    def forward(self, z: Tensor, batch: Batch) -> TiedScores:
        encoder = self.shared[0]
        return TiedScores(z, encoder.rows(), batch.input, encoder.shard)


@dataclass(frozen=True)
class TiedScores:
    """h A' - x, unevaluated: hidden (rows, latent), vectors A (n_items, latent), input x.

    shard: the items of the vectors, if not all; hidden then has the rows of this process, and the
    loss is its share of the mean over all rows, those of the input.
    """

    hidden: Tensor
    vectors: Tensor
    input: Ragged | Tensor
    shard: Shard | None = None

    def loss(self, kind: str, target: Ragged | Tensor) -> Tensor:
        """|o / |o| - x / |x||^2 = 2 - 2 cos(o, x), averaged over rows (Vancura et al. 2022).

        o are these scores and x the target, which must have the cells of the input. No matrix of
        scores is made where the code is narrower than the batch is long: |h A'|^2 = h (A'A) h'.
        """
        check_option("reconstruction loss", kind, ["cosine"])
        x = self.input
        if not isinstance(x, Ragged) or not isinstance(target, Ragged):
            raise TypeError("the cosine loss takes ragged input and target")
        if self.shard is not None:
            return self._shared_loss(self.shard, x, target)
        if len(self.hidden) < self.hidden.shape[1]:
            squares = (self.hidden @ self.vectors.t()).square().sum(1)  # (rows,)
        else:
            squares = (self.hidden @ (self.vectors.t() @ self.vectors) * self.hidden).sum(1)
        at = (gather(self.hidden, x.rows) * gather(self.vectors, x.indices)).sum(1)  # (nnz,)
        squares = squares + x.row_sums(x.values.square() - 2 * at * x.values)
        inner = x.row_sums((at - x.values) * target.values)
        lengths = squares.clamp_min(1e-12).sqrt() * target.row_sums(target.values.square()).sqrt()
        return (2 - 2 * inner / lengths).mean()

    def _shared_loss(self, shard: Shard, x: Ragged, target: Ragged) -> Tensor:
        """The sum over the rows of this process, over the number of all rows."""
        h, rows = self.hidden, shard.ranks.rows(len(x))
        squares = (h @ shard.summed(self.vectors.t() @ self.vectors) * h).sum(1)  # (own rows,)
        mine, wanted, h = shard.own(x), shard.own(target), shard.joined(h, len(x))
        at = (gather(h, mine.rows) * gather(self.vectors, mine.indices)).sum(1)  # (own entries,)
        off = mine.row_sums(mine.values.square() - 2 * at * mine.values)  # (all rows,)
        inner = mine.row_sums((at - mine.values) * wanted.values)
        off, inner = shard.split(torch.stack([off, inner], 1)).unbind(1)  # (own rows,)
        norms = target.row_sums(target.values.square()).sqrt()[rows]
        lengths = (squares + off).clamp_min(1e-12).sqrt() * norms
        return (2 - 2 * inner / lengths).sum() / len(x)

    def dense(self) -> Tensor:
        """All scores, (rows, n_items) float32."""
        if not torch.is_grad_enabled() and isinstance(self.input, Ragged):
            return self.to_rank().dense()
        scores, x = self.hidden @ self.vectors.t(), self.input
        if isinstance(x, Tensor):
            return scores - x
        return scores.index_put((x.rows, x.indices), -x.values, accumulate=True)

    def at(self, columns: Tensor) -> Tensor:
        """The score of one item in each row, with gradients: columns (rows,) int64 -> (rows,)."""
        scores, x = (self.hidden * self.vectors[columns]).sum(1), self.input
        if isinstance(x, Tensor):
            return scores - x.gather(1, columns[:, None]).squeeze(1)
        return scores - x.row_sums(x.values * (x.indices == columns[x.rows]))

    def to_rank(self) -> FactoredScores:
        """The scores block by block, without gradients."""
        assert isinstance(self.input, Ragged)
        return FactoredScores(self.hidden.detach(), self.vectors.detach(), minus=self.input)
