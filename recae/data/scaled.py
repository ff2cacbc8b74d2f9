"""Interactions with rows and columns scaled by the degrees of users and items, in blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from recae.data.csr import row_blocks

ENTRIES = 1 << 24
"""Interactions of a block of users. Its copies take up to 24 bytes for each: 0.4 GB. A matrix of at
most so many is one block."""

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Rows:
    """X as a closed form reads it: D_U^-u X D_I^-v, computed for one block of users at a time.

    matrix: CSR (n_users, n_items), which may be memory-mapped; it is neither copied nor changed.
    read: what the model makes of histories, row by row. of_users (n_users,), of_items (n_items,):
    the diagonals, or None for ones. degrees: those of the items, (n_items,), 1 where one is 0; None
    where nothing needs them.
    """

    matrix: Any
    read: Callable[[Any], Any]
    of_users: Doubles | None = None
    of_items: Doubles | None = None
    degrees: Doubles | None = None

    @classmethod
    def scaled(
        cls, matrix: Any, read: Callable[[Any], Any], u: float, v: float, degrees: bool = False
    ) -> Rows:
        """With the degrees of users to the power -u and those of items to -v; ones for empty rows
        and columns, and where a power is 0. degrees: whether those of the items are needed."""
        plain = cls(matrix, read)
        if not (u or v or degrees):
            return plain
        of_users, of_items = [], np.zeros(matrix.shape[1])
        for part in plain:
            of_users.append(np.asarray(part.sum(axis=1, dtype=np.float64)).ravel())
            of_items += np.asarray(part.sum(axis=0, dtype=np.float64)).ravel()
        users, items = (np.where(d > 0, d, 1) for d in (np.concatenate(of_users), of_items))
        if not (u or v):
            return cls(matrix, read, degrees=items)
        return cls(matrix, read, users**-u, items**-v, items)

    def __iter__(self) -> Iterator[Any]:
        """CSR blocks of X, (rows, n_items), in the order of the users."""
        for block in row_blocks(self.matrix.indptr, ENTRIES):
            yield self._part(block)  # nothing here holds it while the next one is made

    def _part(self, block: slice) -> Any:
        part = self.read(rows_of(self.matrix, block))
        if self.of_users is not None:
            part = sp.diags(self.of_users[block]) @ part.astype(np.float64)
        if self.of_items is not None:
            part = part.astype(np.float64) @ sp.diags(self.of_items)
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
    return window(matrix, block.start, block.stop, sp.csr_matrix)


def window(matrix: Any, start: int, stop: int, kind: Any) -> Any:
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
