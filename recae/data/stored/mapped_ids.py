"""Id maps whose ids stay on disk: ascending, looked up by binary search, without a hash table."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recae.data.idmap import IdMap
from recae.data.ids import Codes, Ids
from recae.data.stored.arrays import ascends, mapped
from recae.data.stored.id_files import id_files, text_array

MANY_IDS = 1_000_000
"""Ids from which a map stays on disk; fewer are read, because a hash table finds them faster."""


def open_ids(folder: Path, what: str, kind: str, size: int, text: int, ascending: bool) -> IdMap:
    """The ids of a folder as a map; text: bytes of all texts.

    Raises ValueError for files of another size, and for offsets that do not ascend.
    """
    first, *more = id_files(what, kind).items()
    column: Any = mapped(folder / first[0], first[1], size + len(more))
    if more:
        content = mapped(folder / more[0][0], more[0][1], text)
        if column[0] != 0 or column[-1] != text or not ascends(column):
            raise ValueError(f"{first[0]} holds no places in {more[0][0]}")
        column = text_array(column, content)
    if size >= MANY_IDS and ascending:
        return MappedIds(column, what)
    return IdMap(_objects(column), what)


def _objects(column: Any) -> Ids:
    """Ids as int64 or as objects."""
    if isinstance(column, pa.Array):
        return cast(Ids, column.to_numpy(zero_copy_only=False))
    return cast(Ids, column)


class MappedIds(IdMap):
    """Ascending ids on disk; `ids` reads all of them.

    column: a memory-mapped int64 array, or a large_string array of Arrow over mapped memory.
    """

    def __init__(self, column: Any, what: str) -> None:
        vars(self).update(column=column, what=what)  # it is frozen

    column: Any

    @cached_property
    def ids(self) -> Ids:
        """All ids, (n,) int64 or object (of str); those of text take about 70 bytes each."""
        ids = _objects(self.column)
        ids.setflags(write=False)
        return ids

    @property
    def kind(self) -> Any:
        """Whether the ids are integers or text."""
        return "str" if isinstance(self.column, pa.Array) else "int"

    def __len__(self) -> int:
        return len(self.column)

    def _at(self, positions: Any) -> Ids:
        if self.kind == "int":
            return cast(Ids, self.column[positions])
        if isinstance(positions, slice):
            return _objects(self.column[positions])
        return _objects(self.column.take(pa.array(positions.ravel()))).reshape(positions.shape)

    def subset(self, codes: Any) -> IdMap:
        """As that of an IdMap; ascending codes of many ids stay in Arrow storage."""
        rows = self._checked(codes)
        if len(rows) < MANY_IDS or not (rows[1:] > rows[:-1]).all():
            return super().subset(codes)
        some = self.column[rows] if self.kind == "int" else self.column.take(pa.array(rows))
        return MappedIds(some, self.what)

    ascending = True

    def _positions(self, ids: Ids) -> Codes:
        if self.kind == "int":
            places = np.minimum(np.searchsorted(self.column, ids), len(self) - 1)
            return np.where(self.column[places] == ids, places, -1)
        return self._search(pa.array(ids, pa.large_string()))

    def _search(self, wanted: pa.Array) -> Codes:
        """Binary search of all texts at the same time."""
        low = np.zeros(len(wanted), np.int64)  # ids before it are smaller
        high = np.full(len(wanted), len(self), np.int64)  # ids from it on are not
        while (open := low < high).any():
            middle = (low + high) // 2
            found = self.column.take(pa.array(np.minimum(middle, len(self) - 1)))
            less = pc.less(found, wanted).to_numpy(zero_copy_only=False) & open
            low = np.where(less, middle + 1, low)
            high = np.where(open & ~less, middle, high)
        places = np.minimum(low, len(self) - 1)
        same = pc.equal(self.column.take(pa.array(places)), wanted)
        return np.where(same.to_numpy(zero_copy_only=False), places, -1)

    def _few(self, ids: Any) -> list[int]:
        if not ids:
            return []
        if self.kind == "str":
            return cast(list[int], self._search(pa.array(ids, pa.large_string())).tolist())
        small = [-(2**63) <= id < 2**63 for id in ids]
        wanted = np.array([id if fits else 0 for id, fits in zip(ids, small, strict=True)])
        return cast(list[int], np.where(small, self._positions(wanted), -1).tolist())

    def _has(self, id: Any) -> bool:
        return self._few([id]) != [-1]
