"""Top-k of scores that are computed in blocks of columns and never held as a whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from recae.nn.products import column_blocks
from recae.ranking.products import LARGE, Products
from recae.ranking.selection import GROUP, Leaders
from recae.ranking.top_k import CELLS, TopK, check_length

LEAST_GROUPS = 4
"""Groups of columns per place of a list: fewer, and too little of a block would be discarded."""

MOST = 4
"""Times the usual width that a block may have for the sake of long lists."""


def stream_top_k(
    scores: Products,
    k: int,
    *,
    exclude: Any | None = None,
    allowed: np.ndarray | None = None,
    instead: tuple[np.ndarray, np.ndarray] | None = None,
) -> TopK:
    """As `top_k` of `scores.dense()`, in memory for 2^23 scores, 2^25 for long lists.

    exclude: CSR (rows, n_items); allowed: (n_items,) bool. instead: rows whose scores are not those
    computed, ascending, and theirs (n_items,).
    """
    n_rows, n_items = scores.shape
    k = check_length(k, n_items)
    height = max(min(LARGE, n_rows), 1)
    usual = 2 * CELLS // height
    chunks = _chunks(n_items, min(max(usual, LEAST_GROUPS * GROUP * k), MOST * usual))
    widest = max((chunk[-1].stop - chunk[0].start for chunk in chunks), default=0)
    buffer = torch.empty(height * widest)
    keep = None if allowed is None else torch.from_numpy(allowed)
    parts = []
    with torch.inference_mode():
        for start in range(0, max(n_rows, 1), height):
            rows = slice(start, min(start + height, n_rows))
            leaders = Leaders(rows.stop - start, k, first_row=start)
            hidden = None if exclude is None else _cells(exclude, rows)
            for chunk in chunks:
                columns = slice(chunk[0].start, chunk[-1].stop)
                width = columns.stop - columns.start
                block = buffer[: len(leaders) * width].view(-1, width)
                scores.write(block, rows, chunk)
                if instead is not None:
                    others = instead[0][(instead[0] >= rows.start) & (instead[0] < rows.stop)]
                    block[others - start] = torch.tensor(instead[1][columns], dtype=block.dtype)
                if keep is not None:
                    block.masked_fill_(~keep[columns], -torch.inf)
                if hidden is not None:
                    _hide(block, *hidden, columns)
                leaders.add(block, columns.start)
            parts.append(TopK(*leaders.lists()))
    return TopK.concatenate(parts)


def _chunks(n_items: int, width: int) -> list[list[slice]]:
    """Neighbouring blocks of columns, together about `width` wide, all about the same."""
    blocks = column_blocks(n_items)
    n = max(round(n_items / width), 1)
    ends = [len(blocks) * part // n for part in range(n + 1)]
    return [blocks[a:b] for a, b in zip(ends, ends[1:], strict=False) if a < b]


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
    block.numpy()[row, column - columns.start] = -np.inf
