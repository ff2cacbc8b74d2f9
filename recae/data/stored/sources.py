"""Interactions as a table: blocks of rows with the columns of `Interactions.to_frame`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from recae.data import csr
from recae.data.interactions import Interactions
from recae.data.tables.columns import DEFAULT_TIME, DEFAULT_WEIGHT, Columns, Headers
from recae.data.tables.sources import Block

BLOCK_ROWS = 1 << 18

COLUMNS: Columns = ("user_id", "item_id", DEFAULT_WEIGHT, DEFAULT_TIME)


def own_columns(asked: Columns) -> Columns:
    """The columns of Interactions for those of a table: weights and times may be left out."""
    user, item, weight, time = COLUMNS
    return user, item, None if asked[2] is None else weight, None if asked[3] is None else time


class InteractionsSource:
    """Interactions, a block of about 2^18 rows at a time; `label` names them in messages."""

    def __init__(self, data: Interactions, label: str = "") -> None:
        self.data, self.label, self.rows = data, label, data.nnz
        names = [str(name) for name in COLUMNS]
        self.headers: Headers = [(label, names if data.times is not None else names[:3])]

    def blocks(self, columns: list[str], time: str | None = None) -> Iterator[Block]:
        """The rows by user and item, with these columns."""
        data, matrix = self.data, self.data.matrix
        for rows in csr.row_blocks(matrix.indptr, BLOCK_ROWS):
            ends = matrix.indptr[rows.start : rows.stop + 1]
            entries = slice(int(ends[0]), int(ends[-1]))
            found: dict[str, Any] = {DEFAULT_WEIGHT: matrix.data[entries]}
            if data.times is not None:
                found[DEFAULT_TIME] = data.times[entries]
            if "user_id" in columns:
                users = np.repeat(np.arange(rows.start, rows.stop), np.diff(ends))
                found["user_id"] = data.users.decode(users)
            if "item_id" in columns:
                found["item_id"] = data.items.decode(matrix.indices[entries])
            yield Block({name: found[name] for name in columns}, int(ends[0]))
