"""Exact inner-product search in sparse codes."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from recae.data.csr import is_sparse
from recae.errors import DataError, check_integer, explained
from recae.ranking.top_k import TopK, top_k
from recae.system.machine import enough_memory, row_batches
from recae.system.threads import survives_fork

BLOCK = 256
"""Queries scored together."""


@explained
class SparseIndex:
    """Item codes as a sparse matrix for search, made by `CompressedEmbeddings.index`.

    With codes Z (n_items, units), few of which are not 0, a dictionary W (units, width), a centre c
    and biases b, the items are v_i = c + z_i W, and a query q scores them q . v_i + b_i =
    z_i . (W q) + q . c + b_i. W q is computed once a query; an item then costs as many
    multiplications as it has active units. The scores are those of the decoded vectors, to within
    the rounding of float32.

    >>> small = recae.apply.compress.compress_embeddings(X, 12, epochs=1, rounds=1)
    >>> small.index().search(X[:2], k=3).items.shape
    (2, 3)
    """

    def __init__(
        self, codes: Any, dictionary: np.ndarray, centre: np.ndarray, biases: np.ndarray
    ) -> None:
        self.codes = sp.csr_matrix(codes)
        self.dictionary = torch.from_numpy(dictionary)
        self.centre, self.biases = centre, biases

    @property
    def n_items(self) -> int:
        """The number of items."""
        return int(self.codes.shape[0])

    @property
    def n_bytes(self) -> int:
        """Bytes of memory that the index holds: codes as CSR, dictionary, centre and biases."""
        codes = self.codes
        held = (codes.data, codes.indices, codes.indptr, self.centre, self.biases)
        return sum(part.nbytes for part in held) + self.dictionary.numel() * 4

    def __repr__(self) -> str:
        nonzero = self.codes.nnz / max(self.n_items, 1)
        return f"SparseIndex({self.n_items:,} items of {nonzero:.0f} units, {self.n_bytes:,} bytes)"

    @survives_fork
    def scores(self, queries: np.ndarray) -> np.ndarray:
        """Scores of all items, higher is better: (rows, n_items) float32.

        queries: (rows, width) numbers, in the space of the compressed vectors. Raises DataError for
        queries of another width or with NaN, CapacityError if the scores do not fit in memory.

        >>> scores = small.index().scores(X[:2])
        >>> bool(np.allclose(scores, X[:2] @ small.vectors().T, atol=1e-4))
        True
        """
        rows = self._checked(queries)
        with enough_memory(f"scoring {self.n_items:,} items for {len(rows):,} queries"):
            out = np.empty((len(rows), self.n_items), dtype=np.float32)
            for part in row_batches(len(rows), 1, BLOCK):
                out[part] = self._scores(rows[part])
        return out

    @survives_fork
    def search(self, queries: np.ndarray, k: int = 10, *, exclude: Any | None = None) -> TopK:
        """The exact k items of the highest scores for each query; ties in the order of the items.

        queries: as in `scores`, (rows, width); exclude: a scipy sparse matrix (rows, n_items) whose
        non-zero cells are excluded. Returns items and scores, (rows, k) each, see `TopK`. Raises
        DataError for queries or exclusions of a wrong shape, ConfigError for a bad k.

        >>> small.index().search(X[:1], k=2).scores.shape
        (1, 2)
        """
        k, rows = check_integer("k", k), self._checked(queries)
        out: Any = None
        if exclude is not None:
            if not is_sparse(exclude) or exclude.shape != (len(rows), self.n_items):
                raise DataError(
                    f"exclude must be a scipy sparse matrix ({len(rows)}, {self.n_items}), a row "
                    "for each query and a column for each item"
                )
            out = sp.csr_matrix(exclude.astype(bool))  # added up, small integers can become 0
        found = []
        for start in range(0, max(len(rows), 1), BLOCK):
            part = slice(start, start + BLOCK)
            scores = torch.from_numpy(self._scores(rows[part]))
            cells = None if out is None else out[part]
            found.append(top_k(scores, k, exclude=cells, overwrite=True))
        return TopK.concatenate(found)

    @survives_fork
    def similar(self, items: Any, k: int = 10) -> TopK:
        """The k items nearest to each of some items by the cosine of the decoded vectors.

        Computed between codes, z_i W W' z_j. items: their rows, (rows,) integers; an item is not
        its own neighbour. A zero vector has cosine 0 with all. Raises DataError for unknown items,
        ConfigError for a bad k.

        >>> small.index().similar([0, 1], k=3).items.shape
        (2, 3)
        """
        k, chosen = check_integer("k", k), self._items(items)
        lengths = self._lengths
        found = []
        for start in range(0, max(len(chosen), 1), BLOCK):
            some = chosen[start : start + BLOCK]
            scores = self._scores(self._decoded(some)) - self.biases
            cosines = scores / lengths / lengths[some, None]
            own = (np.arange(len(some)), some)
            found.append(top_k(torch.from_numpy(cosines), k, exclude=own, overwrite=True))
        return TopK.concatenate(found)

    def _scores(self, rows: np.ndarray) -> np.ndarray:
        of_units = rows @ self.dictionary.numpy().T  # (rows, units)
        constant = (rows @ self.centre)[:, None]
        scores = np.ascontiguousarray((self.codes @ np.ascontiguousarray(of_units.T)).T)
        scores += constant
        scores += self.biases
        return scores

    def _decoded(self, items: np.ndarray | slice) -> np.ndarray:
        return np.asarray(self.centre + self.codes[items] @ self.dictionary.numpy())

    @cached_property
    def _lengths(self) -> np.ndarray:
        """Norms of the decoded vectors, (n_items,) float32; 1 for zero vectors."""
        parts = row_batches(self.n_items, 1, 4096)
        lengths = np.concatenate([np.linalg.norm(self._decoded(part), axis=1) for part in parts])
        return np.where(lengths > 0, lengths, 1).astype(np.float32)

    def _checked(self, queries: np.ndarray) -> np.ndarray:
        return checked_rows(queries, "queries", self.dictionary.shape[1])

    def _items(self, items: Any) -> np.ndarray:
        """The numbers of items as int64. Raises DataError for anything but a vector of integers
        from 0 to n_items - 1."""
        chosen = np.asarray(items)
        if chosen.ndim != 1 or (chosen.size and not np.issubdtype(chosen.dtype, np.integer)):
            raise DataError(
                f"items must be a vector of integers, not {chosen.shape} {chosen.dtype}"
            )
        bad = (chosen < 0) | (chosen >= self.n_items)
        if bad.any():
            raise DataError(
                f"there is no item {chosen[bad][0]}: items are 0..{self.n_items - 1} "
                f"({int(bad.sum())} of {len(chosen)} are none)"
            )
        return chosen.astype(np.int64)


def checked_rows(rows: Any, what: str, width: int | None = None) -> np.ndarray:
    """Rows as a contiguous float32 table. Raises DataError for anything but a table of finite
    numbers of that width."""
    if isinstance(rows, torch.Tensor):
        rows = rows.detach().cpu().numpy()
    found = np.asarray(rows)
    if found.ndim != 2 or found.dtype.kind not in "fiu":
        raise DataError(
            f"{what} must be a table of numbers (rows, width), not {found.shape} {found.dtype}"
        )
    if width is not None and found.shape[1] != width:
        raise DataError(
            f"{what} have {found.shape[1]} columns; the vectors have {width}: both must be of the "
            "same model"
        )
    with np.errstate(over="ignore"):  # what float32 cannot hold is refused below
        table = np.ascontiguousarray(found, dtype=np.float32)
    bad = np.flatnonzero(~np.isfinite(table).all(axis=1))
    if len(bad):
        raise DataError(
            f"{what} have NaN or infinite numbers in {len(bad)} of {len(table)} rows, the first is "
            f"row {bad[0]}"
        )
    return table
