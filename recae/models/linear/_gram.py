"""X'X of the closed forms, from blocks of users, so that X may be larger than memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch

from recae.data.csr import row_blocks
from recae.nn import Ranks
from recae.system.machine import rows_that_fit
from recae.system.threads import in_threads

ENTRIES = 1 << 24
"""Interactions of a block of users. Its copies take up to 24 bytes for each: 0.4 GB. A matrix of at
most so many is one block."""

WIDTH, NARROWEST = 2048, 512
"""Columns of a strip of X'X at most, and at least where there is memory: a strip reads all of the
block, and wide ones compute more of the half that is known from the other."""

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Rows:
    """X as a closed form reads it: D_U^-u X D_I^-v, computed for one block of users at a time.

    matrix: CSR (n_users, n_items), which may be memory-mapped; it is neither copied nor changed.
    read: what the model makes of histories, row by row. of_users (n_users,), of_items (n_items,):
    the diagonals, or None for ones.
    """

    matrix: Any
    read: Callable[[Any], Any]
    of_users: Doubles | None = None
    of_items: Doubles | None = None

    @classmethod
    def scaled(cls, matrix: Any, read: Callable[[Any], Any], u: float, v: float) -> Rows:
        """With the degrees of users to the power -u and those of items to -v; ones for empty rows
        and columns, and where a power is 0."""
        plain = cls(matrix, read)
        if not (u or v):
            return plain
        of_users, of_items = [], np.zeros(matrix.shape[1])
        for part in plain:
            of_users.append(np.asarray(part.sum(axis=1, dtype=np.float64)).ravel())
            of_items += np.asarray(part.sum(axis=0, dtype=np.float64)).ravel()
        degrees = np.concatenate(of_users), of_items
        powered = (
            np.where(d > 0, d, 1) ** -power for d, power in zip(degrees, (u, v), strict=True)
        )
        return cls(matrix, read, *powered)

    def __iter__(self) -> Iterator[Any]:
        """CSR blocks of X, (rows, n_items), in the order of the users."""
        for block in row_blocks(self.matrix.indptr, ENTRIES):
            yield self._part(block)  # nothing here holds it while the next one is made

    def _part(self, block: slice) -> Any:
        part = self.read(rows_of(self.matrix, block))
        if self.of_users is not None and self.of_items is not None:
            part = sp.diags(self.of_users[block]) @ part.astype(np.float64)
            part = part @ sp.diags(self.of_items)
        return part

    def squares(self) -> Doubles:
        """The sum of squares of each column, (n_items,): the diagonal of X'X."""
        n, found = self.matrix.shape[1], np.zeros(self.matrix.shape[1])
        for part in self:
            # Cast before they are multiplied: the square of 1e20 is infinite in float32.
            squares = np.square(part.data, dtype=np.float64)
            found += np.bincount(part.indices, squares, minlength=n)
        return found


def rows_of(matrix: Any, block: slice) -> Any:
    """Some rows of a CSR without a copy of its entries; all of them are the matrix itself."""
    if (block.start, block.stop) == (0, matrix.shape[0]):
        return matrix
    return _window(matrix, block.start, block.stop, sp.csr_matrix)


def _window(matrix: Any, start: int, stop: int, kind: Any) -> Any:
    """Rows of a CSR, or columns of a CSC, as a matrix of a kind over views of the same entries."""
    low, high = int(matrix.indptr[start]), int(matrix.indptr[stop])
    across = matrix.shape[1] if matrix.format == "csr" else matrix.shape[0]
    shape = (stop - start, across) if kind is sp.csr_matrix else (across, stop - start)
    window = kind(shape, dtype=matrix.dtype)
    # Set afterwards, because the constructor copies views of less than half of an array.
    index = np.int32 if max(high - low, across) < 2**31 else np.int64
    window.data = matrix.data[low:high]
    window.indices = matrix.indices[low:high].astype(index, copy=False)
    window.indptr = (matrix.indptr[start : stop + 1] - low).astype(index, copy=False)
    return window


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
    right = _window(columns, start, stop, sp.csc_matrix).tocsr()
    left = _window(columns, start, columns.shape[1], sp.csr_matrix)  # the transposed columns
    return left @ right


def _put(gram: np.ndarray, tile: np.ndarray, row: int, column: int) -> None:
    """Adds a tile at its place and, transposed, at its mirror image."""
    height, width = tile.shape
    gram[row : row + height, column : column + width] += tile
    if row != column:
        gram[column : column + width, row : row + height] += tile.T
