"""Reconstruction losses over a linear head, with their gradients formed in the forward pass.

The matrix of logits, rows x items, is the largest thing a step of training touches. Here it exists
for one chunk of rows at a time, is turned into its own gradient in place, and is never kept for the
backward pass.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recae.nn.batch import Ragged
from recae.nn.products import affine

CHUNK_CELLS = 1 << 25
"""Logits held at once: 2^25 cells are 128 MiB in float32. Smaller row chunks cost speed."""

TILE_CELLS = 1 << 19
"""Logits normalised at once: 2^19 cells are 2 MiB, which stay in the cache between the passes."""


def multinomial_loss(hidden: Tensor, weight: Tensor, bias: Tensor, target: Ragged) -> Tensor:
    """Minus the multinomial log likelihood of Liang et al. (2018, eq. 2), averaged over rows.

    For logits f = h W^T + b: loss_u = -sum_i x_ui log softmax(f_u)_i.
    hidden: (rows, n); weight: (n_items, n); bias: (n_items,); target: ragged (rows, n_items).
    """
    loss: Tensor = _Multinomial.apply(hidden, weight, bias, target)  # type: ignore[no-untyped-call]
    return loss


def row_chunks(n_rows: int, n_columns: int, cells: int) -> list[slice]:
    """Slices that cut `n_rows` into equal chunks of at most `cells` cells (at least one row)."""
    n_chunks = -(-n_rows // max(cells // max(n_columns, 1), 1))
    bounds = [n_rows * chunk // n_chunks for chunk in range(n_chunks + 1)]
    return [slice(low, high) for low, high in zip(bounds, bounds[1:], strict=False)]


class _Multinomial(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, target: Ragged) -> Tensor:
        wanted = any(ctx.needs_input_grad)
        values = target.values / len(target)  # the mean over rows, once for loss and gradient
        totals = target.row_sums(values)  # (rows,)
        loss = hidden.new_zeros(())
        grads = [torch.zeros_like(t) for t in (hidden, weight, bias)] if wanted else []
        for chunk in row_chunks(len(target), weight.shape[0], CHUNK_CELLS):
            logits = affine(hidden[chunk], weight, bias)  # (chunk, n_items)
            entries = slice(int(target.offsets[chunk.start]), int(target.offsets[chunk.stop]))
            cells = (target.rows[entries] - chunk.start, target.indices[entries])
            loss -= torch.dot(logits[cells], values[entries])
            log_norms = _softmax_in_place(logits)  # (chunk,)
            loss += torch.dot(log_norms, totals[chunk])
            if wanted:  # d loss / d logits = totals softmax(logits) - values
                slope = logits.mul_(totals[chunk, None])
                slope[cells] -= values[entries]
                grads[0][chunk] = slope @ weight
                grads[1].addmm_(slope.t(), hidden[chunk])
                grads[2] += slope.sum(0)
        if wanted:
            ctx.save_for_backward(*grads)
        return loss

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        return (*(grad * upstream for grad in ctx.saved_tensors), None)


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
