"""Interactions straight from a Parquet or text file; only the needed columns are read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pyarrow.parquet as pq

from recae.data import table
from recae.data.interactions import Interactions
from recae.errors import ConfigError, DataError

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_PARQUET = (".parquet", ".pq")


def read_parquet(
    path: str | os.PathLike[str],
    *,
    user: str = "user_id",
    item: str = "item_id",
    weight: str | None = table.DEFAULT_WEIGHT,
    time: str | None = table.DEFAULT_TIME,
    duplicates: str = "last",
    min_weight: float | None = None,
) -> Interactions:
    """Interactions of one Parquet file; the arguments are those of `Interactions.from_frame`.

    Raises DataError naming the file: it is missing, a folder, damaged or cut short, or its columns
    are not usable.
    """

    def read(file: Path) -> pd.DataFrame:
        with pq.ParquetFile(file) as parquet:
            names = table.needed_columns(parquet.schema_arrow.names, (user, item, weight, time))
            columns = [name for name in names if name is not None]
            # The metadata that pandas leaves there would turn columns into an index.
            frame: pd.DataFrame = parquet.read(columns=columns).to_pandas(ignore_metadata=True)
            return frame

    return _interactions(path, read, (user, item, weight, time), duplicates, min_weight)


def read_csv(
    path: str | os.PathLike[str],
    *,
    user: str = "user_id",
    item: str = "item_id",
    weight: str | None = table.DEFAULT_WEIGHT,
    time: str | None = table.DEFAULT_TIME,
    duplicates: str = "last",
    min_weight: float | None = None,
    sep: str = ",",
) -> Interactions:
    """Interactions of a text file with a header line; compressed if its name ends in .gz.

    The other arguments are those of `Interactions.from_frame`. Types are those of whole columns:
    integers (so 007 is 7), else floats, else text; times may also be ISO dates. Only an empty field
    is missing, so an id may be "NA". Raises DataError naming the file, as `read_parquet`, also
    where a line has more or fewer fields than the header; ConfigError if `sep` is not one
    character.
    """

    if len(sep) != 1:
        raise ConfigError(f"sep must be one character, not {sep!r}")

    def read(file: Path) -> pd.DataFrame:
        # Quoted fields may hold line ends: titles and reviews do.
        layout = csv.ParseOptions(delimiter=sep, newlines_in_values=True)
        with csv.open_csv(file, parse_options=layout) as header:
            present = header.schema.names
        names = table.needed_columns(present, (user, item, weight, time))
        columns = [name for name in names if name is not None]
        # As text first: pyarrow would settle the types on the first block of the file.
        texts = csv.read_csv(
            file,
            parse_options=layout,
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(present, pa.string()),
                include_columns=columns,
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
        return pd.DataFrame({name: _typed(texts[name], name == time) for name in columns})

    return _interactions(path, read, (user, item, weight, time), duplicates, min_weight)


def read_table(
    path: str | os.PathLike[str],
    *,
    user: str = "user_id",
    item: str = "item_id",
    weight: str | None = table.DEFAULT_WEIGHT,
    time: str | None = table.DEFAULT_TIME,
    duplicates: str = "last",
    min_weight: float | None = None,
) -> Interactions:
    """`read_parquet` for .parquet and .pq, `read_csv` for .csv and .tsv (also with .gz).

    Raises DataError for any other name.
    """
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    compressed = suffixes[-1:] == [".gz"]
    suffix = "".join(suffixes[-2:-1] if compressed else suffixes[-1:])
    reader: Callable[..., Interactions]
    if suffix in _PARQUET and not compressed:
        reader, options = read_parquet, {}
    elif suffix in _SEPARATORS:
        reader, options = read_csv, {"sep": _SEPARATORS[suffix]}
    else:
        known = ", ".join([*_PARQUET, *_SEPARATORS, *(f"{name}.gz" for name in _SEPARATORS)])
        raise DataError(f"{path}: cannot tell the format from the name; known endings: {known}")
    return reader(
        path,
        user=user,
        item=item,
        weight=weight,
        time=time,
        duplicates=duplicates,
        min_weight=min_weight,
        **options,
    )


@contextmanager
def file_errors(path: str | os.PathLike[str]) -> Iterator[Path]:
    """The path of an existing file; what fails while reading it becomes a DataError naming it."""
    file = Path(path)
    if not file.is_file():
        found = "is a folder, not a file" if file.is_dir() else "does not exist"
        raise DataError(f"{path} {found}")
    try:
        yield file
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except (OSError, EOFError, UnicodeDecodeError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path} is damaged or of another format: {reason}") from None


def _typed(texts: Any, times: bool) -> pd.Series[Any]:
    """A column of text as numbers, or dates, if every present field is one."""
    column: pd.Series[Any]
    dates = [pa.timestamp("ns"), pa.timestamp("ns", tz="UTC")] if times else []
    for kind in (pa.int64(), pa.float64(), *dates):
        try:
            column = pc.cast(pc.utf8_trim_whitespace(texts), kind).to_pandas()
        except pa.ArrowInvalid:
            continue
        return column
    column = texts.to_pandas()
    return column


def _interactions(
    path: str | os.PathLike[str],
    read: Callable[[Path], pd.DataFrame],
    columns: table.Columns,
    duplicates: str,
    min_weight: float | None,
) -> Interactions:
    user, item, weight, time = columns
    table.check_duplicates(duplicates)
    with file_errors(path) as file:
        return Interactions.from_frame(
            read(file),
            user=user,
            item=item,
            weight=weight,
            time=time,
            duplicates=duplicates,
            min_weight=min_weight,
        )
