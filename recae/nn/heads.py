"""Linear heads with lazy scores, and losses that compute their gradients in one pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recae.errors import unknown_option
from recae.nn.batch import Ragged
from recae.nn.dense import DenseScores
from recae.nn.later import Later, later_of, outer
from recae.nn.layers import Derived
from recae.nn.products import (
    BlockScores,
    FactoredScores,
    affine,
    cells_of,
    gather,
    product,
    row_chunks,
    scaled,
    with_bias,
)
from recae.nn.sampled import sampled_multinomial_loss
from recae.nn.sharded import Shard

CHUNK_CELLS = 1 << 25
"""Logits held at once: 2^25 cells are 128 MiB in float32. Smaller row chunks cost speed."""

TILE_CELLS = 1 << 19
"""Logits normalised at once: 2^19 cells are 2 MiB, which stay in the cache between the passes."""


def multinomial_loss(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor,
    target: Ragged,
    products: torch.dtype | None = None,
    shard: Shard | None = None,
) -> Tensor:
    """Minus the multinomial log likelihood of Liang et al. (2018, eq. 2), averaged over rows.

    For logits f = h W^T + b: loss_u = -sum_i x_ui log softmax(f_u)_i.
    hidden: (rows, n); weight: (n_items, n); bias: (n_items,); target: ragged (rows, n_items).
    products: a type such as torch.bfloat16 that the three matrix products are rounded to, where
    hidden is float32; sums and normalisations stay in float32. For a target with a sample the sum
    is over the sample, see `sampled_multinomial_loss`. shard: the items that weight and bias have,
    of those of the target; hidden has all rows, and the result is the share of this process.
    """
    if target.sample is not None:
        sample = target.sample
        return sampled_multinomial_loss(hidden, weight, bias, target, sample, products, shard)
    return _chunked(_multinomial, hidden, weight, bias, target, products, shard)


def observed_squared_loss(hidden: Tensor, weight: Tensor, bias: Tensor, target: Ragged) -> Tensor:
    """sum over the entries of a row of (f_ui - x_ui)^2, averaged over rows; shapes as above.

    Only the entries' scores are computed (Sedhain et al. 2015).
    """
    scores = _observed(hidden, weight, bias, target)
    return (scores - target.values).square().sum() / len(target)


def observed_logistic_loss(hidden: Tensor, weight: Tensor, bias: Tensor, target: Ragged) -> Tensor:
    """The logistic loss over the entries of a row alone, averaged over rows; shapes as above.

    Entries of value 0 are negatives, such as sampled ones.
    """
    scores = _observed(hidden, weight, bias, target)
    has = target.values > 0
    losses = torch.where(has, target.values * F.softplus(-scores), F.softplus(scores))
    return losses.sum() / len(target)


def _observed(hidden: Tensor, weight: Tensor, bias: Tensor, target: Ragged) -> Tensor:
    """The scores of the entries of a target, (nnz,)."""
    products = (gather(hidden, target.rows) * gather(weight, target.indices)).sum(1)
    return products + gather(bias, target.indices)


Cells = tuple[Tensor, Tensor]
Slope = Callable[[Tensor, Cells, Tensor, Tensor, int, "Shard | None"], Tensor]
"""`(logits, cells, values, totals, rows, shard)` -> the loss of a tile, a scalar, over all `rows`;
turns the logits (tile, n_items) into their gradient in place. cells: the entries' places in the
tile; values: (entries,) and totals: (tile,) the target's values and their sums over all items;
shard: the items that the logits are of, if not all."""


def _chunked(
    slope: Slope,
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor,
    target: Ragged,
    products: torch.dtype | None = None,
    shard: Shard | None = None,
) -> Tensor:
    """The loss of a slope, averaged over rows; shapes as in `multinomial_loss`."""
    loss: Tensor = _Chunked.apply(  # type: ignore[no-untyped-call]
        slope, hidden, weight, bias, target, products, shard, later_of(weight)
    )
    return loss


class _Chunked(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        slope: Slope,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor,
        target: Ragged,
        products: torch.dtype | None,
        shard: Shard | None,
        later: Later | None,
    ) -> Tensor:
        """The loss and its gradients, a chunk of rows at a time, so that the logits of all rows are
        never held together. If one chunk has all rows and at most as many numbers as the weight,
        it is kept in place of the weight's gradient, which `later` then forms. Of the parts of a
        batch that is cut only the first is kept."""
        wanted = ctx.needs_input_grad[1:4]
        rows, totals, width = len(target), target.row_sums(target.values), len(weight)
        if shard is not None:
            target, width = shard.own(target), shard.widest
        loss = hidden.new_zeros(())
        grads: list[Tensor | None] = [None, None, None]
        narrow = products if hidden.dtype == torch.float32 else None
        h, w = (hidden, weight) if narrow is None else (hidden.to(narrow), weight.to(narrow))
        chunks = row_chunks(rows, width, cells_of(hidden.device, CHUNK_CELLS))
        parts = []  # of the gradient of hidden
        if len(chunks) > 1 or rows > weight.shape[1] or (later is not None and later.parts):
            later = None
        ctx.later, ctx.dtype, kept = later if wanted[1] else None, weight.dtype, []
        for chunk in chunks:
            logits = product(h[chunk], w.t())
            for tile in _tiles(chunk, weight, width):
                part = logits[tile.start - chunk.start : tile.stop - chunk.start]
                if narrow is not None:
                    rounded, part = part, part.float()
                part.add_(bias)
                entries = target.entries(tile)
                cells = (target.rows[entries] - tile.start, target.indices[entries])
                loss += slope(part, cells, target.values[entries], totals[tile], rows, shard)
                if wanted[2]:
                    grads[2] = _plus(grads[2], part.sum(0))
                if narrow is not None:
                    rounded.copy_(part)
            if wanted[0]:
                parts.append(product(logits, w))
            if ctx.later is not None:
                kept = [logits, h]
            elif wanted[1]:
                grads[1] = _plus(grads[1], product(logits.t(), h[chunk]).to(weight.dtype))
        if wanted[0]:
            grads[0] = torch.cat(parts).to(hidden.dtype)
        ctx.save_for_backward(*grads, *kept)
        return loss

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        grads, kept = ctx.saved_tensors[:3], ctx.saved_tensors[3:]
        if ctx.later is not None:
            logits, h = kept
            ctx.later.parts.append(outer(logits, h, upstream, ctx.dtype))
        return (None, *scaled(grads, upstream), None, None, None, None)


def _plus(sum_so_far: Tensor | None, part: Tensor) -> Tensor:
    return part if sum_so_far is None else sum_so_far.add_(part)


def _tiles(chunk: slice, weight: Tensor, width: int) -> list[slice]:
    """Rows that a CPU processes together within its cache; a GPU processes the chunk at once."""
    if weight.device.type != "cpu":
        return [chunk]
    tiles = row_chunks(chunk.stop - chunk.start, width, TILE_CELLS)
    return [slice(chunk.start + tile.start, chunk.start + tile.stop) for tile in tiles]


def _multinomial(
    logits: Tensor, cells: Cells, values: Tensor, totals: Tensor, rows: int, shard: Shard | None
) -> Tensor:
    """The loss of a chunk, -sum x log softmax, and in place of the logits their gradient."""
    values, totals = values / rows, totals / rows  # the mean over rows, for loss and gradient
    loss = -torch.dot(logits[cells], values)
    top = logits.amax(1, keepdim=True)
    if shard is not None:
        top = shard.ranks.largest(top)
    norms = logits.sub_(top).exp_().sum(1, keepdim=True)
    if shard is not None:
        norms = shard.ranks.summed(norms)
    if shard is None or shard.ranks.rank == 0:  # which all processes know, and one counts
        loss += torch.dot((top + norms.log()).squeeze(1), totals)
    _subtract(logits.mul_(totals[:, None] / norms), cells, values)  # totals softmax(f) - values
    return loss


def _subtract(logits: Tensor, cells: Cells, values: Tensor) -> None:
    """logits[cells] -= values. On a GPU as a sum: the padding of a batch shares cells with its
    entries, and has the value 0."""
    if logits.device.type == "cpu":
        logits[cells] -= values
    else:
        logits.view(-1).scatter_add_(0, cells[0] * logits.shape[1] + cells[1], -values)


def _logistic(
    logits: Tensor, cells: Cells, values: Tensor, totals: Tensor, rows: int, shard: Shard | None
) -> Tensor:
    """Minus the Bernoulli log likelihood over all items, in which a weight says how much an
    interaction counts: -sum_(i in u) x_ui log sigma(f_ui) - sum_(i not in u) log sigma(-f_ui)."""
    seen = logits[cells]
    loss = (values * F.softplus(-seen) - F.softplus(seen)).sum() + F.softplus(logits).sum()
    logits.sigmoid_()
    logits[cells] = -values * (-seen).sigmoid()
    logits /= rows
    return loss / rows


def _squared(
    logits: Tensor, cells: Cells, values: Tensor, totals: Tensor, rows: int, shard: Shard | None
) -> Tensor:
    """sum_i (f_ui - x_ui)^2 over all items."""
    seen = logits[cells]
    loss = ((seen - values).square() - seen.square()).sum() + logits.square().sum()
    logits[cells] -= values
    logits *= 2 / rows
    return loss / rows


logistic_loss, squared_loss = partial(_chunked, _logistic), partial(_chunked, _squared)

LinearLoss = Callable[
    [Tensor, Tensor, Tensor, Ragged, "torch.dtype | None", "Shard | None"], Tensor
]
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

    def at(self, columns: Tensor) -> Tensor:
        """The score of one item in each row, with gradients: columns (rows,) int64 -> (rows,)."""
        ...

    def to_rank(self) -> Tensor | BlockScores:
        """The scores, block by block where that is possible, without gradients."""
        ...


@dataclass(frozen=True)
class LinearScores:
    """h W^T + b, unevaluated: hidden (rows, n), weight (n_items, n), bias (n_items,).

    products: the type to which the losses over all items round their matrix products. shard: the
    items of weight and bias, if not all; hidden then has the rows of this process, and the loss is
    its share of the mean over all rows, those of the target.
    """

    hidden: Tensor
    weight: Tensor
    bias: Tensor
    products: torch.dtype | None = None
    shard: Shard | None = None

    def loss(self, kind: str, target: Ragged | Tensor) -> Tensor:
        """The named loss, a scalar: the mean over the rows. A ragged target stays ragged."""
        if isinstance(target, Tensor):
            return DenseScores(self.dense()).loss(kind, target)
        if kind not in LOSSES and kind not in OBSERVED:
            raise unknown_option("reconstruction loss", kind, [*LOSSES, *OBSERVED])
        shard, hidden = self.shard, self.of_all_rows(len(target)).hidden
        if kind in OBSERVED:
            observed = target if shard is None else shard.own(target)
            return OBSERVED[kind](hidden, self.weight, self.bias, observed)
        return LOSSES[kind](hidden, self.weight, self.bias, target, self.products, shard)

    def of_all_rows(self, total: int) -> LinearScores:
        """With a shard: the scores of all rows, (total, own items)."""
        if self.shard is None:
            return self
        return replace(self, hidden=self.shard.joined(self.hidden, total), shard=None)

    def dense(self) -> Tensor:
        """All scores, (rows, n_items) float32."""
        return affine(self.hidden, self.weight, self.bias)

    def rounded(self) -> Tensor:
        """`dense` for a loss: of the type `products`, where hidden is float32 and trained."""
        narrow = self.products
        if narrow is None or self.hidden.dtype != torch.float32 or not torch.is_grad_enabled():
            return self.dense()
        return affine(self.hidden.to(narrow), self.weight, self.bias)

    def at(self, columns: Tensor) -> Tensor:
        """The score of one item in each row, with gradients: columns (rows,) int64 -> (rows,)."""
        return (self.hidden * self.weight[columns]).sum(1) + self.bias[columns]

    def to_rank(self) -> FactoredScores:
        """The scores block by block, without gradients."""
        return with_bias(self.hidden.detach(), self.weight.detach(), self.bias.detach())


class LinearHead(nn.Module):
    """The usual last layer: one weight row and one bias per item.

    start: the biases at the start, (n_items,); zero without. `products` may be set to a narrower
    type for the products of a loss over all items; scores are always computed as they are.
    """

    products: torch.dtype | None = None
    wide = {"weight": 0, "bias": 0}
    shard: Shard | None = None

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
        return LinearScores(hidden, self.weight, self.bias, self.products, self.shard)


class UnitHead(LinearHead, Derived):
    """A last layer whose weight columns, one for each unit, have a fixed norm.

    The effect of a unit then depends only on its activation, so a penalty on activations cannot be
    evaded by larger weights. The norm is given and not learnt for the same reason.
    """

    def __init__(
        self, n_in: int, n_items: int, length: float = 10.0, start: Tensor | None = None
    ) -> None:
        super().__init__(n_in, n_items, start)
        self.length = length

    def atoms(self) -> Tensor:
        """The weight as it is used, (n_items, n_in)."""
        shard = self.shard
        if shard is not None:
            norms = shard.summed(self.weight.square().sum(0)).sqrt()
            return self.length * self.weight / norms.clamp_min(1e-12)
        return self.derived(self.weight, lambda w: self.length * F.normalize(w, dim=0))

    def forward(self, hidden: Tensor) -> LinearScores:
        return LinearScores(hidden, self.atoms(), self.bias, shard=self.shard)
