"""Reads in-memory tables of any data-frame library as blocks of columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from recae.data import csr
from recae.data.tables.arrays import for_pandas, is_arrow, plain
from recae.data.tables.columns import Headers
from recae.data.tables.cursors import (
    ROWS,
    cursor_columns,
    cursor_reader,
    cursor_rows,
    has_arrow,
    is_cursor,
)
from recae.data.tables.faults import Fault
from recae.data.tables.paths import named
from recae.errors import DataError, RecaeError


@dataclass(frozen=True)
class Block:
    """Some rows of a table: equally long columns (pandas or Arrow) by name, and where they lie.

    lines: the line of each row, for text. faults: of rows that the source has left out already,
    `dropped` in number.
    """

    columns: Mapping[str, Any]
    first_row: int = 0
    file: str | None = None
    lines: Sequence[int] | npt.NDArray[np.int64] | None = None
    faults: tuple[Fault, ...] = ()
    dropped: int = 0

    def place(self, row: int) -> str:
        """Where a row stands, for messages."""
        return f"row {self.first_row + row}" if self.lines is None else f"line {self.lines[row]}"

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Names the file in errors about its content."""
        try:
            yield
        except DataError as error:
            raise error if self.file is None else named(error, self.file) from None


class Source(Protocol):
    """A table that is read once, in blocks.

    label: the beginning of messages about the table; headers: for each part of it (each file) such
    a beginning and the names of the columns.
    """

    label: str
    headers: Headers

    @property
    def rows(self) -> int | None:
        """The number of rows, if it is known before reading."""

    def blocks(self, columns: list[str], time: str | None = None) -> Iterator[Block]:
        """The rows in order, with these columns; `time`: the column that may hold dates as text."""


class FrameSource:
    """A pandas frame, as one block; the named levels of its index are columns too."""

    label = ""

    def __init__(self, frame: pd.DataFrame) -> None:
        index = [name for name in frame.index.names if name is not None]
        index = [name for name in index if name not in frame.columns]
        frame = frame.reset_index(level=index) if index else frame
        self.frame, self.rows = frame, len(frame)
        self.headers = [("", [str(name) for name in frame.columns])]

    def blocks(self, columns: list[str], time: str | None = None) -> Iterator[Block]:
        """The frame; columns in Arrow storage as Arrow ones."""
        names = self.headers[0][1]  # labels may be numbers or tuples
        some = {name: self.frame.iloc[:, names.index(name)] for name in columns}
        yield Block(
            {n: plain(column) if is_arrow(column) else column for n, column in some.items()}
        )


class ArrowSource:
    """An Arrow stream; `open` gives it, with some of its columns or with all. once: it can be read
    once, so that it has no rows if it was read before."""

    label = ""

    def __init__(
        self,
        names: list[str],
        open: Callable[[list[str]], pa.RecordBatchReader],
        origin: str,
        once: bool,
    ) -> None:
        self.headers, self.open, self.origin, self.rows = [("", names)], open, origin, None
        self.block, self.once = csr.BLOCK, once

    def limit(self, columns: list[str], memory: int) -> None:
        """Makes the blocks so small that coding them takes about this memory, in bytes."""
        self.block = min(max(memory >> 8, 1 << 10), csr.BLOCK)

    def blocks(self, columns: list[str], time: str | None = None) -> Iterator[Block]:
        """One block for each batch, cut where it is very long; short ones are joined."""
        with handed_over(self.origin):
            reader, row = self.open(columns), 0
            places = [reader.schema.names.index(name) for name in columns]
            for batch in _joined(reader, places, min(self.block, ROWS)):
                for start in range(0, len(batch), self.block):
                    part = batch.slice(start, self.block)
                    names = zip(columns, part.columns, strict=True)
                    yield Block({name: plain(column) for name, column in names}, row)
                    row += len(part)
        if self.once and not row:
            raise no_rows(self.origin)


def _joined(reader: pa.RecordBatchReader, places: list[int], rows: int) -> Iterator[pa.Table]:
    """Some columns of the batches. Short ones are joined up to this many rows: coding a block takes
    as long as coding a thousand rows."""
    some: list[pa.RecordBatch] = []
    size = 0
    for batch in reader:
        if some and size + len(batch) > rows:
            yield pa.Table.from_batches(some)
            some, size = [], 0
        some.append(batch.select(places))
        size += len(batch)
    if some:
        yield pa.Table.from_batches(some)


class CursorSource:
    """The result of a query whose rows are Python objects."""

    label, rows = "", None
    small = True  # no threads: those of sqlite3 can be read in their own only

    def __init__(self, cursor: Any, origin: str) -> None:
        self.cursor, self.origin = cursor, origin
        self.headers = [("", cursor_columns(cursor))]
        self.block = ROWS

    def limit(self, columns: list[str], memory: int) -> None:
        """As that of `ArrowSource`; objects take more."""
        self.block = min(max(memory >> 12, 1 << 10), ROWS)

    def blocks(self, columns: list[str], time: str | None = None) -> Iterator[Block]:
        """The rows as they are fetched."""
        row = 0
        for block in cursor_rows(self.cursor, self.headers[0][1], columns, self.block):
            yield Block(block, row)
            row += len(block[columns[0]])
        if not row:
            raise no_rows(self.origin)


def no_rows(origin: str) -> DataError:
    """What is wrong with a source that can be read once and gives nothing."""
    return DataError(
        f"{origin} has no rows: its query found none, or they were read before. Execute the query "
        "again, or make the reader anew"
    )


@contextmanager
def handed_over(origin: str) -> Iterator[None]:
    """Makes any error of another library, while it hands its data over, a DataError."""
    try:
        yield
    except RecaeError:
        raise
    except Exception as error:
        raise DataError(
            f"{origin} cannot be read as an Arrow table: {' '.join(str(error).split())}"
        ) from error


def is_table(value: Any) -> bool:
    """Whether `as_source` supports a value."""
    if isinstance(value, pd.Series | pa.ChunkedArray) or type(value).__name__ == "Series":
        return False  # which are Arrow streams too, of one column; polars has a Series as well
    ways = ("__arrow_c_stream__", "__dataframe__", "scanner", "collect_schema")
    return (
        isinstance(value, pd.DataFrame | pa.RecordBatch | pa.RecordBatchReader)
        or _can(value, *ways, some=True)
        or _is_dataset(value)
        or is_cursor(value)
    )


def as_source(value: Any) -> Source:
    """A table as a source of blocks: pandas; polars, Arrow tables, batches, readers and datasets,
    Hugging Face data sets, DuckDB relations, results of queries (see `cursors`), and whatever else
    has the Arrow or the dataframe interchange protocol. A lazy frame of polars is collected. Only
    the columns that are needed are handed over, where the other library can select some.

    Raises DataError for anything else, and where the other library cannot hand its data over.
    """
    if isinstance(value, pd.DataFrame):
        return FrameSource(value)
    if not is_table(value):
        raise DataError(
            "a table is needed (pandas, polars, Arrow, the result of a query, or anything with "
            f"__arrow_c_stream__ or __dataframe__), not {type(value).__name__}{remedy(value)}"
        )
    origin = f"{type(value).__module__}.{type(value).__name__}"
    with handed_over(origin):
        if _is_query(value) and not has_arrow(value):
            return CursorSource(value, origin)
        names, open = _stream(value)
    return ArrowSource(names, open, origin, _is_query(value) or _is_reader(value))


def remedy(value: Any) -> str:
    """What to do with a value that is no table but leads to one, for the end of a message; "" for
    any other."""
    if is_table(value):
        return ""
    if isinstance(value, Mapping):  # such as a DatasetDict
        name, one = next(iter(value.items()), (None, None))
        return f"; pass one of its tables, such as that of {name!r}" if is_table(one) else ""
    if _can(value, "select_columns", "with_format"):
        return (
            "; load the data without streaming, or pass "
            "datasets.Dataset.from_list(list(...)), which reads all of it"
        )
    if _can(value, "execute", "cursor", "execution_options", some=True):
        return "; execute a query, and pass its result"
    return ""


def _can(value: Any, *ways: str, some: bool = False) -> bool:
    """Whether a value has all of some attributes, or one. Its type is asked: a DuckDB relation has
    its columns as attributes."""
    return (any if some else all)(hasattr(type(value), way) for way in ways)


def _is_dataset(value: Any) -> bool:
    """Whether it is a `datasets.Dataset` of Hugging Face, not an `IterableDataset`."""
    ways = ("select_columns", "with_format", "iter", "__len__")
    return _can(value, *ways) and not isinstance(value, Mapping)


def _is_relation(value: Any) -> bool:
    """Whether it is a relation of DuckDB."""
    return _can(value, "__arrow_c_stream__", "project", "columns")


def _is_query(value: Any) -> bool:
    """Whether it is a cursor or a result, and no relation, which older DuckDB gives `fetchmany`."""
    return is_cursor(value) and not _can(value, "__arrow_c_stream__")


def _is_reader(value: Any) -> bool:
    return isinstance(value, pa.RecordBatchReader)


def _stream(value: Any) -> tuple[list[str], Callable[[list[str]], pa.RecordBatchReader]]:
    """The names of the columns, and what opens a stream of some of them."""
    if _can(value, "scanner"):  # a pyarrow.dataset
        return list(value.schema.names), lambda some: value.scanner(columns=some).to_reader()
    if _can(value, "collect_schema"):  # of a lazy frame: only what is needed is computed
        names = list(value.collect_schema().names())
        if hasattr(value, "collect"):
            return names, lambda some: _reader(value.select(some).collect())
        return names, lambda some: _reader(value.select(some))
    if _is_dataset(value):
        return list(value.column_names), lambda some: _rows_of(value.select_columns(some))
    if _is_relation(value):
        names = list(value.columns)
        return names, lambda some: _projected(value, names, some)
    if _is_query(value):
        return cursor_columns(value), lambda some: cursor_reader(value)
    if not _can(value, "__arrow_c_stream__") and _can(value, "__dataframe__"):
        table = value.__dataframe__()
        return list(table.column_names()), lambda some: _imported(table, some)
    reader = _reader(value)
    return list(reader.schema.names), lambda some: reader


def _rows_of(dataset: Any) -> pa.RecordBatchReader:
    """The rows of a `datasets.Dataset` in its own order, which is that of a filter or shuffle (and
    then each row is a chunk of its own)."""
    tables = dataset.with_format("arrow").iter(csr.BLOCK)
    batches = (batch for table in tables for batch in table.combine_chunks().to_batches())
    return pa.RecordBatchReader.from_batches(dataset.features.arrow_schema, batches)


def _projected(relation: Any, names: list[str], some: list[str]) -> pa.RecordBatchReader:
    """The rows of a DuckDB relation, as a new one: of an old one rows may have been fetched.

    Where names differ in case alone, SQL takes them for one and renames the others: then all
    columns are read, and known by their place.
    """
    if len({name.casefold() for name in names}) == len(names):
        quoted = (name.replace('"', '""') for name in some)
        return _reader(relation.project(", ".join(f'"{name}"' for name in quoted)))
    rows = _reader(relation.project("*"))
    pairs = zip(names, rows.schema.types, strict=True)
    batches = (pa.RecordBatch.from_arrays(batch.columns, names) for batch in rows)
    return pa.RecordBatchReader.from_batches(pa.schema(list(pairs)), batches)


def _reader(value: Any) -> pa.RecordBatchReader:
    if isinstance(value, pa.RecordBatchReader):
        return value
    if isinstance(value, pa.RecordBatch):
        return pa.Table.from_batches([value]).to_reader()
    if not _can(value, "__arrow_c_stream__") and hasattr(value, "to_arrow"):  # polars before 1.3
        return value.to_arrow().to_reader()
    return pa.RecordBatchReader.from_stream(value)


def _imported(table: Any, columns: list[str]) -> pa.RecordBatchReader:
    """Some columns of a table of the interchange protocol."""
    from pyarrow.interchange import from_dataframe

    return from_dataframe(table.select_columns_by_name(columns)).to_reader()


def frame_of(source: Source, columns: list[str] | None = None) -> pd.DataFrame:
    """Some columns of a source, or all, as one frame. Raises DataError if it has no rows."""
    names = source.headers[0][1] if columns is None else columns
    blocks = [
        pd.DataFrame({name: pd.Series(for_pandas(block.columns[name])) for name in names})
        for block in source.blocks(names)
    ]
    if not any(map(len, blocks)):
        raise DataError(f"{source.label}the table has no rows")
    return pd.concat(blocks, ignore_index=True)


def read_frame(file: Any) -> pd.DataFrame:
    """The columns of a small Parquet file (a path or a file object) as a frame.

    Column by column: pyarrow's conversion of whole tables changes the warning filters of the
    process for a moment, and for good when two threads do it at once.
    """
    table = pq.read_table(file)
    return pd.DataFrame({name: table[name].to_pandas() for name in table.column_names})
