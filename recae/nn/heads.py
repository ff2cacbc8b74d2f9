"""The end of the decoder: scores that are not yet numbers.

A head returns a lazy `Scores`, so that the loss never needs the whole matrix of scores, and ranking
asks for as many rows at a time as it likes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recae.errors import unknown_option
from recae.nn.batch import Ragged
from recae.nn.dense import DenseScores
from recae.nn.layers import Derived
from recae.nn.losses import (
    logistic_loss,
    multinomial_loss,
    observed_logistic_loss,
    observed_squared_loss,
    squared_loss,
)
from recae.nn.products import BlockScores, FactoredScores, affine

LinearLoss = Callable[[Tensor, Tensor, Tensor, Ragged, "torch.dtype | None"], Tensor]
LOSSES: dict[str, LinearLoss] = {
    "multinomial": multinomial_loss,
    "logistic": logistic_loss,
    "squared": squared_loss,
}
OBSERVED: dict[str, Callable[[Tensor, Tensor, Tensor, Ragged], Tensor]] = {
    "observed-squared": observed_squared_loss,
    "observed-logistic": observed_logistic_loss,
}
"""Losses over the entries of the target alone."""


class Scores(Protocol):
    """Scores of (rows, n_items), higher is better, computed when asked for."""

    def loss(self, kind: str, target: Ragged | Tensor) -> Tensor:
        """The named reconstruction loss, a scalar: the mean over the rows."""
        ...

    def dense(self) -> Tensor:
        """All scores, (rows, n_items) float32."""
        ...

    def columns(self, items: Tensor) -> Tensor:
        """The scores of some columns, (rows, len(items)) float32."""
        ...

    def to_rank(self) -> Tensor | BlockScores:
        """The scores, block by block where that is possible, without gradients."""
        ...


@dataclass(frozen=True)
class LinearScores:
    """h W^T + b, unevaluated: hidden (rows, n), weight (n_items, n), bias (n_items,).

    products: what the losses over all items round their matrix products to.
    """

    hidden: Tensor
    weight: Tensor
    bias: Tensor
    products: torch.dtype | None = None

    def loss(self, kind: str, target: Ragged | Tensor) -> Tensor:
        """The named loss, a scalar: the mean over the rows. A ragged target stays ragged."""
        if isinstance(target, Tensor):
            return DenseScores(self.dense()).loss(kind, target)
        if kind in OBSERVED:
            return OBSERVED[kind](self.hidden, self.weight, self.bias, target)
        if kind not in LOSSES:
            raise unknown_option("reconstruction loss", kind, [*LOSSES, *OBSERVED])
        return LOSSES[kind](self.hidden, self.weight, self.bias, target, self.products)

    def dense(self) -> Tensor:
        """All scores, (rows, n_items) float32."""
        return affine(self.hidden, self.weight, self.bias)

    def columns(self, items: Tensor) -> Tensor:
        """The scores of some columns, (rows, len(items)) float32."""
        return F.linear(self.hidden, self.weight[items], self.bias[items])

    def to_rank(self) -> FactoredScores:
        """The scores block by block, without gradients."""
        return FactoredScores(self.hidden.detach(), self.weight.detach(), self.bias.detach())


class LinearHead(nn.Module):
    """The usual last layer: one weight row and one bias per item.

    start: the biases at the start, (n_items,); zero without. `products` may be set to a narrower
    type for the products of a loss over all items; scores are always computed as they are.
    """

    products: torch.dtype | None = None

    def __init__(self, n_in: int, n_items: int, start: Tensor | None = None) -> None:
        super().__init__()
        self.start = start
        self.weight = nn.Parameter(torch.empty(n_items, n_in))
        self.bias = nn.Parameter(torch.empty(n_items))

    def initialise(self, generator: torch.Generator) -> None:
        """Draws the weights in place (Glorot & Bengio 2010) and sets the biases."""
        nn.init.xavier_normal_(self.weight, generator=generator)
        nn.init.zeros_(self.bias)
        if self.start is not None:
            with torch.no_grad():
                self.bias.copy_(self.start)

    def forward(self, hidden: Tensor) -> LinearScores:
        return LinearScores(hidden, self.weight, self.bias, self.products)


class UnitHead(LinearHead, Derived):
    """A last layer in which every unit's say on all items, a column of the weight, has one length.

    A unit can then only speak louder by being larger, which is what a penalty on it counts. The
    length is given and not learnt: a longer one would make the penalty cheaper again.
    """

    def __init__(
        self, n_in: int, n_items: int, length: float = 10.0, start: Tensor | None = None
    ) -> None:
        super().__init__(n_in, n_items, start)
        self.length = length

    def atoms(self) -> Tensor:
        """The weight as it is used, (n_items, n_in)."""
        return self.derived(self.weight, lambda w: self.length * F.normalize(w, dim=0))

    def forward(self, hidden: Tensor) -> LinearScores:
        return LinearScores(hidden, self.atoms(), self.bias)
