"""X'X of the closed forms, from blocks of users, so that X may be larger than memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from recae.data.scaled import rows_of, window
from recae.nn import Ranks
from recae.system.machine import rows_that_fit
from recae.system.threads import in_threads

WIDTH, NARROWEST = 2048, 512
"""Columns of a strip of X'X at most, and at least where there is memory: a strip reads all of the
block, and wide ones compute more of the half that is known from the other."""


def gram_matrix(
    blocks: Iterable[Any], n: int, dtype: np.dtype[Any], ranks: Ranks | None = None
) -> np.ndarray | None:
    """X'X, (n, n) dense and C-contiguous, from CSR blocks of the rows of X, (rows, n) each.

    Only half of it is computed, in strips of columns, in all threads. Each number is summed up in
    the order of the rows within a block, then over the blocks. Holds, beside the result, a copy of
    one block by columns and a quarter of the result at most.

    ranks: processes that share the strips. Each reads all of X and holds its share of half of X'X.
    Process 0 receives them and returns the same bits as alone, the others None.
    """
    width = strip_width(n)
    width = width if ranks is None else ranks.told(width)
    starts = range(0, n, width)
    owners = dict(
        zip(starts, _owners(len(starts), 1 if ranks is None else ranks.size), strict=True)
    )
    rank = 0 if ranks is None else ranks.rank
    own = [start for start in starts if owners[start] == rank]
    gram = np.zeros((n, n), dtype) if rank == 0 else None
    held = (
        {}
        if rank == 0
        else {start: np.zeros((n - start, min(width, n - start)), dtype) for start in own}
    )
    for block in blocks:
        columns = block.tocsr().astype(dtype).tocsc()

        def add(start: int, columns: Any = columns) -> None:
            strip = _strip(columns, start, min(start + width, n))
            with np.errstate(over="ignore", invalid="ignore"):  # the solver checks the sums
                for rows in _slices(n - start, width):
                    tile = rows_of(strip, rows).toarray()
                    if gram is None:
                        held[start][rows] += tile
                    else:
                        _put(gram, tile, start + rows.start, start)

        in_threads(add, own)
        del block, columns, add  # before the next block is made
    if ranks is None:
        return gram
    if gram is None:
        for start in own:
            ranks.send(torch.from_numpy(held.pop(start)), 0)
        return None
    for start in starts:
        if owners[start]:
            received = np.empty((n - start, min(width, n - start)), dtype)
            ranks.receive(torch.from_numpy(received), owners[start])
            for rows in _slices(n - start, width):
                _put(gram, received[rows], start + rows.start, start)
    return gram


def strip_width(n: int) -> int:
    """Columns of a strip: a tenth of them, so that half of X'X is left out. The strips of all
    threads hold a quarter of X'X at most, or little."""
    room = max(n // (6 * torch.get_num_threads()), rows_that_fit(n))
    return min(max(n // 10, NARROWEST), WIDTH, room)


def _owners(strips: int, size: int) -> list[int]:
    """The process of each strip: 0, 1, 2, 2, 1, 0, 0, ..., because strips get shorter."""
    there_and_back = [*range(size), *reversed(range(size))]
    return [there_and_back[number % (2 * size)] for number in range(strips)]


def _slices(n: int, width: int) -> list[slice]:
    return [slice(low, min(low + width, n)) for low in range(0, n, width)]


def _strip(columns: Any, start: int, stop: int) -> Any:
    """Columns start..stop of X'X from row `start` down, CSR (n - start, stop - start); columns: X,
    CSC (rows, n)."""
    right = window(columns, start, stop, sp.csc_matrix).tocsr()
    left = window(columns, start, columns.shape[1], sp.csr_matrix)  # the transposed columns
    return left @ right


def _put(gram: np.ndarray, tile: np.ndarray, row: int, column: int) -> None:
    """Adds a tile at its place and, transposed, at its mirror image."""
    height, width = tile.shape
    gram[row : row + height, column : column + width] += tile
    if row != column:
        gram[column : column + width, row : row + height] += tile.T
