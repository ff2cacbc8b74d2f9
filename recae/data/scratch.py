"""Arrays made of memory-mapped ones, which need not fit in memory either."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recae.errors import StorageError

MANY_BYTES = 1 << 26
"""Bytes from which an array made of a mapped one is on disk too."""


def empty_like(source: npt.NDArray[Any], size: int, dtype: npt.DTypeLike | None = None) -> Any:
    """An array (size,) to be filled, of the type of `source` unless stated.

    If `source` is a map of a file and the array is large, it is a map of a nameless file beside
    that one, or else in the folder for temporary files; the system deletes the file with the last
    use of the array. Raises StorageError if neither folder has room.
    """
    kind = np.dtype(source.dtype if dtype is None else dtype)
    file = _file_of(source)
    if file is None or size * kind.itemsize < MANY_BYTES:
        return np.empty(size, kind)
    failed: OSError | None = None
    for folder in (file.parent, Path(tempfile.gettempdir())):
        try:
            array = on_disk(folder, size, kind)
            array.filename = str(file)  # arrays that are made of this one go there too
            return array
        except OSError as error:
            failed = error
    raise StorageError(
        f"{size * kind.itemsize:,} bytes are needed beside {file} or in {tempfile.gettempdir()}: "
        f"{failed}"
    )


def on_disk(folder: Path, size: int, dtype: npt.DTypeLike) -> Any:
    """Zeros (size,), size > 0, as a map of a nameless file in a folder. Raises OSError."""
    kind = np.dtype(dtype)
    with tempfile.TemporaryFile(dir=folder) as opened:
        if hasattr(os, "posix_fallocate"):  # a write to a map has no error for a full disk
            os.posix_fallocate(opened.fileno(), 0, size * kind.itemsize)
        else:
            opened.truncate(size * kind.itemsize)
        return np.memmap(opened, kind, "r+", 0, (size,))


def is_mapped(array: npt.NDArray[Any]) -> bool:
    """Whether an array is a map of a file."""
    return _file_of(array) is not None


def _file_of(array: Any) -> Path | None:
    """The file that an array is a map of, if it is one."""
    while array is not None:
        name = getattr(array, "filename", None)
        if isinstance(array, np.memmap) and name is not None:
            return Path(name)
        array = getattr(array, "base", None)
    return None
