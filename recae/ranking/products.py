"""Products whose rows have the same bits whatever company they are computed in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import pad

from recae.nn.products import affine, column_blocks

TILE = 64
"""Rows multiplied together, padded with zeros when fewer: products of one shape repeat their bits.
"""

SMALL, LARGE = 8, 256
"""Rows multiplied together where the machine gives them the bits of a TILE: a single row costs an
eighth, and many rows somewhat less each."""


@dataclass(frozen=True)
class Products:
    """Scores not yet computed: rows (rows, n) meet columns (n_items, n), plus bias (n_items,).

    On the CPU. Any part of them has the bits of the whole.
    """

    rows: Tensor
    columns: Tensor
    bias: Tensor | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, n_items)."""
        return len(self.rows), len(self.columns)

    @property
    def device(self) -> torch.device:
        """Where they are computed."""
        return self.rows.device

    def dense(self) -> Tensor:
        """All of them, (rows, n_items) float32."""
        return products(self.rows, self.columns, self.bias)

    def write(self, out: Tensor, rows: slice, blocks: list[slice]) -> None:
        """Those of some rows and some neighbouring `column_blocks`, into out (rows, columns)."""
        _write(out, self.rows[rows], self.columns, self.bias, blocks)


def products(rows: Tensor, others: Tensor, bias: Tensor | None = None) -> Tensor:
    """rows @ others.T + bias: rows (rows, n), others (columns, n), bias (columns,) ->
    (rows, columns) float32, on the CPU.

    >>> products(torch.ones(1, 2), torch.ones(3, 2))
    tensor([[2., 2., 2.]])
    """
    out = torch.empty(len(rows), len(others))
    _write(out, rows, others, bias, column_blocks(len(others)))
    return out


def _write(
    out: Tensor, rows: Tensor, others: Tensor, bias: Tensor | None, blocks: list[slice]
) -> None:
    bias = torch.zeros(len(others)) if bias is None else bias
    others = others.contiguous()
    with torch.no_grad():
        for part, height in _tiles(len(rows), *_heights(others)):
            some = rows[part]
            if len(some) == height:
                affine(some, others, bias, blocks, out=out[part])
            else:
                padded = pad(some, (0, 0, 0, height - len(some)))
                out[part] = affine(padded, others, bias, blocks)[: len(some)]


def _tiles(n: int, small: int, large: int) -> Iterator[tuple[slice, int]]:
    """The rows of each tile, and how high it is when it is padded."""
    start = 0
    while start < n:
        left = n - start
        # Four small tiles cost less than one that is mostly padding.
        height = large if left >= large else TILE if left > 4 * small else small
        yield slice(start, min(start + height, n)), height
        start += height


def _heights(others: Tensor) -> tuple[int, int]:
    """The rows of a small and of a large tile of these products."""
    widths = {block.stop - block.start for block in column_blocks(len(others))}
    return _trusted(others.shape[1], tuple(sorted(widths)), torch.get_num_threads())


@lru_cache(maxsize=256)
def _trusted(n: int, widths: tuple[int, ...], threads: int) -> tuple[int, int]:
    """SMALL and LARGE where they give every row the bits that a TILE gives it; else TILE.

    Found by trying: which steps a library takes depends on the shapes, the processor and the number
    of threads, but not on the numbers.
    """
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(TILE, n, generator=generator)
    heights = {SMALL, LARGE}
    for width in widths:
        columns, bias = (torch.randn(*s, generator=generator) for s in ((width, n), (width,)))
        expected = affine(rows, columns, bias)
        many = affine(rows.repeat(LARGE // TILE, 1), columns, bias)
        few = [affine(part, columns, bias) for part in torch.split(rows, SMALL)]
        if not torch.equal(torch.cat(few), expected):
            heights.discard(SMALL)
        if not torch.equal(many, expected.repeat(LARGE // TILE, 1)):
            heights.discard(LARGE)
    return (SMALL if SMALL in heights else TILE, LARGE if LARGE in heights else TILE)
