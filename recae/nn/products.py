"""Matrix products, in the order that suits the machine and with rows that repeat their bits."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import embedding, linear, pad

BLOCK = 512
"""Columns multiplied at a time on the CPU. A block's scores stay in the cache: measured on one core
over 41,000 items, 86 against 42 GFLOP/s for 500 rows at once and 76 against 46 for 64 rows."""

NARROW = 16
"""Columns below which MKL takes other steps for some rows of a product than for the others; zeros
are added up to this many."""


def gather(table: Tensor, index: Tensor) -> Tensor:
    """table[index], for rows or for numbers, with a gradient that repeats its bits.

    The gradient of plain indexing adds up on the CPU in the order in which threads happen to come.
    """
    if table.dim() == 1:
        return embedding(index, table[:, None]).squeeze(1)
    return embedding(index, table)


def affine(hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """h W^T + b: hidden (rows, n), weight (columns, n), bias (columns,) -> (rows, columns).

    Without gradients, on the CPU and for one number of rows, a row of the result has the same bits
    wherever it stands and whatever the other rows are.
    """
    if hidden.device.type != "cpu" or torch.is_grad_enabled():
        return linear(hidden, weight, bias)
    width = len(weight)
    if width < NARROW:
        missing = NARROW - width
        return linear(hidden, pad(weight, (0, 0, 0, missing)), pad(bias, (0, missing)))[:, :width]
    out = hidden.new_empty(len(hidden), width)
    n_blocks = -(-width // BLOCK)
    for block in range(n_blocks):  # equal blocks: none is narrow
        columns = slice(width * block // n_blocks, width * (block + 1) // n_blocks)
        out[:, columns] = torch.addmm(bias[columns], hidden, weight[columns].t())
    return out
