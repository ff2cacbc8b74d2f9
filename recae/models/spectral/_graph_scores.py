"""Scores of histories with a term through the users that share their items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recae.nn.products import FactoredScores

CELLS = 1 << 23
"""Numbers of a dense block of users' shares, at most: 32 MiB for each thread."""


@dataclass(frozen=True)
class ItemUsers:
    """Z' as CSR (n_items, n_users) float32, and the scales of items in the scores, (n_items,)."""

    turned: Any
    scales: Tensor

    def times(self, shares: Tensor, items: slice) -> Tensor:
        """Some rows of Z', scaled, times (n_users, width): (items, width)."""
        offsets = self.turned.indptr[items.start : items.stop + 1]
        entries = slice(int(offsets[0]), int(offsets[-1]))
        some = (offsets - offsets[0], self.turned.indices[entries], self.turned.data[entries])
        bounds, users, values = map(torch.from_numpy, some)
        found = torch.nn.functional.embedding_bag(
            users, shares, bounds, mode="sum", per_sample_weights=values, include_last_offset=True
        )
        return found.mul_(self.scales[items, None])


@dataclass(frozen=True)
class GraphScores:
    """Scores R C' + Y Z, computed block by block. factored: R C'. shares: Y, CSR (rows, n_users)
    float32. items: Z and the scales of its columns.

    Nearly all entries of Y Z are non-zero. Therefore some rows of Y at a time are made dense, which
    is several times as fast as the product of two sparse matrices.
    """

    factored: FactoredScores
    shares: Any
    items: ItemUsers

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, n_items)."""
        return self.factored.shape

    @property
    def device(self) -> torch.device:
        """Where they are computed."""
        return self.factored.device

    def dense(self) -> Tensor:
        """All scores, (rows, n_items) float32."""
        n_rows, n_items = self.shape
        out = torch.empty(n_rows, n_items)
        self.write(out, slice(0, n_rows), slice(0, n_items))
        return out

    def write(self, out: Tensor, rows: slice, columns: slice) -> None:
        """Writes the scores of some rows and columns into `out`, without gradients."""
        self.factored.write(out, rows, columns)
        step = max(CELLS // max(self.shares.shape[1], 1), 1)
        for start in range(rows.start, rows.stop, step):
            stop = min(start + step, rows.stop)
            shares = torch.from_numpy(np.ascontiguousarray(self.shares[start:stop].toarray().T))
            found = self.items.times(shares, columns)
            out[start - rows.start : stop - rows.start] += found.T
