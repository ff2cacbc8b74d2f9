"""Arrays on disk as .npy files of one dimension, written piece by piece and memory-mapped."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
import numpy.lib.format as npy
import numpy.typing as npt

from recae.data.csr import BLOCK

HEAD = 128
"""Bytes of the header of a file, whatever its length is."""


class Writer:
    """A file that grows at its end; a block of `with` completes it."""

    def __init__(self, path: Path, dtype: npt.DTypeLike) -> None:
        self.path, self.dtype, self.size = path, np.dtype(dtype), 0
        self.file: BinaryIO = open(path, "wb")  # noqa: SIM115
        self.file.write(bytes(HEAD))

    def append(self, part: npt.NDArray[Any]) -> None:
        """More numbers."""
        self.file.write(np.ascontiguousarray(part, dtype=self.dtype).data)
        self.size += len(part)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with self.file:
            if error[:1] == (None,):
                self.file.seek(0)
                self.file.write(_head(self.dtype, self.size))


def _head(dtype: np.dtype[Any], size: int) -> bytes:
    made = io.BytesIO()
    npy.write_array_header_1_0(
        made, {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": (size,)}
    )
    return made.getvalue()


def mapped(path: Path, dtype: npt.DTypeLike, size: int) -> npt.NDArray[Any]:
    """The array of a file, read-only, of which only the pages in use are in memory.

    Raises ValueError for a file of another type or size, and OSError.
    """
    wanted = np.dtype(dtype)
    found = path.stat().st_size
    if found != HEAD + size * wanted.itemsize:
        raise ValueError(
            f"{path.name} has {found:,} bytes, and {HEAD + size * wanted.itemsize:,} are expected"
        )
    with open(path, "rb") as opened:
        if opened.read(HEAD) != _head(wanted, size):
            raise ValueError(f"{path.name} is no array of {size:,} numbers of type {wanted}")
    if not size:
        return np.empty(0, wanted)
    array: npt.NDArray[Any] = np.memmap(path, wanted, "r", offset=HEAD, shape=(size,))
    return array.view(np.ndarray)


def ascends(array: npt.NDArray[Any]) -> bool:
    """Whether no number is below the one before it; a mapped array is looked at block by block."""
    starts = range(0, len(array), BLOCK)
    return all((np.diff(array[start : start + BLOCK + 1]) >= 0).all() for start in starts)


def blocks(
    path: Path, dtype: npt.DTypeLike, rows: int = BLOCK, *, first: int = 0
) -> Iterator[npt.NDArray[Any]]:
    """The numbers of a file of `Writer` from one on, a block at a time, read without a map."""
    with open(path, "rb") as opened:
        opened.seek(HEAD + first * np.dtype(dtype).itemsize)
        while len(part := np.fromfile(opened, np.dtype(dtype), rows)):
            yield part
