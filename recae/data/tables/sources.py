"""Reads in-memory tables of any data-frame library as blocks of columns."""

from __future__ import annotations

import uuid
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
from recae.data.tables.columns import Headers
from recae.data.tables.faults import Fault
from recae.errors import DataError


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
            raise error if self.file is None else DataError(f"{self.file}: {error}") from None


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
    """A pandas frame, as one block."""

    label = ""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame, self.rows = frame, len(frame)
        self.headers = [("", [str(name) for name in frame.columns])]

    def blocks(self, columns: list[str], time: str | None = None) -> Iterator[Block]:
        """The frame."""
        yield Block({name: self.frame[name] for name in columns})


class ArrowSource:
    """An Arrow stream; `open` gives it, with some of its columns or with all."""

    label = ""

    def __init__(self, names: list[str], open: Callable[[list[str]], pa.RecordBatchReader]) -> None:
        self.headers, self.open, self.rows = [("", names)], open, None

    def blocks(self, columns: list[str], time: str | None = None) -> Iterator[Block]:
        """One block for each batch, cut where it is very long."""
        reader, row = self.open(columns), 0
        places = {name: reader.schema.names.index(name) for name in columns}
        for batch in reader:
            for start in range(0, len(batch), csr.BLOCK):
                part = batch.slice(start, csr.BLOCK)
                yield Block({name: plain(part.column(at)) for name, at in places.items()}, row)
                row += len(part)


def is_table(value: Any) -> bool:
    """Whether `as_source` supports a value."""
    if isinstance(value, pd.Series):  # which is an Arrow stream too, of one column
        return False
    return isinstance(value, pd.DataFrame | pa.RecordBatch | pa.RecordBatchReader) or any(
        hasattr(value, way) for way in ("__arrow_c_stream__", "__dataframe__", "scanner")
    )


def as_source(value: Any) -> Source:
    """A table as a source of blocks: pandas; polars, Arrow tables, batches, readers and datasets,
    and whatever else has the Arrow or the dataframe interchange protocol.

    Raises DataError for anything else, and where the other library cannot hand its data over.
    """
    if isinstance(value, pd.DataFrame):
        return FrameSource(value)
    if not is_table(value):
        lazy = "; call its collect() first" if hasattr(value, "collect") else ""
        raise DataError(
            "a table is needed (pandas, polars, Arrow, or anything with __arrow_c_stream__ or "
            f"__dataframe__), not {type(value).__name__}{lazy}"
        )
    try:
        if hasattr(value, "scanner"):  # a pyarrow.dataset: only some of it is read
            return ArrowSource(
                list(value.schema.names), lambda some: value.scanner(columns=some).to_reader()
            )
        reader = _reader(value)
    except (pa.ArrowException, TypeError, ValueError, RuntimeError, NotImplementedError) as error:
        raise DataError(
            f"{type(value).__module__}.{type(value).__name__} cannot be read as an Arrow table: "
            f"{' '.join(str(error).split())}"
        ) from error
    return ArrowSource(list(reader.schema.names), lambda some: reader)


def plain(column: pa.Array) -> pa.Array:
    """The column in a plain type: of a UUID the 16 bytes, of a decimal a float, no views."""
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if str(column.type) == "string_view":
        column = column.cast(pa.large_string())
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    return column


def for_pandas(column: Any) -> Any:
    """Arrow columns as pandas ones; 16 bytes are taken for a UUID."""
    if not isinstance(column, pa.Array):
        return column
    if str(column.type) == "fixed_size_binary[16]":
        ids = [None if value is None else uuid.UUID(bytes=value) for value in column.to_pylist()]
        return pd.Series(ids, dtype=object)
    return column.to_pandas()


def _reader(value: Any) -> pa.RecordBatchReader:
    if isinstance(value, pa.RecordBatchReader):
        return value
    if isinstance(value, pa.RecordBatch):
        return pa.Table.from_batches([value]).to_reader()
    if hasattr(value, "__arrow_c_stream__"):
        return pa.RecordBatchReader.from_stream(value)
    from pyarrow.interchange import from_dataframe

    return from_dataframe(value).to_reader()


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
