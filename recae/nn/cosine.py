"""Cosine scores: codes of length one against item vectors of length one, over a temperature."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recae.nn.batch import Batch, Coded, Ragged
from recae.nn.heads import LinearScores
from recae.nn.layers import Derived
from recae.nn.products import FactoredScores


class UnitCode(nn.Module):
    """The encoder's output scaled to length one is the code; zeros stay zeros."""

    def forward(self, hidden: Tensor, batch: Batch, generator: torch.Generator | None) -> Coded:
        return F.normalize(hidden, dim=1), {}


class CosineHead(Derived):
    """A last layer whose scores are cosines over a temperature: cos(z, B_i) / temperature.

    The codes it is given have length one. With a `Sample` of the items the loss is over these items
    alone, and the gradient of B (n_items, n_in) is sparse.
    """

    def __init__(self, n_in: int, n_items: int, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.weight = nn.Parameter(torch.empty(n_items, n_in))

    def initialise(self, generator: torch.Generator) -> None:
        """Draws the weights in place (Glorot & Bengio 2010)."""
        nn.init.xavier_normal_(self.weight, generator=generator)

    def vectors(self) -> Tensor:
        """B with rows of length 1 / temperature, (n_items, n_in)."""
        return self.derived(self.weight, lambda w: F.normalize(w, dim=1) / self.temperature)

    def forward(self, hidden: Tensor) -> CosineScores:
        return CosineScores(hidden, self)


@dataclass(frozen=True)
class CosineScores:
    """cos(z, B_i) / temperature, unevaluated: hidden z (rows, n_in) of length one."""

    hidden: Tensor
    head: CosineHead

    def loss(self, kind: str, target: Ragged | Tensor) -> Tensor:
        """The named loss of `LinearScores`, a scalar; over the sample of a target that has one."""
        if isinstance(target, Tensor) or target.sample is None:
            return self._linear(self.head.vectors()).loss(kind, target)
        items = target.sample.items
        rows = F.embedding(items, self.head.weight, sparse=True)
        places = torch.searchsorted(items, target.indices)
        own = Ragged(places, target.offsets, target.values, len(items))
        return self._linear(F.normalize(rows, dim=1) / self.head.temperature).loss(kind, own)

    def _linear(self, vectors: Tensor) -> LinearScores:
        return LinearScores(self.hidden, vectors, vectors.new_zeros(len(vectors)))

    def dense(self) -> Tensor:
        """All scores, (rows, n_items) float32."""
        return self._linear(self.head.vectors()).dense()

    def at(self, columns: Tensor) -> Tensor:
        """The score of one item in each row, with gradients: columns (rows,) int64 -> (rows,)."""
        return (self.hidden * self.head.vectors()[columns]).sum(1)

    def to_rank(self) -> FactoredScores:
        """The scores block by block, without gradients."""
        return FactoredScores(self.hidden.detach(), self.head.vectors().detach())
