"""Reads interactions from Parquet or text files in blocks; only the needed columns are read."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from recae.data import csr
from recae.data.idmap import IdMap
from recae.data.interactions import Interactions
from recae.data.stored.folder import as_stored, merged_by, open_data
from recae.data.stored.sources import COLUMNS, InteractionsSource
from recae.data.tables.columns import (
    DEFAULT_TIME,
    DEFAULT_WEIGHT,
    DUPLICATES,
    Columns,
    needed_columns,
)
from recae.data.tables.dialect import TextFormat
from recae.data.tables.entries import read_entries
from recae.data.tables.faults import BAD_ROWS
from recae.data.tables.files import (
    PARQUET,
    ParquetSource,
    file_source,
    is_path,
    text_source,
)
from recae.data.tables.paths import Paths, find_files
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
    checked_options(duplicates, on_bad_rows)
    columns = (user, item, weight, time)
    if (stored := as_stored(path)) is not None:
        return _as_read(stored, columns, duplicates, min_weight)
    source = ParquetSource(find_files(path, PARQUET))
    return _interactions(source, columns, duplicates, min_weight, on_bad_rows, progress)


@explained
def read_csv(
    path: Paths | Any,
    *,
    user: str | int = "user_id",
    item: str | int = "item_id",
    weight: str | int | None = DEFAULT_WEIGHT,
    time: str | int | None = DEFAULT_TIME,
    duplicates: str = "last",
    min_weight: float | None = None,
    on_bad_rows: str = "error",
    sep: str | None = None,
    quoting: bool = True,
    decimal: str | None = None,
    encoding: str | None = None,
    header: bool = True,
    ids: str | tuple[str, str] = "auto",
    time_format: str | None = None,
    progress: bool | None = None,
) -> Interactions:
    """Interactions of text files: CSV, TSV, RecBole's .inter, MovieLens' .dat and the like.

    path: a file of any name (also compressed by gzip), a folder (every .csv, .tsv and .inter below
    it, also with .gz), a glob, a list of them, "-" for standard input, or an open file. Folders
    such as `date=2026-01-01` are columns too. The first arguments are those of
    `Interactions.from_frame`.

    sep: the separator, one character or several; None finds it among comma, semicolon, tab, "|" and
    "::", and asks where several fit. quoting: whether fields may be quoted by "; off where quotes
    are part of the text. decimal: "." or ","; None takes a comma if weights such as 7,5 have one
    and none has a point. encoding: that of the file, by default UTF-8, or UTF-16 with a byte order
    mark. header: False for files without a header line, whose columns are 0, 1, 2 ... ids: "auto"
    (integers, so 007 is 7, or text where a field is no integer), "text", "integer", or two of them
    for users and items. time_format: that of times, as in "%d.%m.%Y %H:%M"; None reads whole
    numbers, ISO dates, and dates of a usual format if it is the only one that all fields fit: days
    first and months first are told apart by a day above 12. Times without a zone are UTC.

    An empty field is missing, and nothing else, so an id may be "NA". Where most ids are integers,
    `on_bad_rows="drop"` drops the others; else they make all of them text, and a few of them a
    warning. Large files are read twice, first for the types; memory is as in `read_parquet`.

    Raises one DataError for all bad rows, with file, line, the first value and the count: a line
    with more or fewer fields than the header, a repeated header, a quote that is not closed, a NUL
    byte, other bytes than the encoding's, a bad id, weight or time. ConfigError for an argument
    that cannot be meant.

    >>> plays = pd.DataFrame({"user_id": [1, 1], "item_id": [7, 8]})
    >>> plays.to_csv("plays.csv", index=False, sep=";")
    >>> recae.read_csv("plays.csv").nnz
    2
    """
    form = TextFormat(sep, quoting, decimal, encoding, header, ids, time_format)
    columns = named_columns(user, item, weight, time)
    drop = checked_options(duplicates, on_bad_rows)
    if (stored := as_stored(path)) is not None:
        return _as_read(stored, columns, duplicates, min_weight)
    source = text_source(path, progress, form, columns, drop=drop)
    return _interactions(source, columns, duplicates, min_weight, on_bad_rows, progress)


@explained
def read_table(
    path: Paths | Any,
    *,
    user: str | int = "user_id",
    item: str | int = "item_id",
    weight: str | int | None = DEFAULT_WEIGHT,
    time: str | int | None = DEFAULT_TIME,
    duplicates: str = "last",
    min_weight: float | None = None,
    on_bad_rows: str = "error",
    sep: str | None = None,
    quoting: bool = True,
    decimal: str | None = None,
    encoding: str | None = None,
    header: bool = True,
    ids: str | tuple[str, str] = "auto",
    time_format: str | None = None,
    progress: bool | None = None,
) -> Interactions:
    """`read_parquet` for .parquet and .pq, `read_csv` for .csv, .tsv, .txt, .dat and .inter.

    path: as there; the ending of the names decides, in any case of letters, also with .gz. Standard
    input ("-") and open files are text. The arguments from `sep` on are those of `read_csv`, and
    have no meaning for Parquet. Raises DataError for any other name, and for files of several
    formats.

    >>> plays = pd.DataFrame({"user_id": [1, 1], "item_id": [7, 8]})
    >>> plays.to_csv("plays.tsv", index=False, sep="\\t")
    >>> recae.read_table("plays.tsv").nnz
    2
    """
    form = TextFormat(sep, quoting, decimal, encoding, header, ids, time_format)
    columns = named_columns(user, item, weight, time)
    drop = checked_options(duplicates, on_bad_rows)
    if (stored := as_stored(path)) is not None:
        return _as_read(stored, columns, duplicates, min_weight)
    source = file_source(path, progress, form, columns, drop=drop)
    return _interactions(source, columns, duplicates, min_weight, on_bad_rows, progress)


def named_columns(user: Any, item: Any, weight: Any, time: Any) -> Columns:
    """The names of columns as text; those of a file without a header are numbers."""
    texts = [
        str(name) if isinstance(name, int | np.integer) and not isinstance(name, bool) else name
        for name in (user, item, weight, time)
    ]
    for role, name in zip(("user", "item", "weight", "time"), texts, strict=True):
        if not isinstance(name, str) and (name is not None or role in ("user", "item")):
            raise ConfigError(
                f"{role} must be the name of a column, or its number in a file without a header, "
                f"not {name!r}",
                parameter=role,
                value=name,
            )
    return texts[0], texts[1], texts[2], texts[3]


def checked_options(duplicates: str, on_bad_rows: str) -> bool:
    """Checks two options before any file is opened; whether bad rows are dropped."""
    check_option("duplicates", duplicates, DUPLICATES)
    check_option("on_bad_rows", on_bad_rows, BAD_ROWS)
    return on_bad_rows == "drop"


def _as_read(
    folder: str | os.PathLike[str],
    columns: Columns,
    duplicates: str,
    min_weight: float | None,
) -> Interactions:
    """The interactions of a data folder as a reader returns them.

    What says how files are written has no meaning. Raises ConfigError where repeated rows were
    merged in another way than asked for.
    """
    merged_by(folder, duplicates)
    data = open_data(folder)
    if columns[3] is None and data.times is not None:
        matrix = data.matrix
        parts = matrix.data, matrix.indices, matrix.indptr
        data = Interactions._owning(data.users, data.items, *parts, None)
    if min_weight is not None:
        data = data.filter(min_weight=min_weight)
    return data if columns[2] is not None else data.binarised()


def _interactions(
    source: Source,
    columns: Columns,
    duplicates: str,
    min_weight: float | None,
    on_bad_rows: str,
    progress: bool | None,
) -> Interactions:
    """The interactions of a source, whose arrays are taken over without a copy."""
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


def read_whole_table(
    given: Any, texts: Collection[str] = (), encoding: str | None = None
) -> pd.DataFrame:
    """All columns of what `read_columns` takes, as a frame; a pandas frame as it is.

    texts: the columns of a text file that are text in any case, such as ids like 007. encoding: of
    a text file, as in `read_csv`.
    Raises DataError for anything else and for a file that cannot be read.
    """
    return given if isinstance(given, pd.DataFrame) else frame_of(_source(given, texts, encoding))


def _source(given: Any, texts: Collection[str] = (), encoding: str | None = None) -> Source:
    if (stored := as_stored(given)) is not None:
        return InteractionsSource(open_data(stored), f"{stored}: ")
    if not is_path(given):
        return as_source(given)
    return file_source(given, form=TextFormat(encoding=encoding), texts=texts)


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
