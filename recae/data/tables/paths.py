"""The files meant by a path: a file, a folder, a glob, or a list of them."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from recae.errors import DataError

Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]

PARQUET = (".parquet", ".pq")
TEXT = (".csv", ".tsv", ".csv.gz", ".tsv.gz")


def find_files(paths: Paths, endings: tuple[str, ...]) -> list[Path]:
    """The files, in the order of the list given, and sorted where a name stands for many.

    A folder stands for the files below it whose names have one of the endings; names that begin
    with "." or "_" are skipped there, as such files of Spark and Hive are no data. Raises DataError
    for what does not exist and for a folder or glob without a file.
    """
    if isinstance(paths, str | bytes | os.PathLike) or not isinstance(paths, Iterable):
        paths = [paths]
    files = [file for path in paths for file in _expand(path, endings)]
    if not files:
        raise DataError("no file is named: the list of paths is empty")
    return files


def ending(path: Path) -> str:
    """The end of a name that tells the format, such as ".parquet" or ".csv.gz"."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return "".join(suffixes[-2:] if suffixes[-1:] == [".gz"] else suffixes[-1:])


def label(files: list[Path]) -> str:
    """What messages about all the files begin with."""
    return f"{files[0]}: " if len(files) == 1 else f"{files[0]} and {len(files) - 1} more: "


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
        raise error if str(error).startswith(f"{path}") else DataError(f"{path}: {error}") from None
    except (OSError, EOFError, UnicodeDecodeError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path} is damaged or of another format: {reason}") from None


def _expand(path: Any, endings: tuple[str, ...]) -> list[Path]:
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise DataError(f"a path is needed (of a file or folder, or a glob), not {path!r}")
    if "\0" in os.fspath(path):
        raise DataError(f"{path!r} is no path")
    here = Path(path)
    if here.is_dir():
        found = sorted(file for file in here.rglob("*") if _is_data(file, here, endings))
        if not found:
            raise DataError(f"the folder {path} holds no file ending in {', '.join(endings)}")
        return found
    if not here.exists() and glob.has_magic(str(path)):
        matches = [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]
        found = [file for match in matches for file in ([match] if match.is_file() else [])]
        if not found:
            raise DataError(f"no file matches {path}")
        return found
    return [here]


def _is_data(file: Path, folder: Path, endings: tuple[str, ...]) -> bool:
    hidden = any(part.startswith((".", "_")) for part in file.relative_to(folder).parts)
    return not hidden and ending(file) in endings and file.is_file()
