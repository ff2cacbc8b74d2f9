"""The matrix of a closed form on a GPU: X'X, sparse products with it, and its way back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recae.data.csr import row_blocks
from recae.data.scaled import rows_of
from recae.nn import Ragged
from recae.nn.batch import PINNED_BYTES, bag
from recae.system.machine import rows_that_fit

STRIPS = 8
"""Strips of columns in which X'X is computed. With more of them less of the half that is known from
the other is computed, and X is read more often."""


def on_gpu(matrix: Any, device: torch.device) -> Ragged:
    """A sparse matrix on a GPU in its own float: the rows of a CSR, or the columns of a CSC."""
    entries, ends = matrix.indices.astype(np.int64), matrix.indptr.astype(np.int64)
    across = matrix.shape[1] if matrix.format == "csr" else matrix.shape[0]
    first, second, values = map(torch.from_numpy, (entries, ends, matrix.data))
    return Ragged(first, second, values, across).to(device)


def some_of(x: Ragged, start: int, stop: int) -> Ragged:
    """The rows from `start` to `stop`, whose entries are views. The GPU is not asked."""
    assert x.ends is not None  # known since it was sent
    entries, ends = x.entries(slice(start, stop)), x.ends[start : stop + 1] - x.ends[start]
    offsets = x.offsets[start : stop + 1] - int(x.ends[start])
    return Ragged(x.indices[entries], offsets, x.values[entries], x.n_columns, ends=ends)


def gram_on_gpu(
    blocks: Iterable[Any], n: int, dtype: np.dtype[Any], device: torch.device
) -> Tensor:
    """X'X, (n, n), on a GPU, from CSR blocks of the rows of X, (rows, n) each.

    Row i of a strip of X'X is a sum over the users of item i: of their rows in a dense table of the
    columns of the strip. Each number is summed up in the order of the users, as by `gram_matrix`,
    so sums of whole numbers have the same bits, and no setting of matrix products changes them. A
    product of dense blocks would take users x n^2 operations, this takes interactions x n: less by
    the share of cells that are not empty.

    Holds, beside the result, less than another one: a piece of X with n^2 / 16 entries, and its
    dense table and the strip with n^2 / 4 and n^2 / 8 numbers at most.
    """
    gram = torch.zeros(n, n, dtype=getattr(torch, dtype.name), device=device)
    strips = [slice(low, min(low + -(-n // STRIPS), n)) for low in range(0, n, -(-n // STRIPS))]
    for block in blocks:
        rows = block.tocsr()
        for cut in row_blocks(rows.indptr, n * n // 16 + n):
            for low in range(cut.start, cut.stop, 2 * n):
                piece = rows_of(rows, slice(low, min(low + 2 * n, cut.stop)))
                items = on_gpu(piece.astype(dtype).tocsc(), device)  # the users of each
                for strip in strips:
                    own = some_of(items, strip.start, strip.stop)
                    table = gram.new_zeros(items.n_columns, len(own))
                    table[own.indices, own.rows] = own.values
                    found = bag(table, some_of(items, strip.start, n))
                    gram[strip.start :, strip].add_(found)
                    del own, table, found  # before the next ones are made
    for strip in strips:
        gram[strip, strip.stop :] = gram[strip.stop :, strip].mT
    return gram


def fetched(matrix: Tensor) -> Tensor:
    """A matrix of a GPU in memory and in float32. It comes through one pinned block, which torch
    keeps for later."""
    n, width = matrix.shape
    found = torch.from_numpy(np.empty((n, width), np.float32))  # numpy asks for huge pages
    step = rows_that_fit(width, PINNED_BYTES // 4)
    pinned = torch.empty(min(step, n), width, pin_memory=True)
    for start in range(0, n, step):
        part = matrix[start : start + step]
        found[start : start + step] = pinned[: len(part)].copy_(part)
    return found
