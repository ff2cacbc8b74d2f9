"""Interactions straight from Parquet or text files; only the needed columns are read, in blocks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from recae.data import csr
from recae.data.idmap import IdMap
from recae.data.interactions import Interactions
from recae.data.tables import table
from recae.data.tables.encode import for_pandas
from recae.data.tables.entries import BLOCK_ROWS, Block, Source
from recae.data.tables.paths import PARQUET, TEXT, Paths, ending, file_errors, find_files, label
from recae.data.tables.sources import as_source, is_table, plain, read_frame
from recae.data.tables.table import DEFAULT_TIME, DEFAULT_WEIGHT, Columns
from recae.data.tables.text import TextSource
from recae.errors import ConfigError, DataError


def read_parquet(
    path: Paths,
    *,
    user: str = "user_id",
    item: str = "item_id",
    weight: str | None = table.DEFAULT_WEIGHT,
    time: str | None = table.DEFAULT_TIME,
    duplicates: str = "last",
    min_weight: float | None = None,
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
    columns = (user, item, weight, time)
    table.check_duplicates(duplicates)
    source = ParquetSource(find_files(path, PARQUET), columns)
    return Interactions._from_source(source, source.used, duplicates, min_weight, progress)


def read_csv(
    path: Paths,
    *,
    user: str = "user_id",
    item: str = "item_id",
    weight: str | None = table.DEFAULT_WEIGHT,
    time: str | None = table.DEFAULT_TIME,
    duplicates: str = "last",
    min_weight: float | None = None,
    sep: str = ",",
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
        raise ConfigError(f"sep must be one character, not {sep!r}")
    table.check_duplicates(duplicates)
    source = TextSource(find_files(path, TEXT), (user, item, weight, time), sep, progress)
    return Interactions._from_source(source, source.used, duplicates, min_weight, progress)


def read_table(
    path: Paths,
    *,
    user: str = "user_id",
    item: str = "item_id",
    weight: str | None = table.DEFAULT_WEIGHT,
    time: str | None = table.DEFAULT_TIME,
    duplicates: str = "last",
    min_weight: float | None = None,
    progress: bool | None = None,
) -> Interactions:
    """`read_parquet` for .parquet and .pq, `read_csv` for .csv and .tsv (also with .gz).

    Raises DataError for any other name, and for files of several formats.

    >>> plays = pd.DataFrame({"user_id": [1, 1], "item_id": [7, 8]})
    >>> plays.to_csv("plays.tsv", index=False, sep="\\t")
    >>> recae.read_table("plays.tsv").nnz
    2
    """
    files = find_files(path, PARQUET + TEXT)
    formats = {"parquet" if ending(f) in PARQUET else ending(f).removesuffix(".gz") for f in files}
    unknown = [file for file in files if ending(file) not in PARQUET + TEXT]
    if unknown:
        known = ", ".join(PARQUET + TEXT)
        raise DataError(
            f"{unknown[0]}: cannot tell the format from the name; known endings: {known}"
        )
    if len(formats) > 1:
        raise DataError(
            f"{path} holds files of several formats ({', '.join(sorted(formats))}); name those of "
            'one, with a glob such as "folder/*.csv"'
        )
    options = {
        "user": user,
        "item": item,
        "weight": weight,
        "time": time,
        "duplicates": duplicates,
        "min_weight": min_weight,
        "progress": progress,
    }
    if formats == {"parquet"}:
        return read_parquet(files, **options)  # type: ignore[arg-type]
    sep = "," if formats == {".csv"} else "\t"
    return read_csv(files, sep=sep, **options)  # type: ignore[arg-type]


class ParquetSource:
    """Parquet files, one after the other, a block of rows at a time."""

    def __init__(self, files: list[Path], columns: table.Columns) -> None:
        self.files, self.label, self.rows = files, label(files), 0
        self.names: list[str] = []
        self.used = columns
        for number, file in enumerate(files):
            with file_errors(file), pq.ParquetFile(file) as parquet:
                self.rows += parquet.metadata.num_rows
                names = list(parquet.schema_arrow.names)
                used = table.needed_columns(names, columns)
                self.names, self.used = (names, used) if not number else (self.names, self.used)
                table.check_same_columns(used, self.used)

    def blocks(self, columns: list[str]) -> Iterator[Block]:
        """Blocks within a file; rows are counted from 0 in each."""
        for file in self.files:
            row = 0
            with file_errors(file), pq.ParquetFile(file) as parquet:
                # Group by group: over all of them it keeps what it has read until the end.
                for group in range(parquet.num_row_groups):
                    batches = parquet.iter_batches(BLOCK_ROWS, row_groups=[group], columns=columns)
                    for batch in batches:
                        some = {name: plain(batch.column(name)) for name in columns}
                        yield Block(some, row, str(file))
                        row += len(batch)


def read_columns(given: Any, user: str, item: str, others: tuple[str, ...]) -> pd.DataFrame:
    """The columns of users and items, and those of `others` that there are, as a frame.

    given: a table (pandas, polars, Arrow), or a path, folder, glob or list of files in Parquet or
    text. Raises DataError for anything else, for files that cannot be read, and where one of the
    first two columns is absent.
    """
    source = _source(given, (user, item, None, None))
    table.needed_columns(source.names, (user, item, None, None))
    names = [user, item, *(name for name in others if name in source.names)]
    parts: dict[str, list[Any]] = {name: [] for name in names}
    for block in source.blocks(names):
        for name in names:
            parts[name].append(pd.Series(for_pandas(block.columns[name])))
    if not any(len(part) for part in parts[user]):
        raise DataError(f"{source.label}the table has no rows")
    return pd.DataFrame({name: pd.concat(some, ignore_index=True) for name, some in parts.items()})


def read_whole_table(given: Any) -> pd.DataFrame:
    """A table (pandas, polars, Arrow), or a small file in Parquet or text, as a frame.

    Raises DataError for anything else and for a file that cannot be read.
    """
    if isinstance(given, pd.DataFrame):
        return given
    if isinstance(given, str | os.PathLike):
        with file_errors(given) as file:
            if ending(file) in PARQUET:
                return read_frame(file)
            return pd.read_csv(file, sep="\t" if ".tsv" in ending(file) else ",")
    source = as_source(given)
    blocks = [
        pd.DataFrame({name: for_pandas(block.columns[name]) for name in source.names})
        for block in source.blocks(source.names)
    ]
    return pd.concat(blocks, ignore_index=True)


def _source(given: Any, columns: table.Columns) -> Source:
    if is_table(given) or not isinstance(given, str | os.PathLike | list | tuple):
        return as_source(given)
    files = find_files(given, PARQUET + TEXT)
    endings = {_format(file) for file in files}
    if endings == {"parquet"}:
        return ParquetSource(files, columns)
    if len(endings) > 1 or None in endings:
        raise DataError(
            f"{given} must be files of one format, with names that end in "
            f"{', '.join(PARQUET + TEXT)}"
        )
    return TextSource(files, columns, "," if endings == {".csv"} else "\t", progress=False)


def _format(file: Path) -> str | None:
    end = ending(file)
    return "parquet" if end in PARQUET else end.removesuffix(".gz") if end in TEXT else None


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
    """What `write_interactions` wrote, with these ids. Raises DataError for any other file."""
    source = ParquetSource([path], COLUMNS)
    return Interactions._from_source(source, source.used, "error", None, False, users, items)
