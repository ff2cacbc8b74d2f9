"""Reads interactions from Parquet or text files in blocks; only the needed columns are read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from recae.data import csr
from recae.data.idmap import IdMap
from recae.data.interactions import Interactions
from recae.data.tables.columns import (
    DEFAULT_TIME,
    DEFAULT_WEIGHT,
    DUPLICATES,
    Columns,
    needed_columns,
)
from recae.data.tables.entries import read_entries
from recae.data.tables.files import (
    PARQUET,
    TEXT,
    ParquetSource,
    Paths,
    TextSource,
    file_source,
    find_files,
)
from recae.data.tables.sources import Source, as_source, frame_of
from recae.errors import ConfigError, check_option, explained


@explained
def read_parquet(
    path: Paths,
    *,
    user: str = "user_id",
    item: str = "item_id",
    weight: str | None = DEFAULT_WEIGHT,
    time: str | None = DEFAULT_TIME,
    duplicates: str = "last",
    min_weight: float | None = None,
    on_bad_rows: str = "error",
    progress: bool | None = None,
) -> Interactions:
    """Interactions of Parquet files; the other arguments are those of `Interactions.from_frame`.

    path: a file, a folder (every .parquet and .pq below it, by name), a glob such as
    "plays/2026-*.parquet", or a list of them. Rows follow each other in the order of the files.
    Memory: about 3.5 times the result (a row takes 8 bytes, 16 with times), however many rows.

    Raises DataError naming the file: it is missing, damaged or cut short, its columns are not
    usable, or its ids are text where those of another file are integers.

    >>> plays = pd.DataFrame({"user_id": [1, 1], "item_id": [7, 8]})
    >>> plays.to_parquet("plays.parquet")
    >>> recae.read_parquet("plays.parquet").nnz
    2
    """
    check_option("duplicates", duplicates, DUPLICATES)
    source, columns = ParquetSource(find_files(path, PARQUET)), (user, item, weight, time)
    return _interactions(source, columns, duplicates, min_weight, on_bad_rows, progress)


@explained
def read_csv(
    path: Paths,
    *,
    user: str = "user_id",
    item: str = "item_id",
    weight: str | None = DEFAULT_WEIGHT,
    time: str | None = DEFAULT_TIME,
    duplicates: str = "last",
    min_weight: float | None = None,
    sep: str = ",",
    on_bad_rows: str = "error",
    progress: bool | None = None,
) -> Interactions:
    """Interactions of text files with a header line each; compressed if the name ends in .gz.

    path: a file, a folder (every .csv and .tsv below it, also with .gz), a glob, or a list of them.
    The other arguments are those of `Interactions.from_frame`. Types are those of whole columns:
    integers (so 007 is 7), else floats, else text; times may also be ISO dates. Only an empty field
    is missing, so an id may be "NA". The files are read twice, first for the types; memory is as in
    `read_parquet`.

    Raises DataError naming the file, as `read_parquet`, also where a line has more or fewer fields
    than the header; ConfigError if `sep` is not one character.

    >>> plays = pd.DataFrame({"user_id": [1, 1], "item_id": [7, 8]})
    >>> plays.to_csv("plays.csv", index=False)
    >>> recae.read_csv("plays.csv").nnz
    2
    """
    if len(sep) != 1:
        raise ConfigError(f"sep must be one character, not {sep!r}", parameter="sep", value=sep)
    check_option("duplicates", duplicates, DUPLICATES)
    source, columns = TextSource(find_files(path, TEXT), progress, sep), (user, item, weight, time)
    return _interactions(source, columns, duplicates, min_weight, on_bad_rows, progress)


@explained
def read_table(
    path: Paths,
    *,
    user: str = "user_id",
    item: str = "item_id",
    weight: str | None = DEFAULT_WEIGHT,
    time: str | None = DEFAULT_TIME,
    duplicates: str = "last",
    min_weight: float | None = None,
    on_bad_rows: str = "error",
    progress: bool | None = None,
) -> Interactions:
    """`read_parquet` for .parquet and .pq, `read_csv` for .csv and .tsv (also with .gz).

    path: as there; the ending of the names decides (`recae.data.tables.files.READERS`).
    Raises DataError for any other name, and for files of several formats.

    >>> plays = pd.DataFrame({"user_id": [1, 1], "item_id": [7, 8]})
    >>> plays.to_csv("plays.tsv", index=False, sep="\\t")
    >>> recae.read_table("plays.tsv").nnz
    2
    """
    check_option("duplicates", duplicates, DUPLICATES)
    source, columns = file_source(path, progress), (user, item, weight, time)
    return _interactions(source, columns, duplicates, min_weight, on_bad_rows, progress)


def _interactions(
    source: Source,
    columns: Columns,
    duplicates: str,
    min_weight: float | None,
    on_bad_rows: str,
    progress: bool | None,
) -> Interactions:
    entries = read_entries(
        source, columns, duplicates, min_weight, progress, on_bad_rows=on_bad_rows
    )
    return Interactions._owning(*entries)


def read_columns(given: Any, user: str, item: str, others: tuple[str, ...]) -> pd.DataFrame:
    """The columns of users and items, and those of `others` that there are, as a frame.

    given: a table (pandas, polars, Arrow), or a path, folder, glob or list of files in Parquet or
    text. Raises DataError for anything else, for files that cannot be read, and where one of the
    first two columns is absent.
    """
    source = _source(given)
    needed_columns(source.headers, (user, item, None, None))
    present = source.headers[0][1]
    return frame_of(source, [user, item, *(name for name in others if name in present)])


def read_whole_table(given: Any) -> pd.DataFrame:
    """All columns of what `read_columns` takes, as a frame; a pandas frame as it is.

    Raises DataError for anything else and for a file that cannot be read.
    """
    return given if isinstance(given, pd.DataFrame) else frame_of(_source(given))


def _source(given: Any) -> Source:
    is_path = isinstance(given, str | os.PathLike | list | tuple)
    return file_source(given) if is_path else as_source(given)


COLUMNS: Columns = ("user_id", "item_id", DEFAULT_WEIGHT, DEFAULT_TIME)


def write_interactions(data: Interactions, path: Path) -> None:
    """Writes the rows of `data.to_frame()` to a Parquet file, a row group for each block."""
    users, items = pa.array(data.users.ids), pa.array(data.items.ids)
    schema = {"user_id": users.type, "item_id": items.type, DEFAULT_WEIGHT: pa.float32()}
    if data.times is not None:
        schema[DEFAULT_TIME] = pa.int64()
    matrix, indptr = data.matrix, data.matrix.indptr
    with pq.ParquetWriter(path, pa.schema(schema), compression="zstd") as writer:
        for rows in csr.row_blocks(indptr):
            entries = slice(indptr[rows.start], indptr[rows.stop])
            lengths = np.diff(indptr[rows.start : rows.stop + 1])
            user_codes = np.repeat(np.arange(rows.start, rows.stop), lengths)
            columns = [
                users.take(pa.array(user_codes)),
                items.take(pa.array(matrix.indices[entries])),
                pa.array(matrix.data[entries]),
            ]
            if data.times is not None:
                columns.append(pa.array(data.times[entries]))
            writer.write_table(pa.Table.from_arrays(columns, schema=writer.schema))


def read_interactions(path: Path, users: IdMap, items: IdMap) -> Interactions:
    """Reads a file of `write_interactions`, with these ids. Raises DataError for any other file."""
    entries = read_entries(ParquetSource([path]), COLUMNS, "error", None, False, users, items)
    return Interactions._owning(*entries)
