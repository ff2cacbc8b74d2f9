"""Reads the rows of an export in blocks of whole lists, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recae.data import as_ids
from recae.errors import DataError

Index = npt.NDArray[np.int64]

ROWS = 1 << 18
"""Rows that are looked at together: the ids of the catalogue are looked up once for all of them."""


@dataclass(frozen=True)
class Block:
    """Lists of neighbouring owners. columns: those of the rows, that of the owners first; starts:
    (lists + 1,) where each list starts, and the end of the last."""

    columns: list[pa.Array]
    starts: Index

    @property
    def owners(self) -> np.ndarray:
        """The ids of those who have the lists, (lists,)."""
        return as_ids(self.columns[0].take(pa.array(self.starts[:-1])), "user")

    @property
    def places(self) -> Index:
        """The place of each row in its list, (rows,), from 0."""
        return np.arange(self.starts[-1]) - np.repeat(self.starts[:-1], np.diff(self.starts))


def whole_lists(batches: Iterable[pa.RecordBatch]) -> Iterator[Block]:
    """The lists in batches of rows, some `ROWS` rows at a time. The rows of a list follow each
    other, and may be in several batches. Raises DataError for missing values."""
    rest: pa.Table | None = None
    for rows in _joined(batches):
        table = rows if rest is None else pa.concat_tables([rest, rows])
        columns = plain_columns(table)
        starts = starts_of(columns[0])
        end = int(starts[-1])  # where the last list starts: it may go on
        if end:
            yield Block([column.slice(0, end) for column in columns], starts)
        last = [column.slice(end) for column in columns]
        rest = pa.Table.from_arrays(last, names=table.column_names)
    if rest is not None:
        yield Block(plain_columns(rest), np.array([0, len(rest)]))


def _joined(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting += [batch] if len(batch) else []
        if sum(map(len, waiting)) >= ROWS:
            yield pa.Table.from_batches(waiting)
            waiting = []
    if waiting:
        yield pa.Table.from_batches(waiting)


def plain_columns(rows: pa.RecordBatch | pa.Table) -> list[pa.Array]:
    """The columns, each as one array, without dictionaries. Raises DataError for missing values."""
    found = []
    for name, column in zip(rows.schema.names, rows.columns, strict=True):
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if column.null_count:
            raise DataError(f"{column.null_count:,} rows have no {name}")
        found.append(column)
    return found


def starts_of(owners: pa.Array) -> Index:
    """The rows whose owner differs from that of the row before, the first one among them."""
    other = pc.not_equal(owners.slice(1), owners.slice(0, len(owners) - 1))
    return np.append(0, np.flatnonzero(other.to_numpy(zero_copy_only=False)) + 1)
