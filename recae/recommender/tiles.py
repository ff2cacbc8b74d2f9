"""Products whose rows have the same bits whatever company they are computed in."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

TILE = 64
"""Rows multiplied together, padded with zeros when fewer: products of one shape repeat their bits.
"""

NARROW = 16
"""Columns below which MKL takes other steps for some rows of a product than for the others; zeros
are added up to this many."""


def products(rows: Tensor, others: Tensor) -> Tensor:
    """rows @ others.T: rows (rows, n), others (columns, n) -> (rows, columns) float32, on the CPU.

    >>> products(torch.ones(1, 2), torch.ones(3, 2))
    tensor([[2., 2., 2.]])
    """
    n_rows, n_columns = len(rows), len(others)
    columns = pad(others, (0, 0, 0, max(NARROW - n_columns, 0))).t()  # (n, at least NARROW)
    out = torch.empty(n_rows, n_columns)
    for start in range(0, n_rows, TILE):
        some = rows[start : start + TILE]
        tile = pad(some, (0, 0, 0, TILE - len(some))) @ columns
        out[start : start + TILE] = tile[: len(some), :n_columns]
    return out
