"""Reconstruction losses over a linear head, with their gradients formed in the forward pass.

The matrix of logits, rows x items, is the largest thing a step of training touches. Here it exists
for one chunk of rows at a time, is turned into its own gradient in place, and is never kept for the
backward pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from recae.nn.batch import Ragged
from recae.nn.products import affine, gather

CHUNK_CELLS = 1 << 25
"""Logits held at once: 2^25 cells are 128 MiB in float32. Smaller row chunks cost speed."""

TILE_CELLS = 1 << 19
"""Logits normalised at once: 2^19 cells are 2 MiB, which stay in the cache between the passes."""


def multinomial_loss(hidden: Tensor, weight: Tensor, bias: Tensor, target: Ragged) -> Tensor:
    """Minus the multinomial log likelihood of Liang et al. (2018, eq. 2), averaged over rows.

    For logits f = h W^T + b: loss_u = -sum_i x_ui log softmax(f_u)_i.
    hidden: (rows, n); weight: (n_items, n); bias: (n_items,); target: ragged (rows, n_items).
    """
    return _chunked(_multinomial, hidden, weight, bias, target)


def logistic_loss(hidden: Tensor, weight: Tensor, bias: Tensor, target: Ragged) -> Tensor:
    """Minus the Bernoulli log likelihood over all items, averaged over rows; shapes as above.

    loss_u = -sum_(i in u) x_ui log sigma(f_ui) - sum_(i not in u) log sigma(-f_ui): a weight says
    how much an interaction counts.
    """
    return _chunked(_logistic, hidden, weight, bias, target)


def squared_loss(hidden: Tensor, weight: Tensor, bias: Tensor, target: Ragged) -> Tensor:
    """sum_i (f_ui - x_ui)^2 over all items, averaged over rows; shapes as above."""
    return _chunked(_squared, hidden, weight, bias, target)


def observed_squared_loss(hidden: Tensor, weight: Tensor, bias: Tensor, target: Ragged) -> Tensor:
    """sum over the entries of a row of (f_ui - x_ui)^2, averaged over rows; shapes as above.

    Only the entries' scores are computed (Sedhain et al. 2015).
    """
    scores = _observed(hidden, weight, bias, target)
    return (scores - target.values).square().sum() / len(target)


def observed_logistic_loss(hidden: Tensor, weight: Tensor, bias: Tensor, target: Ragged) -> Tensor:
    """The logistic loss over the entries of a row alone, averaged over rows; shapes as above.

    Entries of value 0 are the items that a row is said not to have, such as sampled negatives.
    """
    scores = _observed(hidden, weight, bias, target)
    has = target.values > 0
    losses = torch.where(has, target.values * F.softplus(-scores), F.softplus(scores))
    return losses.sum() / len(target)


def _observed(hidden: Tensor, weight: Tensor, bias: Tensor, target: Ragged) -> Tensor:
    """The scores of the entries of a target, (nnz,)."""
    products = (gather(hidden, target.rows) * gather(weight, target.indices)).sum(1)
    return products + gather(bias, target.indices)


def row_chunks(n_rows: int, n_columns: int, cells: int) -> list[slice]:
    """Slices that cut `n_rows` into equal chunks of at most `cells` cells (at least one row)."""
    n_chunks = -(-n_rows // max(cells // max(n_columns, 1), 1))
    bounds = [n_rows * chunk // n_chunks for chunk in range(n_chunks + 1)]
    return [slice(low, high) for low, high in zip(bounds, bounds[1:], strict=False)]


Cells = tuple[Tensor, Tensor]
Slope = Callable[[Tensor, Cells, Tensor, Tensor, int], Tensor]
"""`(logits, cells, values, totals, rows)` -> the loss of a chunk, a scalar, over all `rows`; turns
the logits (chunk, n_items) into their gradient in place. cells: the entries' places in the chunk;
values: (entries,) and totals: (chunk,) the target's values and their sums."""


def _chunked(slope: Slope, hidden: Tensor, weight: Tensor, bias: Tensor, target: Ragged) -> Tensor:
    loss: Tensor = _Chunked.apply(slope, hidden, weight, bias, target)  # type: ignore[no-untyped-call]
    return loss


class _Chunked(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, slope: Slope, hidden: Tensor, weight: Tensor, bias: Tensor, target: Ragged
    ) -> Tensor:
        wanted = ctx.needs_input_grad[1:4]
        loss, totals = hidden.new_zeros(()), target.row_sums(target.values)
        grads = [
            torch.zeros_like(t) if needed else None
            for t, needed in zip((hidden, weight, bias), wanted, strict=True)
        ]
        for chunk in row_chunks(len(target), weight.shape[0], CHUNK_CELLS):
            logits = affine(hidden[chunk], weight, bias)  # (chunk, n_items)
            entries = slice(int(target.offsets[chunk.start]), int(target.offsets[chunk.stop]))
            cells = (target.rows[entries] - chunk.start, target.indices[entries])
            loss += slope(logits, cells, target.values[entries], totals[chunk], len(target))
            if grads[0] is not None:
                grads[0][chunk] = logits @ weight
            if grads[1] is not None:
                grads[1].addmm_(logits.t(), hidden[chunk])
            if grads[2] is not None:
                grads[2] += logits.sum(0)
        ctx.save_for_backward(*grads)
        return loss

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        grads = (None if grad is None else grad * upstream for grad in ctx.saved_tensors)
        return (None, *grads, None)


def _multinomial(logits: Tensor, cells: Cells, values: Tensor, totals: Tensor, rows: int) -> Tensor:
    values, totals = values / rows, totals / rows  # the mean over rows, for loss and gradient
    loss = -torch.dot(logits[cells], values)
    loss += torch.dot(_softmax_in_place(logits), totals)
    logits.mul_(totals[:, None])[cells] -= values  # totals softmax(logits) - values
    return loss


def _logistic(logits: Tensor, cells: Cells, values: Tensor, totals: Tensor, rows: int) -> Tensor:
    seen = logits[cells]
    loss = (values * F.softplus(-seen) - F.softplus(seen)).sum()
    for tile in row_chunks(len(logits), logits.shape[1], TILE_CELLS):
        loss += F.softplus(logits[tile]).sum()
        logits[tile].sigmoid_()
    logits[cells] = -values * (-seen).sigmoid()
    logits /= rows
    return loss / rows


def _squared(logits: Tensor, cells: Cells, values: Tensor, totals: Tensor, rows: int) -> Tensor:
    seen = logits[cells]
    loss = ((seen - values).square() - seen.square()).sum() + logits.square().sum()
    logits[cells] -= values
    logits *= 2 / rows
    return loss / rows


def _softmax_in_place(logits: Tensor) -> Tensor:
    """Turns logits into probabilities and returns their log normalisers, (rows,)."""
    norms = []
    for tile in row_chunks(len(logits), logits.shape[1], TILE_CELLS):
        part = logits[tile]
        top = part.amax(1, keepdim=True)
        total = part.sub_(top).exp_().sum(1, keepdim=True)
        part.div_(total)
        norms.append((top + total.log()).squeeze(1))
    return torch.cat(norms)
