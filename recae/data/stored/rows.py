"""Coded rows on disk: as they come, then in parts of consecutive users."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recae.data.csr import BLOCK
from recae.data.idmap import Codes32
from recae.data.tables import columns as table

BINS = 1 << 16
"""Groups of users whose rows are counted to cut the users into parts."""

Records = npt.NDArray[Any]


def record(weighted: bool, timed: bool) -> np.dtype[Any]:
    """The type of a row on disk."""
    fields = [("user", "<i4"), ("item", "<i4")]
    fields += [("weight", "<f4")] * weighted + [("time", "<i8")] * timed
    return np.dtype(fields)


class RowFile:
    """Rows in one file, in the order of the table."""

    def __init__(self, path: Path, kind: np.dtype[Any], size: int = 0) -> None:
        self.path, self.kind, self.size = path, kind, size

    def append(
        self, users: Codes32, items: Codes32, weights: table.Weights, times: table.Times | None
    ) -> None:
        """More rows: codes of users and items, weights and times, (rows,) each."""
        rows = np.empty(len(users), self.kind)
        for name, column in zip(
            ("user", "item", "weight", "time"), (users, items, weights, times), strict=True
        ):
            if name in (self.kind.names or ()):
                rows[name] = column
        with open(self.path, "ab") as file:
            file.write(rows.data)
        self.size += len(rows)

    def blocks(self) -> Iterator[Records]:
        """All rows, a block at a time."""
        with open(self.path, "rb") as file:
            while len(part := np.fromfile(file, self.kind, BLOCK)):
                yield part


class Recoded:
    """The rows of a file with the final codes of their users and items.

    users, items: the code of each number, (numbers,) int32; None where numbers are codes.
    """

    def __init__(self, rows: RowFile, users: Codes32 | None, items: Codes32 | None) -> None:
        self.rows, self.users, self.items = rows, users, items

    def blocks(self) -> Iterator[Records]:
        """All rows, a block at a time."""
        for part in self.rows.blocks():
            for name, codes in (("user", self.users), ("item", self.items)):
                if codes is not None:
                    part[name] = codes[part[name]]
            yield part


def cut(rows: Recoded, n_users: int, most: int) -> npt.NDArray[np.int64]:
    """The first user of each part, and behind the last one `n_users`: parts of at most about `most`
    rows, of at least one group of users each."""
    if rows.rows.size <= most:
        return np.array([0, n_users])
    width = -(-n_users // BINS)
    counts = np.zeros(-(-n_users // width), np.int64)
    for part in rows.blocks():
        counts += np.bincount(part["user"] // width, minlength=len(counts))
    starts, held = [0], 0
    for group, count in enumerate(counts.tolist()):
        if held and held + count > most:
            starts.append(group * width)
            held = 0
        held += count
    return np.array([*starts, n_users])


def part_file(folder: Path, number: int) -> Path:
    """The rows of a part."""
    return folder / f"part-{number:05d}.rows"


def divide(rows: Recoded, starts: npt.NDArray[np.int64], folder: Path, shown: Any) -> None:
    """Writes the rows of each part into a file of its own, in the order of the table."""
    for number in range(len(starts) - 1):
        part_file(folder, number).write_bytes(b"")
    for part in rows.blocks():
        numbers = np.searchsorted(starts, part["user"], side="right") - 1
        numbers = numbers.astype(np.uint16 if len(starts) < 1 << 16 else np.int32)
        order = np.argsort(numbers, kind="stable")
        part = part[order]
        ends = np.cumsum(np.bincount(numbers, minlength=len(starts) - 1))
        for number, some in enumerate(np.split(part, ends[:-1])):
            if len(some):
                with open(part_file(folder, number), "ab") as file:
                    file.write(some.data)
        shown.update(len(part))


def load(path: Path, kind: np.dtype[Any], first: int) -> tuple[Any, Any, Any, Any]:
    """The columns of a part: users counted from `first`, items, weights (1 where there are none)
    and times, or None."""
    rows = np.fromfile(path, kind)
    names = kind.names or ()
    weights = rows["weight"].copy() if "weight" in names else np.ones(len(rows), np.float32)
    times = rows["time"].copy() if "time" in names else None
    return rows["user"] - np.int32(first), rows["item"].copy(), weights, times
