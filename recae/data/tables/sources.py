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
    """An Arrow stream; `open` gives it, with some of its columns or with all."""

    label = ""

    def __init__(
        self, names: list[str], open: Callable[[list[str]], pa.RecordBatchReader], origin: str
    ) -> None:
        self.headers, self.open, self.origin, self.rows = [("", names)], open, origin, None
        self.block = csr.BLOCK

    def limit(self, columns: list[str], memory: int) -> None:
        """Makes the blocks so small that coding them takes about this memory, in bytes."""
        self.block = min(max(memory >> 8, 1 << 10), csr.BLOCK)

    def blocks(self, columns: list[str], time: str | None = None) -> Iterator[Block]:
        """One block for each batch, cut where it is very long."""
        with handed_over(self.origin):
            reader, row = self.open(columns), 0
            places = {name: reader.schema.names.index(name) for name in columns}
            for batch in reader:
                for start in range(0, len(batch), self.block):
                    part = batch.slice(start, self.block)
                    yield Block({name: plain(part.column(at)) for name, at in places.items()}, row)
                    row += len(part)


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
    return isinstance(value, pd.DataFrame | pa.RecordBatch | pa.RecordBatchReader) or any(
        hasattr(value, way) for way in ways
    )


def as_source(value: Any) -> Source:
    """A table as a source of blocks: pandas; polars, Arrow tables, batches, readers and datasets,
    and whatever else has the Arrow or the dataframe interchange protocol. A lazy frame of polars
    is collected. Only the columns that are needed are handed over, where the other library can
    select some.

    Raises DataError for anything else, and where the other library cannot hand its data over.
    """
    if isinstance(value, pd.DataFrame):
        return FrameSource(value)
    if not is_table(value):
        raise DataError(
            "a table is needed (pandas, polars, Arrow, or anything with __arrow_c_stream__ or "
            f"__dataframe__), not {type(value).__name__}"
        )
    origin = f"{type(value).__module__}.{type(value).__name__}"
    with handed_over(origin):
        names, open = _stream(value)
    return ArrowSource(names, open, origin)


def _stream(value: Any) -> tuple[list[str], Callable[[list[str]], pa.RecordBatchReader]]:
    """The names of the columns, and what opens a stream of some of them."""
    if hasattr(value, "scanner"):  # a pyarrow.dataset
        return list(value.schema.names), lambda some: value.scanner(columns=some).to_reader()
    if hasattr(value, "collect_schema"):  # of a lazy frame: only what is needed is computed
        names = list(value.collect_schema().names())
        if hasattr(value, "collect"):
            return names, lambda some: _reader(value.select(some).collect())
        return names, lambda some: _reader(value.select(some))
    if not hasattr(value, "__arrow_c_stream__") and hasattr(value, "__dataframe__"):
        table = value.__dataframe__()
        return list(table.column_names()), lambda some: _imported(table, some)
    reader = _reader(value)
    return list(reader.schema.names), lambda some: reader


def _reader(value: Any) -> pa.RecordBatchReader:
    if isinstance(value, pa.RecordBatchReader):
        return value
    if isinstance(value, pa.RecordBatch):
        return pa.Table.from_batches([value]).to_reader()
    if not hasattr(value, "__arrow_c_stream__") and hasattr(value, "to_arrow"):  # polars before 1.3
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
