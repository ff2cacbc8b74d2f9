"""Histories that stay where they are, such as on disk, until a batch of them is ranked."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from recae.data import IdMap, Interactions
from recae.data.csr import keep_entries, row_blocks
from recae.system.mapped import release


class Selected:
    """Some rows of a CSR in the columns of a model, made when a slice of them is asked for.

    source: a canonical CSR, which may be memory-mapped. rows: (n,) row numbers, -1 for an empty
    one; None for all. columns: the new number of each column, -1 for one that is left out; None for
    all as they are. lengths: (n,) stored entries of each row.

    `selected[slice]` is a CSR, and `selected[numbers]` other rows of the same source.
    """

    def __init__(
        self,
        source: Any,
        rows: np.ndarray | None,
        columns: np.ndarray | None,
        n_items: int,
        lengths: np.ndarray,
    ) -> None:
        self.source, self.rows, self.columns, self.lengths = source, rows, columns, lengths
        self.shape = len(lengths), n_items

    @property
    def indptr(self) -> np.ndarray:
        """Where each row begins, and the end, (n + 1,) int64."""
        return np.concatenate([[0], np.cumsum(self.lengths, dtype=np.int64)])

    def __getitem__(self, some: slice | np.ndarray) -> Any:
        """Some rows: as CSR for a slice, still lazy for an array of rows. Columns that were not
        selected are dropped, and the others renumbered."""
        lengths = self.lengths[some]
        if not isinstance(some, slice):
            rows = some if self.rows is None else self.rows[some]
            return Selected(self.source, rows, self.columns, self.shape[1], lengths)
        if self.rows is None:
            found = self.source[some]
        else:
            rows = self.rows[some]
            found = self.source[rows[rows >= 0]]
        data, indices = found.data, found.indices
        if self.columns is not None:
            indices = self.columns[indices]
            kept = indices >= 0
            data, indices = data[kept], indices[kept]
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        new = sp.csr_matrix((data, indices, indptr), shape=(len(lengths), self.shape[1]))
        if self.columns is not None:
            new.has_sorted_indices = False
            new.sort_indices()
        new.has_sorted_indices = new.has_canonical_format = True
        return new

    def release(self) -> None:
        """Gives the pages of mapped files back to the system."""
        release(self.source.data, self.source.indices)


class Either:
    """The cells of either of two matrices with the same rows, made for a slice of them."""

    def __init__(self, one: Any, other: Any) -> None:
        self.one, self.other, self.shape = one, other, one.shape

    @property
    def indptr(self) -> np.ndarray:
        """As many entries of each row as both have, at most, added up, (n + 1,)."""
        total: np.ndarray = self.one.indptr.astype(np.int64) + self.other.indptr
        return total

    def __getitem__(self, some: slice | np.ndarray) -> Any:
        one, other = self.one[some], self.other[some]
        return sp.csr_matrix(one + other) if isinstance(some, slice) else Either(one, other)


def in_columns(
    history: Interactions, items: IdMap
) -> tuple[np.ndarray | None, np.ndarray, int, np.ndarray]:
    """What becomes of the items of histories in the columns of a model.

    Returns the new number of each item, (n_items,), -1 for those that the model lacks, None where
    both have the same; the number of entries that each user then has, (n_users,) int64; how many
    entries are left out; and the codes of their items. Reads the histories once, in blocks.
    """
    indptr, indices = history.matrix.indptr, history.matrix.indices
    lengths = np.diff(indptr).astype(np.int64)
    if history.items == items:
        return None, lengths, 0, np.empty(0, dtype=np.int64)
    columns = items.lookup(history.items.ids)
    unknown = columns < 0
    if not unknown.any():
        return columns, lengths, 0, np.empty(0, dtype=np.int64)
    seen = np.zeros(len(columns), dtype=bool)
    for block in row_blocks(indptr):
        starts = indptr[block.start : block.stop + 1]
        entries = indices[starts[0] : starts[-1]]
        seen[entries] = True
        kept = keep_entries(starts - starts[0], ~unknown[entries])
        lengths[block] = np.diff(kept)
        release(indices)
    left_out = int(indptr[-1]) - int(lengths.sum())
    return columns, lengths, left_out, np.flatnonzero(seen & unknown)
