"""Interactions straight from a Parquet or text file; only the needed columns are read."""

from __future__ import annotations

import os
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from recae.data import table
from recae.data.interactions import Interactions
from recae.errors import DataError

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

    The other arguments are those of `Interactions.from_frame`. A column of ids that are all whole
    numbers is read as integers (so 007 is 7), any other as text; only an empty field is missing,
    so an id may be "NA". Raises DataError naming the file, as `read_parquet`.
    """

    def read(file: Path) -> pd.DataFrame:
        header = pd.read_csv(file, sep=sep, nrows=0, index_col=False)
        columns = table.needed_columns(header.columns, (user, item, weight, time))
        with warnings.catch_warnings():
            # Lines longer than the header would otherwise shift or lose fields with a warning.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(
                file,
                sep=sep,
                usecols=lambda name: name in columns,
                index_col=False,
                keep_default_na=False,
                na_values=[""],
                low_memory=False,  # types are inferred over whole columns, not block by block
            )

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
    except (
        OSError,
        EOFError,
        zlib.error,
        pa.ArrowException,
        pd.errors.ParserError,
        pd.errors.ParserWarning,
        pd.errors.EmptyDataError,
        UnicodeDecodeError,
    ) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path} is damaged or of another format: {reason}") from None


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
