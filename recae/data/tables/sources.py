"""Tables in memory, whichever library made them, as blocks of columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from recae.data.tables.entries import BLOCK_ROWS, Block, Source
from recae.errors import DataError


class FrameSource:
    """A pandas frame, as one block."""

    label = ""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame, self.rows = frame, len(frame)
        self.names = [str(name) for name in frame.columns]

    def blocks(self, columns: list[str]) -> Iterator[Block]:
        """The frame."""
        yield Block({name: self.frame[name] for name in columns})


class ArrowSource:
    """An Arrow stream; `open` gives it, with some of its columns or with all."""

    label = ""

    def __init__(self, names: list[str], open: Callable[[list[str]], pa.RecordBatchReader]) -> None:
        self.names, self.open, self.rows = names, open, None

    def blocks(self, columns: list[str]) -> Iterator[Block]:
        """One block for each batch, cut where it is very long."""
        reader, row = self.open(columns), 0
        places = {name: reader.schema.names.index(name) for name in columns}
        for batch in reader:
            for start in range(0, len(batch), BLOCK_ROWS):
                part = batch.slice(start, BLOCK_ROWS)
                yield Block({name: plain(part.column(at)) for name, at in places.items()}, row)
                row += len(part)


def is_table(value: Any) -> bool:
    """Whether `as_source` knows what to do with a value."""
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


def _reader(value: Any) -> pa.RecordBatchReader:
    if isinstance(value, pa.RecordBatchReader):
        return value
    if isinstance(value, pa.RecordBatch):
        return pa.Table.from_batches([value]).to_reader()
    if hasattr(value, "__arrow_c_stream__"):
        return pa.RecordBatchReader.from_stream(value)
    from pyarrow.interchange import from_dataframe

    return from_dataframe(value).to_reader()


def read_frame(file: Any) -> pd.DataFrame:
    """The columns of a small Parquet file (a path or a file object) as a frame.

    Column by column: pyarrow's conversion of whole tables changes the warning filters of the
    process for a moment, and for good when two threads do it at once.
    """
    table = pq.read_table(file)
    return pd.DataFrame({name: table[name].to_pandas() for name in table.column_names})
