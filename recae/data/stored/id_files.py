"""Ids on disk: integers as one array; text as the bytes of all and where each begins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recae.data.ids import Ids
from recae.data.stored.arrays import HEAD, Writer, blocks

SOME = 1 << 14
"""Ids that are read together: text may be long."""


def as_arrow(ids: Ids) -> pa.Array:
    """Ids in Arrow storage: int64 or large_string."""
    return pa.array(ids, pa.int64() if ids.dtype == np.int64 else pa.large_string())


def id_files(what: str, kind: str) -> dict[str, str]:
    """The files of the ids of users or items, and the types of their numbers. The first has one
    number for each id; for text one more, the end of the last."""
    if kind == "int":
        return {f"{what}s.npy": "<i8"}
    return {f"{what}s.offsets.npy": "<i8", f"{what}s.text.npy": "|u1"}


class IdWriter:
    """Writes ids piece by piece into a folder; a block of `with` completes the files."""

    def __init__(self, folder: Path, what: str, kind: str) -> None:
        self.kind, self.size = kind, 0
        self.files = [Writer(folder / name, type) for name, type in id_files(what, kind).items()]
        if kind == "str":
            self.files[0].append(np.zeros(1, np.int64))

    def append(self, ids: pa.Array) -> None:
        """More ids, int64 or large_string."""
        self.size += len(ids)
        if self.kind == "int":
            self.files[0].append(ids.to_numpy())
            return
        if len(ids):
            _, offsets, content = ids.buffers()
            ends = np.frombuffer(offsets, np.int64)[ids.offset : ids.offset + len(ids) + 1]
            text = np.frombuffer(content, np.uint8) if content is not None else np.empty(0, "u1")
            self.files[0].append(ends[1:] - ends[0] + self.files[1].size)
            self.files[1].append(text[ends[0] : ends[-1]])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for file in self.files:
            file.__exit__(*error)


def text_array(offsets: npt.NDArray[np.int64], text: npt.NDArray[np.uint8]) -> pa.Array:
    """Texts as one Arrow array, without a copy; offsets: (rows + 1,) places in `text`."""
    buffers: list[Any] = [None, pa.py_buffer(offsets), pa.py_buffer(text)]
    return pa.Array.from_buffers(pa.large_string(), len(offsets) - 1, buffers)


def read_ids(folder: Path, what: str, kind: str) -> Iterator[pa.Array]:
    """The ids of a folder, SOME at a time."""
    first, *more = (folder / name for name in id_files(what, kind))
    if kind == "int":
        yield from map(pa.array, blocks(first, "<i8", SOME))
        return
    last = np.zeros(1, np.int64)
    with open(more[0], "rb") as text:
        text.seek(HEAD)
        for ends in blocks(first, "<i8", SOME, first=1):
            offsets = np.concatenate([last, ends])
            content = np.fromfile(text, np.uint8, int(offsets[-1] - offsets[0]))
            yield text_array(offsets - offsets[0], content)
            last = offsets[-1:]
