"""Products of sparse histories with dense tables and with sparse weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from recae.errors import CapacityError, TrainingError
from recae.system.threads import ONE_BLAS


def sparse_scores(histories: Any, weights: Any) -> Tensor:
    """histories @ weights, both CSR: (rows, n_items) float32, -inf where nothing adds to a cell.

    A row is summed up in the order of its own entries.
    """
    product = sp.csr_matrix(histories @ weights)
    scores = np.full(product.shape, -np.inf, dtype=np.float32)
    rows = np.repeat(np.arange(product.shape[0]), np.diff(product.indptr))
    scores[rows, product.indices] = product.data
    return torch.from_numpy(scores)


def with_weights_or_ones(matrix: Any, weighted: bool) -> Any:
    """The histories with their weights, or with ones in their place: CSR (rows, n_items) float32.

    >>> with_weights_or_ones(sp.csr_matrix([[0, 5.0]]), weighted=False).toarray()
    array([[0., 1.]], dtype=float32)
    """
    values = matrix.data if weighted else np.ones_like(matrix.data)
    parts = (values.astype(np.float32), matrix.indices, matrix.indptr)
    return sp.csr_matrix(parts, shape=matrix.shape)


def unit_rows(matrix: Any) -> Any:
    """Rows of Euclidean length 1; empty ones stay empty."""
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    squares = np.square(matrix.data, dtype=np.float64)  # those of the largest float32 fit
    lengths = np.sqrt(np.bincount(rows, squares, minlength=matrix.shape[0]))
    inverse = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    values = (matrix.data * inverse[rows]).astype(np.float32)
    return sp.csr_matrix((values, matrix.indices, matrix.indptr), shape=matrix.shape)


def summed(histories: Any, table: Tensor, weighted: bool = True) -> Tensor:
    """histories @ table: CSR (rows, n_items) float32, table (n_items, n) -> (rows, n) float32.

    weighted: False puts ones in the place of the weights. Several times faster than scipy.
    """
    values = histories.data.astype(np.float32) if weighted else np.ones_like(histories.data)
    return torch.nn.functional.embedding_bag(
        torch.from_numpy(histories.indices.astype(np.int64)),
        table,
        torch.from_numpy(histories.indptr.astype(np.int64)),
        mode="sum",
        per_sample_weights=torch.from_numpy(values),  # a copy: the weights may be read-only
        include_last_offset=True,
    )


START = torch.zeros(1, dtype=torch.int64)


def summed_one(codes: np.ndarray, table: Tensor, values: np.ndarray | None = None) -> Tensor:
    """The sum of some rows of a table, (n,) float32, each times its value. codes: (entries,) int64;
    values: (entries,) float32, None for ones."""
    weights = None if values is None else torch.from_numpy(values)
    rows = torch.from_numpy(codes)
    bag = torch.nn.functional.embedding_bag
    return bag(rows, table, START, mode="sum", per_sample_weights=weights)[0]


MOST = np.iinfo(np.int32).max
"""The largest number of entries that `implicit` finds neighbours in, and of neighbours in all."""


def nearest_columns(matrix: Any, k: int) -> Any:
    """The k columns with the largest product with each column of a CSR, itself not counted.

    CSR (columns, columns) float32 of the products, positive ones only; found by `implicit`, which
    counts in 32 bits. Raises CapacityError where these do not suffice, and TrainingError if a
    product is no number.
    """
    from implicit.nearest_neighbours import all_pairs_knn

    # k + 1, because every column is its own nearest neighbour; at most n, because `implicit`
    # allocates memory for the requested number.
    asked = min(k + 1, matrix.shape[1])
    for number, what in (
        (matrix.nnz, "interactions"),
        (matrix.shape[1] * asked, "neighbours of all items together"),
    ):
        if number > MOST:
            raise CapacityError(
                f"nearest neighbours are found for at most {MOST:,} {what}, and these are "
                f"{number:,}: keep fewer, or use ELSA or PureSVD"
            )
    with ONE_BLAS:
        nearest = all_pairs_knn(matrix, asked, show_progress=False).tocsr()
    if not np.isfinite(nearest.data).all():
        raise TrainingError("similarities are no longer numbers: the weights are too large")
    nearest.setdiag(0)
    nearest.data[nearest.data < 0] = 0
    nearest.eliminate_zeros()
    return _largest(nearest, k).astype(np.float32)


def _largest(matrix: Any, k: int) -> Any:
    """The k largest entries of each row of a CSR; equal ones go to the lower column."""
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((matrix.indices, -matrix.data, rows))
    rank = np.arange(len(order)) - matrix.indptr[rows]
    kept = order[rank < k]
    entries = (matrix.data[kept], (rows[kept], matrix.indices[kept]))
    largest: Any = sp.csr_matrix(entries, shape=matrix.shape)
    largest.sort_indices()
    return largest
