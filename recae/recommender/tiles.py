"""Products whose rows have the same bits whatever company they are computed in."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from recae.nn.products import affine

TILE = 64
"""Rows multiplied together, padded with zeros when fewer: products of one shape repeat their bits.
"""


def products(rows: Tensor, others: Tensor) -> Tensor:
    """rows @ others.T: rows (rows, n), others (columns, n) -> (rows, columns) float32, on the CPU.

    >>> products(torch.ones(1, 2), torch.ones(3, 2))
    tensor([[2., 2., 2.]])
    """
    out, nothing = torch.empty(len(rows), len(others)), torch.zeros(len(others))
    with torch.no_grad():
        for start in range(0, len(rows), TILE):
            some = rows[start : start + TILE]
            tile = affine(pad(some, (0, 0, 0, TILE - len(some))), others, nothing)
            out[start : start + TILE] = tile[: len(some)]
    return out
