"""Reads Parquet and text files in blocks, from a path, a folder, a glob or a list."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pyarrow.parquet as pq

from recae.data.csr import BLOCK
from recae.data.tables.arrays import plain
from recae.data.tables.columns import Headers
from recae.data.tables.sources import Block, Source
from recae.errors import DataError
from recae.system.progress import bar

Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]

Texts = tuple[Path, int, dict[str, pa.Array]]
Kinds = list[pa.DataType | None]

KEPT_BYTES = 1 << 28
"""Columns of less text than this are held in memory, so that their files are read only once."""

_NUMBERS = (pa.int64(), pa.float64())
_DATES = (pa.timestamp("ns"), pa.timestamp("ns", tz="UTC"))
_READ = csv.ReadOptions(block_size=1 << 24)


def find_files(paths: Paths, endings: tuple[str, ...]) -> list[Path]:
    """The files, in the order of the list given, and sorted where a name stands for many.

    A folder stands for the files below it with one of the endings; names that begin with "." or "_"
    are skipped, because such files of Spark and Hive are not data. Raises DataError for a missing
    file and for a folder or glob without a file.
    """
    if isinstance(paths, str | bytes | os.PathLike) or not isinstance(paths, Iterable):
        paths = [paths]
    files = [file for path in paths for file in _expand(path, endings)]
    if not files:
        raise DataError("no file is named: the list of paths is empty")
    return files


def ending(path: Path) -> str:
    """The ending of a name, which gives the format, such as ".parquet" or ".csv.gz"."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return "".join(suffixes[-2:] if suffixes[-1:] == [".gz"] else suffixes[-1:])


def label(files: list[Path]) -> str:
    """The beginning of messages about all the files."""
    return f"{files[0]}: " if len(files) == 1 else f"{files[0]} and {len(files) - 1} more: "


@contextmanager
def file_errors(path: str | os.PathLike[str]) -> Iterator[Path]:
    """The path of an existing file; errors while reading become a DataError that names it."""
    file = Path(path)
    if not file.is_file():
        found = "is a folder, not a file" if file.is_dir() else "does not exist"
        raise DataError(f"{path} {found}")
    try:
        yield file
    except DataError as error:
        raise error if str(error).startswith(f"{path}") else DataError(f"{path}: {error}") from None
    except (OSError, EOFError, UnicodeDecodeError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path} is damaged or of another format: {reason}") from None


class ParquetSource:
    """Parquet files, one after the other, a block of rows at a time."""

    def __init__(self, files: list[Path], progress: bool | None = None) -> None:
        self.files, self.label, self.rows = files, label(files), 0
        self.headers: Headers = []
        for file in files:
            with file_errors(file), pq.ParquetFile(file) as parquet:
                self.rows += parquet.metadata.num_rows
                self.headers.append((f"{file}: ", list(parquet.schema_arrow.names)))

    def blocks(self, columns: list[str], time: str | None = None) -> Iterator[Block]:
        """Blocks within a file; rows are counted from 0 in each."""
        for file in self.files:
            row = 0
            with file_errors(file), pq.ParquetFile(file) as parquet:
                # Group by group: over all of them it keeps what it has read until the end.
                for group in range(parquet.num_row_groups):
                    batches = parquet.iter_batches(BLOCK, row_groups=[group], columns=columns)
                    for batch in batches:
                        some = {name: plain(batch.column(name)) for name in columns}
                        yield Block(some, row, str(file))
                        row += len(batch)


class TextSource:
    """Text files with a header line each. The type of a column is that of all its fields.

    Every column is read as integers first; if a field does not fit, as floats, a time column then
    as dates, and finally as text. Larger files are read a second time then.
    """

    def __init__(self, files: list[Path], progress: bool | None = None, sep: str = ",") -> None:
        # Quoted fields may hold line ends: titles and reviews do.
        self.layout = csv.ParseOptions(delimiter=sep, newlines_in_values=True)
        self.files, self.label, self.progress = files, label(files), progress
        self.rows: int | None = None
        self.headers: Headers = []
        for file in files:
            with file_errors(file), csv.open_csv(file, parse_options=self.layout) as header:
                self.headers.append((f"{file}: ", list(header.schema.names)))

    def blocks(self, columns: list[str], time: str | None = None) -> Iterator[Block]:
        """Blocks of a few megabytes of text."""
        kinds, kept = self._kinds(columns, time)
        for file, row, texts in self._texts(columns) if kept is None else kept:
            yield Block({n: _cast(texts[n], kinds[n][0]) for n in columns}, row, str(file))

    def _kinds(
        self, columns: list[str], time: str | None
    ) -> tuple[dict[str, Kinds], list[Texts] | None]:
        """For each column the types that are left to it, the first being its type; and all the
        blocks read for that, unless they are large."""
        kinds: dict[str, Kinds] = {
            name: [*_NUMBERS, *(_DATES if name == time else ()), None] for name in columns
        }
        kept: list[Texts] | None = []
        size = 0
        with bar(None, "finding the types", "row", self.progress) as shown:
            for file, row, texts in self._texts(columns):
                for name, left in kinds.items():
                    while not _fits(texts[name], left[0]):
                        del left[0]
                size += sum(column.nbytes for column in texts.values())
                kept = None if kept is None or size > KEPT_BYTES else [*kept, (file, row, texts)]
                shown.update(len(texts[columns[0]]))
        return kinds, kept

    def _texts(self, columns: list[str]) -> Iterator[Texts]:
        """File, number of the first row in it, and the columns as text, block by block."""
        convert = csv.ConvertOptions(
            column_types=dict.fromkeys(columns, pa.string()),
            include_columns=columns,
            null_values=[""],
            strings_can_be_null=True,
        )
        for file in self.files:
            row = 0
            with (
                file_errors(file),
                csv.open_csv(
                    file, parse_options=self.layout, convert_options=convert, read_options=_READ
                ) as reader,
            ):
                for batch in reader:
                    yield file, row, {name: batch.column(name) for name in columns}
                    row += len(batch)


def _fits(texts: pa.Array, kind: pa.DataType | None) -> bool:
    try:
        _cast(texts, kind)
    except pa.ArrowInvalid:
        return False
    return True


def _cast(texts: pa.Array, kind: pa.DataType | None) -> Any:
    return texts if kind is None else pc.cast(pc.utf8_trim_whitespace(texts), kind)


PARQUET = (".parquet", ".pq")
TEXT = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
READERS: dict[str, Callable[[list[Path], bool | None], Source]] = {
    **dict.fromkeys(PARQUET, ParquetSource),
    **dict.fromkeys(TEXT[:2], TextSource),
    **dict.fromkeys(TEXT[2:], partial(TextSource, sep="\t")),
}
"""The ending of a name -> the source that reads such files. A new input format is one line here."""


def file_source(paths: Paths, progress: bool | None = None) -> Source:
    """The files of a path, folder, glob or list as one source.

    Raises DataError for a name whose ending has no reader, and for files of several formats.
    """
    files = find_files(paths, tuple(READERS))
    for file in files:
        if ending(file) not in READERS:
            raise DataError(
                f"{file}: cannot tell the format from the name; known endings: {', '.join(READERS)}"
            )
    readers = {READERS[ending(file)] for file in files}
    if len(readers) > 1:
        found = ", ".join(sorted({ending(file) for file in files}))
        raise DataError(
            f"{paths} holds files of several formats ({found}); name those of one, with a glob "
            'such as "folder/*.csv"'
        )
    return readers.pop()(files, progress)


def _expand(path: Any, endings: tuple[str, ...]) -> list[Path]:
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise DataError(f"a path is needed (of a file or folder, or a glob), not {path!r}")
    if "\0" in os.fspath(path):
        raise DataError(f"{path!r} is not a path")
    here = Path(path)
    if here.is_dir():
        found = sorted(
            file
            for file in here.rglob("*")
            if ending(file) in endings
            and not any(part.startswith((".", "_")) for part in file.relative_to(here).parts)
            and file.is_file()
        )
        if not found:
            raise DataError(f"the folder {path} holds no file ending in {', '.join(endings)}")
        return found
    if not here.exists() and glob.has_magic(str(path)):
        matches = map(Path, sorted(glob.glob(str(path), recursive=True)))
        found = [match for match in matches if match.is_file()]
        if not found:
            raise DataError(f"no file matches {path}")
        return found
    return [here]
