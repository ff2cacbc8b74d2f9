"""Products of sigmoid outputs, and the focal loss on them (VASP)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recae.errors import check_option
from recae.nn.batch import Batch, Ragged, bag, by_item
from recae.nn.dense import DenseScores
from recae.nn.focal import focal_loss
from recae.nn.heads import LinearHead, LinearScores
from recae.nn.products import gather
from recae.nn.sharded import Shard


@dataclass(frozen=True)
class ProductScores:
    """log of the product of the sigmoids of several scores, number by number.

    shard: the items that the parts have, if not all; the loss is then the share of this process.
    """

    parts: Sequence[LinearScores | ShallowScores]
    shard: Shard | None = None

    def loss(self, kind: str, target: Ragged | Tensor) -> Tensor:
        """The focal loss over all items, averaged over rows, see `focal_loss`."""
        check_option("reconstruction loss", kind, ["focal"])
        if not isinstance(target, Ragged):
            raise TypeError("the focal loss takes a ragged target")
        scores = self
        if self.shard is not None:
            scores = ProductScores([part.of_all_rows(len(target)) for part in self.parts])
            target = self.shard.own(target)
        parts = (p.rounded() if isinstance(p, LinearScores) else p.dense() for p in scores.parts)
        return focal_loss([*parts], target)

    def dense(self) -> Tensor:
        """All scores, (rows, n_items) float32, at most zero."""
        return torch.stack([F.logsigmoid(part.dense()) for part in self.parts]).sum(0)

    def at(self, columns: Tensor) -> Tensor:
        """The score of one item in each row, with gradients: columns (rows,) int64 -> (rows,)."""
        return torch.stack([F.logsigmoid(part.at(columns)) for part in self.parts]).sum(0)

    def to_rank(self) -> Tensor:
        """All scores, (rows, n_items) float32."""
        return self.dense().detach()


def first_column(shard: Shard | None) -> int:
    """Where the diagonal of a weight begins whose columns are those of a shard."""
    return 0 if shard is None else -shard.start


def without_itself(weight: Tensor, x: Ragged, shard: Shard | None) -> Tensor:
    """x (W - diag(W)), (rows, n_items), for ragged rows."""
    summed, own = bag(weight, x), weight.diagonal(first_column(shard))
    if shard is not None:
        x = shard.own(x)
    itself = -x.values * gather(own, x.indices)
    return summed.index_put((x.rows, x.indices), itself, accumulate=True)


class _WithoutItself(torch.autograd.Function):
    """`without_itself` whose gradient is one matrix; autograd would add one of the diagonal to it,
    as large."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, x: Ragged, shard: Shard | None) -> Tensor:
        ctx.x, ctx.n_items, ctx.shard = x, len(weight), shard
        return without_itself(weight, x, shard)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        x = ctx.x
        grad = by_item(upstream.contiguous(), x.rows, x.values, x.indices, ctx.n_items)
        grad.diagonal(first_column(ctx.shard)).zero_()
        return grad, None, None


@dataclass(frozen=True)
class ShallowScores:
    """x (W - diag(W)), unevaluated: input x, weight W (n_items, n_items).

    shard: the items that the weight has columns of, and these scores, if not all.
    """

    input: Ragged | Tensor
    weight: Tensor
    shard: Shard | None = None

    def loss(self, kind: str, target: Ragged | Tensor) -> Tensor:
        """The named loss, a scalar: the mean over the rows."""
        return DenseScores(self.dense()).loss(kind, target)

    def dense(self) -> Tensor:
        """All scores, (rows, n_items) float32."""
        x, shard = self.input, self.shard
        if isinstance(x, Tensor):
            return x @ self.weight - x * self.weight.diagonal(first_column(shard))
        if x.values.requires_grad:
            return without_itself(self.weight, x, shard)
        scores: Tensor = _WithoutItself.apply(self.weight, x, shard)  # type: ignore[no-untyped-call]
        return scores

    def of_all_rows(self, total: int) -> ShallowScores:
        """These scores, which are of all rows already."""
        return self

    def at(self, columns: Tensor) -> Tensor:
        """The score of one item in each row, with gradients: columns (rows,) int64 -> (rows,)."""
        x = self.input
        if isinstance(x, Tensor):
            return self.dense().gather(1, columns[:, None]).squeeze(1)
        column = columns[x.rows]
        weights = self.weight[x.indices, column] * (x.indices != column)
        return x.row_sums(x.values * weights)

    def to_rank(self) -> Tensor:
        """All scores, (rows, n_items) float32."""
        return self.dense().detach()


class ZeroDiagonal(nn.Module):
    """x -> x (W - diag(W)): a linear map of items onto items that cannot copy."""

    wide = {"weight": 1}
    shard: Shard | None = None

    def __init__(self, n_items: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_items, n_items))

    def initialise(self, generator: torch.Generator) -> None:
        """Draws the weights in place (Glorot & Bengio 2010)."""
        nn.init.xavier_uniform_(self.weight, generator=generator)

    def forward(self, x: Ragged | Tensor) -> ShallowScores:
        return ShallowScores(x, self.weight, self.shard)


class ProductDecoder(nn.Module):
    """Codes and inputs -> the product of the sigmoid outputs of the given paths.

    deep: layers from the code, with a head after them and another one straight from the code;
    shallow: a map of the input. Either may be missing.
    """

    def __init__(
        self,
        n_items: int,
        *,
        deep: nn.Module | None = None,
        widths: tuple[int, int] = (0, 0),
        shallow: bool = False,
    ) -> None:
        super().__init__()
        self.deep = deep
        if deep is not None:
            self.head, self.from_code = (LinearHead(width, n_items) for width in widths)
        self.shallow = ZeroDiagonal(n_items) if shallow else None

    def forward(self, z: Tensor, batch: Batch) -> ProductScores:
        parts: list[LinearScores | ShallowScores] = []
        if self.deep is not None:
            parts += [self.head(self.deep(z)), self.from_code(z)]
        if self.shallow is not None:
            parts.append(self.shallow(batch.input))
        return ProductScores(parts, parts[0].shard)


class EmptyCode(nn.Module):
    """x -> an empty code, (rows, 0): for networks whose decoder reads the input itself."""

    def forward(self, x: Ragged | Tensor) -> Tensor:
        values = x.values if isinstance(x, Ragged) else x
        return values.new_zeros(len(x), 0)
