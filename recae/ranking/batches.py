"""From histories to top-k lists, one batch of scores at a time."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recae.errors import ConfigError
from recae.ranking.products import Products
from recae.ranking.streams import stream_top_k
from recae.ranking.top_k import TopK, top_k

ScoreRows = Callable[[Any], Tensor]
"""Maps a CSR matrix (rows, n_items) to a fresh tensor of scores (rows, n_items) float32."""

Scoring = Callable[[Any], Tensor | Products]
"""The same, or a map to what the scores are the products of."""

RankedLists = Iterator[tuple[slice, TopK]]
"""Batches of rows, in order, with their lists."""

BATCH_CELLS = 1 << 24
"""Scores held at once with batch_size="auto": 2^24 cells are 64 MiB in float32."""

STREAMED_ROWS = 1024
"""Rows of a batch with batch_size="auto" when its scores are not held."""


@dataclass(frozen=True)
class Request:
    """Rows to rank: external user ids (rows,), their histories (rows, n_items) and whether anything
    is known of them, (rows,) bool; where nothing is, the most popular items are the answer."""

    users: np.ndarray
    matrix: Any
    known: np.ndarray

    def __len__(self) -> int:
        return len(self.users)

    def part(self, rows: slice) -> Request:
        """Some of the rows."""
        return Request(self.users[rows], self.matrix[rows], self.known[rows])


def rows_per_batch(batch_size: Any, n_items: int) -> int:
    """Users per batch; "auto" keeps users x items near 2^24 cells. It never changes a result."""
    if batch_size == "auto":
        return max(BATCH_CELLS // max(n_items, 1) // 64, 1) * 64
    try:
        rows = 0 if isinstance(batch_size, bool) else operator.index(batch_size)
    except TypeError:
        rows = 0
    if rows < 1:
        raise ConfigError(f"batch_size must be 'auto' or an integer >= 1, not {batch_size!r}")
    return rows


def rank_batches(
    score_rows: Scoring,
    request: Request,
    k: int,
    *,
    exclude: Any | None,
    allowed: np.ndarray | None = None,
    popularity: np.ndarray | None = None,
    batch_size: int | str = "auto",
) -> RankedLists:
    """Yields the top k of each batch of rows, in order; one empty batch when there are no rows.

    exclude: CSR (rows, n_items) of cells that must not come back; allowed: (n_items,) bool;
    popularity: (n_items,) scores for the rows of whom nothing is known (None: score them as usual).
    """
    n_rows, n_items = request.matrix.shape
    step, start = rows_per_batch(batch_size, n_items), 0
    while start < n_rows or start == 0:
        rows = slice(start, min(start + step, n_rows))
        part = request.part(rows)
        scores = score_rows(part.matrix)
        excluded = None if exclude is None else exclude[rows]
        strangers = np.flatnonzero(~part.known)
        instead = (strangers, popularity) if popularity is not None and len(strangers) else None
        if isinstance(scores, Products):
            top = stream_top_k(scores, k, exclude=excluded, allowed=allowed, instead=instead)
            step = max(step, STREAMED_ROWS) if batch_size == "auto" else step
        else:
            if instead is not None:
                rows_of_strangers, counts = (torch.from_numpy(part) for part in instead)
                scores[rows_of_strangers.to(scores.device)] = counts.to(scores)
            top = top_k(scores, k, exclude=excluded, allowed=allowed, overwrite=True)
        del scores  # before the next are made
        yield rows, top
        start = max(rows.stop, 1)
