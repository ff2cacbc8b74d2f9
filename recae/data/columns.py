"""Some columns of a table or of files, as a frame, whatever the format."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd

from recae.data import table
from recae.data.encode import for_pandas
from recae.data.entries import Source
from recae.data.paths import PARQUET, TEXT, ending, find_files
from recae.data.readers import ParquetSource
from recae.data.sources import as_source, is_table
from recae.data.text import TextSource
from recae.errors import DataError


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
