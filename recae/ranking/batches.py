"""Ranks histories in batches of rows; scores are computed in blocks of items."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from recae.errors import ConfigError, check_integer
from recae.nn.batch import sent
from recae.nn.products import BlockScores
from recae.ranking.keys import cells_at_once
from recae.ranking.top_k import RunningTopK, TopK, check_length, top_k
from recae.system.threads import in_threads

RowScores = Tensor | BlockScores
"""Scores of rows: (rows, n_items) float32, or the same computed block by block when asked for."""

ROWS = 256
"""Rows of a block: a matrix product reaches its full speed."""

CELLS = 1 << 23
"""Scores of a block, at most: 32 MiB for each thread; a GPU has larger blocks."""


def dense(scores: RowScores) -> Tensor:
    """All scores, (rows, n_items) float32.

    >>> from recae.nn.products import FactoredScores
    >>> dense(FactoredScores(torch.ones(1, 2), torch.ones(3, 2)))
    tensor([[2., 2., 2.]])
    """
    return scores if isinstance(scores, Tensor) else scores.dense()


def top_k_of_blocks(
    scores: BlockScores,
    k: int,
    *,
    exclude: Any | None = None,
    allowed: np.ndarray | None = None,
    instead: tuple[np.ndarray, np.ndarray] | None = None,
) -> TopK:
    """As `top_k` of `scores.dense()`, in memory for 2^23 scores a thread.

    exclude: CSR (rows, n_items); allowed: (n_items,) bool. instead: rows whose scores are not those
    computed, ascending, and theirs (n_items,).
    """
    n_rows, n_items = scores.shape
    k, on_cpu = check_length(k, n_items), scores.device.type == "cpu"
    cells = cells_at_once(scores.device, CELLS)
    height = max(min(ROWS if on_cpu else cells // max(n_items, 1), n_rows), 1)
    columns = _parts(n_items, cells // height)
    most = max(some.stop - some.start for some in columns)
    hidden = None if allowed is None else torch.from_numpy(~allowed).to(scores.device)

    kept = threading.local()  # a fresh buffer for every block would cost a tenth of the time

    def buffer(rows: int, width: int) -> Tensor:
        if not hasattr(kept, "buffer"):
            kept.buffer = _empty(height * most, scores.device)
        flat: Tensor = kept.buffer
        return flat[: rows * width].view(rows, width)

    def best(rows: slice) -> TopK:
        """The k best of some rows, a block of columns after the other."""
        found = RunningTopK(rows.stop - rows.start, k, scores.device, first_row=rows.start)
        taken = None if exclude is None else _cells(exclude, rows)
        for some in columns:
            block = buffer(len(found), some.stop - some.start)
            scores.write(block, rows, some)
            if instead is not None:
                _replace(block, *instead, rows, some)
            if hidden is not None:
                block.masked_fill_(hidden[some], -torch.inf)
            if taken is not None:
                _hide(block, *taken, some)
            found.add(block, some.start)
        return found.lists()

    rows = _parts(n_rows, height)
    with torch.inference_mode():
        parts = in_threads(best, rows) if on_cpu else [best(some) for some in rows]
    return TopK.concatenate(parts)


def _empty(cells: int, device: torch.device) -> Tensor:
    """A buffer; one of numpy's lies on huge pages where the system has them, unlike torch's."""
    if device.type != "cpu":
        return torch.empty(cells, device=device)
    return torch.from_numpy(np.empty(cells, dtype=np.float32))


def _parts(n: int, most: int) -> list[slice]:
    """0..n in about equal parts of at most `most`; one empty part for n = 0."""
    count = max(-(-n // most), 1)
    return [slice(n * part // count, n * (part + 1) // count) for part in range(count)]


def _cells(exclude: Any, rows: slice) -> tuple[np.ndarray, np.ndarray]:
    """Row, counted from the first of these, and column of every non-zero cell of some rows."""
    ends = exclude.indptr[rows.start : rows.stop + 1]
    entries = slice(ends[0], ends[-1])
    row = np.repeat(np.arange(len(ends) - 1), np.diff(ends))
    held = exclude.data[entries] != 0
    columns = exclude.indices[entries]
    return (row, columns) if held.all() else (row[held], columns[held])


def _hide(block: Tensor, row: np.ndarray, column: np.ndarray, columns: slice) -> None:
    """Writes -inf into the cells that are among these columns."""
    if len(column) and (columns.start > 0 or columns.stop <= column.max()):
        here = (column >= columns.start) & (column < columns.stop)
        row, column = row[here], column[here]
    if block.device.type == "cpu":
        block.numpy()[row, column - columns.start] = -np.inf
    else:
        at = (torch.from_numpy(part.astype(np.int64)) for part in (row, column - columns.start))
        places = tuple(sent(part, block.device) for part in at)
        block.index_put_(places, block.new_full((), -torch.inf))


def _replace(
    block: Tensor, which: np.ndarray, values: np.ndarray, rows: slice, columns: slice
) -> None:
    """Writes other scores into the rows of `which` that are among these."""
    here = torch.from_numpy(which[(which >= rows.start) & (which < rows.stop)] - rows.start)
    others = torch.tensor(values[columns], dtype=block.dtype, device=block.device)
    block[here.to(block.device)] = others


def _show(look: Look, rows: slice, scores: RowScores, exclude: Any, allowed: Any) -> None:
    """Calls `look` with the scores of these rows, at most 2^24 of them at a time."""
    n_rows, n_items = scores.shape
    for some in _parts(n_rows, rows_per_batch("auto", n_items)) if n_rows else []:
        if isinstance(scores, Tensor):
            shown = scores[some].clone()
        else:
            shown = torch.empty(some.stop - some.start, n_items, device=scores.device)
            scores.write(shown, some, slice(0, n_items))
        if allowed is not None:
            shown.masked_fill_(torch.from_numpy(~allowed).to(scores.device), -torch.inf)
        if exclude is not None:
            _hide(shown, *_cells(exclude, some), slice(0, n_items))
        look(slice(rows.start + some.start, rows.start + some.stop), shown)


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
    """Rows to rank, and what may be listed.

    users: (rows,) external ids; matrix: CSR (rows, n_items), their histories, or something whose
    slices are that; known: (rows,) bool, whether anything is known of them. exclude: CSR (rows,
    n_items) of cells that must not come back, or the same; allowed: (n_items,) bool; popularity:
    (n_items,) scores for rows that are not known. None excludes nothing, allows everything, and
    scores all rows as usual. skipped: ids of users who were asked for and left out.
    """

    users: np.ndarray
    matrix: Any
    known: np.ndarray
    exclude: Any | None = None
    allowed: np.ndarray | None = None
    popularity: np.ndarray | None = None
    skipped: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.users)

    def part(self, rows: slice | np.ndarray) -> Request:
        """Some of the rows."""
        whole = isinstance(rows, slice) and rows.start == 0 and (rows.stop or 0) >= len(self)
        if whole and sp.issparse(self.matrix):
            return self  # to slice a scipy matrix takes longer than to rank one row
        matrix, exclude = self.matrix[rows], self.exclude
        if exclude is not None:
            exclude = matrix if exclude is self.matrix else exclude[rows]
        users, known = self.users[rows], self.known[rows]
        return replace(self, users=users, matrix=matrix, known=known, exclude=exclude)


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


Look = Callable[[slice, Tensor], None]
"""Called with some rows of a request and their scores, (rows, n_items) float32, -inf where an item
may not be listed; it must not change them."""


def rows_at_a_time(score_rows: ScoreRows, request: Request, batch_size: int | str) -> int:
    """Users per batch; "auto" allows more where scores are computed block by block."""
    n_rows, n_items = request.matrix.shape
    step = rows_per_batch(batch_size, n_items)
    if batch_size == "auto" and step < n_rows:
        in_blocks = not isinstance(score_rows(request.matrix[:0]), Tensor)
        step = max(step, BLOCK_ROWS) if in_blocks else step
    return step


def rank_batches(
    score_rows: ScoreRows,
    request: Request,
    k: int,
    *,
    batch_size: int | str = "auto",
    look: Look | None = None,
) -> RankedLists:
    """Yields the top k of each batch of rows, in order; one empty batch when there are no rows.

    look: sees all scores, some rows at a time, before their batch is yielded.
    """
    n_rows, start = request.matrix.shape[0], 0
    step = rows_at_a_time(score_rows, request, batch_size)
    while start < n_rows or start == 0:
        rows = slice(start, min(start + step, n_rows))
        part = request.part(rows)
        scores = score_rows(part.matrix)
        cold_users, exclude, allowed = np.flatnonzero(~part.known), part.exclude, part.allowed
        if look is not None:
            _show(look, rows, scores, exclude, allowed)
        instead = None
        if part.popularity is not None and len(cold_users):
            instead = cold_users, part.popularity
        if not isinstance(scores, Tensor):
            top = top_k_of_blocks(scores, k, exclude=exclude, allowed=allowed, instead=instead)
        else:
            if instead is not None:
                rows_of_cold_users, counts = map(torch.tensor, instead)  # they may be read-only
                scores[rows_of_cold_users.to(scores.device)] = counts.to(scores)
            top = top_k(scores, k, exclude=exclude, allowed=allowed, overwrite=True)
        del scores  # before the next are made
        yield rows, top
        start = max(rows.stop, 1)
