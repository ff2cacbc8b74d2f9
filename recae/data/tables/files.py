"""Chooses the reader of a file by its ending, and reads Parquet in blocks of rows."""

from __future__ import annotations

import os
from collections.abc import Collection, Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from recae.data.csr import BLOCK
from recae.data.tables.arrays import plain, row_bytes
from recae.data.tables.columns import Columns, Headers
from recae.data.tables.dialect import TextFormat
from recae.data.tables.paths import (
    Paths,
    ending,
    file_errors,
    find_files,
    is_stream,
    label,
    partitions,
)
from recae.data.tables.sources import Block, Source
from recae.data.tables.text import TextSource
from recae.data.tables.typed import constant
from recae.errors import DataError

PARQUET = (".parquet", ".pq")
TEXT = (".csv", ".tsv", ".inter", ".txt", ".dat")
TEXTS = (*TEXT, *(f"{name}.gz" for name in TEXT))
READERS = (*PARQUET, *TEXTS)
"""The endings of names that have a reader."""

SPREADSHEETS = (".xlsx", ".xls", ".ods")

IN_FOLDERS = tuple(name for name in READERS if name.partition(".gz")[0] not in (".txt", ".dat"))
"""Those that a folder stands for: notes beside a table end in .txt too."""

READ_AHEAD = 1 << 20
"""Bytes of a column of a Parquet file that are read at a time: without this, all of a row group."""


ROW_BYTES, COPIES = 200, 8
"""Bytes of memory of a row of a block while it is coded, and of how often what the file holds of it
is in memory: three blocks that are read ahead, and Python objects of text."""


class ParquetSource:
    """Parquet files, one after the other, a block of rows at a time.

    Folders such as `date=2026-01-01` are columns too.
    """

    block = BLOCK
    """Rows of a block, at most."""

    def __init__(self, files: list[Path], progress: bool | None = None) -> None:
        self.files, self.label, self.rows = files, label(files), 0
        self.headers: Headers = []
        for file in files:
            with file_errors(file), pq.ParquetFile(file) as parquet:
                self.rows += parquet.metadata.num_rows
                names = list(parquet.schema_arrow.names)
            more = [name for name in partitions(file) if name not in names]
            self.headers.append((f"{file}: ", names + more))

    def limit(self, columns: list[str], memory: int) -> None:
        """Makes the blocks so small that reading them takes about this memory, in bytes, if later
        rows are as wide as the first ones."""
        block, self.block = self.block, 1 << 10
        with closing(self.blocks(columns)) as blocks:
            first = next(blocks, None)
        width = 0 if first is None else sum(map(row_bytes, first.columns.values()))
        self.block = int(np.clip(memory // (ROW_BYTES + COPIES * width), 1 << 10, block))

    def blocks(self, columns: list[str], time: str | None = None) -> Generator[Block]:
        """Blocks within a file; rows are counted from 0 in each."""
        given = [partitions(file) for file in self.files]
        for file, values in zip(self.files, given, strict=True):
            row = 0
            with file_errors(file), pq.ParquetFile(file, buffer_size=READ_AHEAD) as parquet:
                own = [name for name in columns if name in parquet.schema_arrow.names]
                # Group by group: over all of them it keeps what it has read until the end.
                for group in range(parquet.num_row_groups):
                    for batch in parquet.iter_batches(self.block, row_groups=[group], columns=own):
                        some: dict[str, Any] = {name: plain(batch.column(name)) for name in own}
                        for name in columns:
                            if name not in some:
                                every = [other.get(name) for other in given]
                                some[name] = constant(
                                    values[name], every, len(batch), dates=name == time
                                )
                        yield Block(some, row, str(file))
                        row += len(batch)


def file_source(
    paths: Paths,
    progress: bool | None = None,
    form: TextFormat | None = None,
    columns: Columns | None = None,
    *,
    drop: bool = False,
    texts: Collection[str] = (),
) -> Source:
    """The files of a path, folder, glob or list as one source.

    form, columns, drop, texts: of text, as for TextSource.

    Raises DataError for a name whose ending has no reader, and for files of several formats.
    """
    if hasattr(paths, "read"):
        return TextSource([paths], progress, form, columns, drop=drop, texts=texts)
    files = find_files(paths, IN_FOLDERS)
    for file in files:
        if ending(file) in SPREADSHEETS:
            raise DataError(
                f"{file} is a spreadsheet, and those are not read: save it as CSV, or read it with "
                "pandas.read_excel and pass the frame to Interactions.from_frame"
            )
        if ending(file) not in READERS and not is_stream(file):
            raise DataError(
                f"{file}: cannot tell the format from the name; known endings: {', '.join(READERS)}"
            )
    formats = {ending(file) in PARQUET for file in files}
    if len(formats) > 1:
        found = ", ".join(sorted({ending(file) for file in files}))
        raise DataError(
            f"{paths} holds files of several formats ({found}); name those of one, with a glob "
            'such as "folder/*.csv"'
        )
    if formats.pop():
        return ParquetSource(files, progress)
    return TextSource(files, progress, form, columns, drop=drop, texts=texts)


def text_source(
    paths: Any,
    progress: bool | None,
    form: TextFormat,
    columns: Columns,
    *,
    drop: bool = False,
) -> TextSource:
    """Text files of any name, or an open file, as one source."""
    if hasattr(paths, "read"):
        return TextSource([paths], progress, form, columns, drop=drop)
    folders = tuple(name for name in IN_FOLDERS if name not in PARQUET)
    return TextSource(find_files(paths, folders), progress, form, columns, drop=drop)


def is_path(given: Any) -> bool:
    """Whether something names files, or is an open one."""
    if isinstance(given, list | tuple):
        return all(isinstance(path, str | os.PathLike) for path in given)
    return isinstance(given, str | os.PathLike) or hasattr(given, "read")
