"""Paths, folders, globs and lists as files, with the values that their folders name."""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from recae.errors import DataError

Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]

STDIN = ("-", "/dev/stdin")
PARTITION = re.compile(r"([^=]+)=(.*)")
DATA_JSON = "data.json"
"""The file that marks a folder of `recae.ingest`."""
NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


def find_files(paths: Paths, endings: tuple[str, ...]) -> list[Path]:
    """The files, in the order of the list given, and sorted where a name stands for many.

    A folder stands for the files below it with one of the endings; names that begin with "." or "_"
    are skipped, because such files of Spark and Hive are not data. Raises DataError for a missing
    file and for a folder or glob without a file.
    """
    if hasattr(paths, "read"):
        raise DataError("an open file is read as text only: name the path of the file")
    if hasattr(paths, "columns"):
        raise DataError("this is a table already, not a path: give it to Interactions.from_frame")
    if isinstance(paths, str | bytes | os.PathLike) or not isinstance(paths, Iterable):
        paths = [paths]
    try:
        files = [file for path in paths for file in _expand(path, endings)]
    except PermissionError as error:
        raise no_permission(error.filename) from None
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
    if not file.is_file() and not is_stream(path):
        found = "is a folder, not a file" if file.is_dir() else "does not exist"
        raise DataError(f"{path} {found}")
    try:
        yield file
    except DataError as error:
        raise error if str(error).startswith(f"{path}") else named(error, f"{path}") from None
    except PermissionError:
        raise no_permission(path) from None
    except (OSError, EOFError, UnicodeDecodeError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path} is damaged or of another format: {reason}") from None


def no_permission(path: object) -> DataError:
    """The error for a file or folder that its reader may not open."""
    return DataError(f"{path} cannot be read: permission is denied; ask its owner, or copy it")


def named(error: DataError, name: str) -> DataError:
    """The error with the name of a file before its message."""
    return DataError(f"{name}: {error}", parameter=error.parameter, value=error.value)


def is_stream(path: Any) -> bool:
    """Whether a path is one of standard input or of a pipe, which can be read only once."""
    if str(path) in STDIN:
        return True
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError, TypeError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def partitions(file: Path) -> dict[str, str | None]:
    """The values that folders like `date=2026-01-01` give to all rows of a file, as text.

    None stands for the missing value of Hive.
    """
    found = [PARTITION.fullmatch(part) for part in file.parts[:-1]]
    pairs = [(unquote(match[1]), unquote(match[2])) for match in found if match]
    return {name: None if value == NO_VALUE else value for name, value in pairs}


def _expand(path: Any, endings: tuple[str, ...]) -> list[Path]:
    """The files of one path: a file, those below a folder, or the matches of a glob. Hidden files,
    and those that begin with "_", are left out. Raises DataError where there is none."""
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise DataError(f"a path is needed (of a file or folder, or a glob), not {path!r}")
    if "\0" in os.fspath(path):
        raise DataError(f"{path!r} is not a path")
    if re.match("[a-z][a-z0-9+.-]+:/", str(path), re.IGNORECASE):
        raise DataError(f"{path} is a URL: download the file first, and name its path")
    if is_stream(path):
        return [Path(path)]
    try:
        here = Path(path).expanduser()
    except RuntimeError:  # a home that is not known
        here = Path(path)
    if (here / DATA_JSON).is_file():
        raise DataError(
            f"{path} is a data folder, which is read by itself: name it alone, or name the files "
            "that it was made of"
        )
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
    if not here.exists() and glob.has_magic(str(here)):
        matches = map(Path, sorted(glob.glob(str(here), recursive=True)))
        found = [match for match in matches if match.is_file()]
        if not found:
            raise DataError(f"no file matches {path}")
        return found
    return [here]
