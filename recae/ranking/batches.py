"""From histories to top-k lists, one batch of scores at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recae.errors import ConfigError, check_integer
from recae.ranking.scores import RowScores, top_k_of_blocks
from recae.ranking.top_k import TopK, top_k

ScoreRows = Callable[[Any], RowScores]
"""Maps a CSR matrix (rows, n_items) to scores: a fresh tensor (rows, n_items) float32, or
`BlockScores`."""

RankedLists = Iterator[tuple[slice, TopK]]
"""Batches of rows, in order, with their lists."""

BATCH_CELLS = 1 << 24
"""Scores held at once with batch_size="auto": 2^24 cells are 64 MiB in float32."""

BLOCK_ROWS = 4096
"""Rows of a batch with batch_size="auto" when its scores are computed block by block."""


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
        if rows.start == 0 and rows.stop is not None and rows.stop >= len(self):
            return self  # to slice a scipy matrix takes longer than to rank one row
        return Request(self.users[rows], self.matrix[rows], self.known[rows])


def rows_per_batch(batch_size: Any, n_items: int) -> int:
    """Users per batch; "auto" keeps users x items near 2^24 cells."""
    if isinstance(batch_size, str) and batch_size == "auto":
        return max(BATCH_CELLS // max(n_items, 1), 64)
    try:
        return check_integer("batch_size", batch_size)
    except ConfigError:
        raise ConfigError(
            f"batch_size must be 'auto' or an integer >= 1, not {batch_size!r}",
            parameter="batch_size",
            value=batch_size,
        ) from None


def rank_batches(
    score_rows: ScoreRows,
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
    if batch_size == "auto" and step < n_rows:
        in_blocks = not isinstance(score_rows(request.matrix[:0]), Tensor)
        step = max(step, BLOCK_ROWS) if in_blocks else step
    while start < n_rows or start == 0:
        rows = slice(start, min(start + step, n_rows))
        part = request.part(rows)
        scores = score_rows(part.matrix)
        excluded = exclude if exclude is None or part is request else exclude[rows]
        strangers = np.flatnonzero(~part.known)
        instead = (strangers, popularity) if popularity is not None and len(strangers) else None
        if not isinstance(scores, Tensor):
            top = top_k_of_blocks(scores, k, exclude=excluded, allowed=allowed, instead=instead)
        else:
            if instead is not None:
                rows_of_strangers, counts = (torch.from_numpy(part) for part in instead)
                scores[rows_of_strangers.to(scores.device)] = counts.to(scores)
            top = top_k(scores, k, exclude=excluded, allowed=allowed, overwrite=True)
        del scores  # before the next are made
        yield rows, top
        start = max(rows.stop, 1)
