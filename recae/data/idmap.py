"""Maps external ids to the codes 0..n-1 that index rows and columns, and back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from recae.data.ids import Codes, Ids, as_array, as_ids, checked, noun, show
from recae.errors import DataError

Codes32 = npt.NDArray[np.int32]

MANY = 500
"""Ids from which hashing them as an array is faster than one by one."""

PIECE = 1 << 18
"""Ids that are looked at together where all of them would be too much memory."""

_KIND_WORDS = {"int": "integers", "str": "text"}


@dataclass(frozen=True, init=False, eq=False, repr=False)
class IdMap:
    """A frozen list of distinct ids; the code of an id is its position in the list.

    ids: distinct ids in the order of their codes, all integers or all text (list, numpy, pandas).
    what: the word for one of them in messages, such as "user" or "item".

    >>> items = IdMap(["b", "a"], what="item")
    >>> items.encode(["a", "a", "b"])
    array([1, 1, 0])

    Raises DataError on duplicates, missing ids, mixed types, floats, booleans and integers that do
    not fit in 64 bits. `ids` is then a read-only (n,) array, int64 or object (of str).
    """

    ids: Ids
    what: str = "id"

    def __init__(self, ids: Any, what: str = "id") -> None:
        ids = as_ids(ids, what).copy()
        # Ascending integers, as in most maps, are distinct without a hash table of them all.
        if ids.dtype != np.int64 or not (ids[1:] > ids[:-1]).all():
            repeated = pd.Series(ids, dtype=ids.dtype).duplicated().to_numpy()
            if repeated.any():
                row = int(repeated.argmax())
                raise DataError(
                    f"{noun(what)} must be distinct; {show(ids[row])} at position {row} is a "
                    f"repetition ({int(repeated.sum())} in all)"
                )
        ids.setflags(write=False)
        vars(self).update(ids=ids, what=what)  # it is frozen

    @classmethod
    def from_values(cls, values: Any, what: str = "id") -> tuple[IdMap, Codes]:
        """The ascending distinct ids of a column, and the column's codes, (rows,) int64.

        Ascending, so that the code of an id does not depend on the order of the rows. Raises
        DataError as the class does, but for duplicates.

        >>> ids, codes = recae.data.IdMap.from_values(["b", "a", "b"])
        >>> ids.ids.tolist(), codes.tolist()
        (['a', 'b'], [1, 0, 1])
        """
        codes, distinct = pd.factorize(checked(values, what))
        ids = as_array(distinct)
        order = np.argsort(ids, kind="stable")
        position = np.empty(len(ids), dtype=np.int64)
        position[order] = np.arange(len(ids))
        return cls(ids[order], what), position[codes]

    @classmethod
    def range(cls, n: int, what: str = "id") -> IdMap:
        """The integers 0..n-1 as ids: every id is its own code. Raises DataError for n < 0.

        >>> recae.data.IdMap.range(2).ids.tolist()
        [0, 1]
        """
        whole = isinstance(n, int | np.integer) and not isinstance(n, bool)
        if not whole or n < 0:
            raise DataError(f"n must be an integer >= 0, not {n!r}", parameter="n", value=n)
        return cls(np.arange(n), what)

    def union(self, other: IdMap) -> IdMap:
        """These ids with their codes, followed by those of `other` that are new, in its order.

        Raises DataError if one has integers and the other text.

        >>> recae.data.IdMap([3, 1]).union(recae.data.IdMap([1, 2])).ids.tolist()
        [3, 1, 2]
        """
        new = other.ids[self.lookup(other.ids) < 0]
        if not len(new):
            return self
        return IdMap(np.concatenate([self.ids, new]) if len(self) else new, self.what)

    @property
    def kind(self) -> Literal["int", "str"]:
        """Whether the ids are integers or text. An empty map fits both."""
        return "str" if self.ids.dtype == object else "int"

    @cached_property
    def _index(self) -> pd.Index[Any]:
        return pd.Index(self.ids, dtype=self.ids.dtype)  # the dtype: pandas would infer its own

    def _positions(self, ids: Ids) -> Codes:
        wanted: pd.Index[Any] = pd.Index(ids, dtype=ids.dtype)
        return self._index.get_indexer(wanted).astype(np.int64, copy=False)

    def encode(self, ids: Any, first_row: int = 0) -> Codes:
        """The codes of a column of ids, (rows,) int64. Raises DataError if one is unknown.

        first_row: the number of the first row in messages, when `ids` are part of a column.

        >>> recae.data.IdMap(["b", "a"]).encode(["a"])
        array([1])
        """
        codes = self.lookup(ids)
        unknown = codes < 0
        if unknown.any():
            row = int(unknown.argmax())
            raise DataError(
                f"unknown {self.what} {show(as_ids(ids, self.what)[row])} at row "
                f"{first_row + row} ({int(unknown.sum()):,} of {len(codes):,} rows have an unknown "
                f"{self.what}; {len(self):,} are known)"
            )
        return codes

    def lookup(self, ids: Any) -> Codes:
        """The codes of a column of ids, (rows,) int64, with -1 for the unknown ones.

        Raises DataError if the ids are text and the known ones integers, or the reverse.

        >>> recae.data.IdMap(["b", "a"]).lookup(["a", "c"])
        array([ 1, -1])
        """
        column = checked(ids, self.what)
        kind: Literal["int", "str"] = "int" if column.dtype == np.int64 else "str"
        if not len(column) or not len(self):
            return np.full(len(column), -1, dtype=np.int64)
        if kind != self.kind:
            first = show(self._at(slice(1))[0])
            raise DataError(
                f"{noun(self.what)} are {_KIND_WORDS[kind]} here (first: {show(column[0])}), but "
                f"the known ones are {_KIND_WORDS[self.kind]} (first: {first}); cast one side"
            )
        if kind == "int":
            return self._positions(column)
        # Text repeats: hash the column once, in its own storage, and look up its distinct values.
        codes, distinct = pd.factorize(column)
        return self._positions(as_array(distinct))[codes]

    @cached_property
    def _codes(self) -> dict[Any, int]:
        return {id: code for code, id in enumerate(self.ids.tolist())}

    def find(self, ids: Any) -> tuple[list[int], int]:
        """The codes of the ids that are known, in their order, and the number of the others.

        For a few ids at a time, as in one history. Raises DataError as `lookup` does.

        >>> recae.data.IdMap(["b", "a"]).find(["a", "c", "a"])
        ([1, 1], 1)
        """
        places = self._places(ids)
        codes = [code for code in places if code >= 0]
        return codes, len(places) - len(codes)

    def seek(self, ids: Any) -> Codes:
        """The codes of a few ids, (rows,) int64, as `lookup` has them, and faster for lists.

        Raises DataError as `lookup` does.

        >>> recae.data.IdMap(["b", "a"]).seek(["a", "c"])
        array([ 1, -1])
        """
        if len(ids) > MANY and self.kind == "int" and {*map(type, ids)} == {int}:
            with suppress(OverflowError):
                return self._positions(np.array(ids, dtype=np.int64))
        return np.array(self._places(ids), dtype=np.int64)

    def _places(self, ids: Any) -> list[int]:
        """The codes of ids, -1 for those that are unknown. Raises DataError as `lookup` does."""
        wanted = str if self.kind == "str" else int
        if not (isinstance(ids, list | tuple) and {*map(type, ids)} <= {wanted}):
            ids = as_ids(ids, self.what).tolist()
            if ids and len(self) and type(ids[0]) is not wanted:
                self.lookup(ids)  # raises
        places = self._few(ids)
        if -1 in places:
            _check_plain([id for id, code in zip(ids, places, strict=True) if code < 0], self.what)
        return places

    def _few(self, ids: list[Any] | tuple[Any, ...]) -> list[int]:
        """The codes of some ids of the right type, -1 for those that are unknown."""
        get = self._codes.get
        return [get(id, -1) for id in ids]

    def decode(self, codes: Any) -> Ids:
        """The ids of an integer array of codes, in its shape, such as (rows, k).

        Raises DataError for codes outside 0..n-1.

        >>> recae.data.IdMap(["b", "a"]).decode([[1, 1]])
        array([['a', 'a']], dtype=object)
        """
        return self._at(self._checked(codes))

    def _checked(self, codes: Any) -> npt.NDArray[Any]:
        """Codes as an array. Raises the DataError of `decode`."""
        positions = as_codes(codes, self.what)
        if not np.issubdtype(positions.dtype, np.integer):
            raise DataError(
                f"{self.what} codes must be integers, not {positions.dtype}; "
                f"{self.what}s.encode(...) gives the codes of ids"
            )
        outside = (positions < 0) | (positions >= len(self))
        if outside.any():
            first = int(positions[outside][0])
            raise DataError(
                f"{self.what} codes run from 0 to {len(self) - 1:,}; found {first} "
                f"({int(outside.sum()):,} outside)"
            )
        return positions

    def _codes_of(self, other: IdMap, *, required: bool = False) -> Codes:
        """The codes of all ids of another map, as `lookup` or, if `required`, `encode`."""
        ask = self.encode if required else self.lookup
        return np.concatenate([np.empty(0, np.int64), *map(ask, other.pieces())])

    def subset(self, codes: Any) -> IdMap:
        """The map of the ids of distinct codes, (n,) integers, in this order.

        Raises DataError for codes outside 0..n-1 and for repeated ones.

        >>> recae.data.IdMap(["b", "a", "c"]).subset([2, 0]).ids.tolist()
        ['c', 'b']
        """
        return IdMap(self.decode(codes), self.what)

    @cached_property
    def ascending(self) -> bool:
        """Whether the ids ascend, as those of a table do.

        >>> recae.data.IdMap(["b", "a"]).ascending
        False
        """
        return bool((self.ids[1:] > self.ids[:-1]).all())

    def _at(self, positions: npt.NDArray[Any] | slice) -> Ids:
        """The ids of codes that exist, in their shape."""
        return self.ids[positions]

    def pieces(self) -> Iterator[Ids]:
        """All ids in their order as arrays (rows,) of at most `PIECE`: a map may be on disk.

        >>> [ids.tolist() for ids in recae.data.IdMap(["b", "a"]).pieces()]
        [['b', 'a']]
        """
        return (self._at(slice(start, start + PIECE)) for start in range(0, len(self), PIECE))

    def to_bytes(self) -> bytes:
        """The ids in their order as bytes, for fingerprints: different maps, different bytes.

        >>> recae.data.IdMap([1, 2]).to_bytes() == recae.data.IdMap([2, 1]).to_bytes()
        False
        """
        return b"".join(self.byte_pieces())

    def byte_pieces(self) -> Iterator[bytes]:
        """`to_bytes` in pieces.

        >>> len(list(recae.data.IdMap([1, 2]).byte_pieces()))  # what they are, then the ids
        2
        """
        yield f"{self.kind} {len(self)} ".encode()
        if self.kind == "int":
            yield from (ids.astype("<i8").tobytes() for ids in self.pieces())
            return
        for ids in self.pieces():
            yield np.fromiter(map(len, ids), dtype="<i8", count=len(ids)).tobytes()
        for ids in self.pieces():
            yield "".join(ids).encode("utf-8", "surrogatepass")

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, id: object) -> bool:
        if isinstance(id, bool | np.bool_) or not isinstance(id, int | np.integer | str):
            return False  # pandas would find 1.0 and True among integers
        return isinstance(id, str) == (self.kind == "str") and self._has(id)

    def _has(self, id: Any) -> bool:
        return id in self._index

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, IdMap):
            return NotImplemented
        if self is other or len(self) != len(other):
            return self is other
        return all(map(np.array_equal, self.pieces(), other.pieces()))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = [show(id) for id in self._at(slice(3))]
        if len(self) > 3:
            shown += ["..."] * (len(self) > 4) + [show(self._at(slice(len(self) - 1, None))[0])]
        return f"IdMap({len(self):,} {self.what}s{': ' if shown else ''}{', '.join(shown)})"


def as_codes(codes: Any, what: str = "id") -> npt.NDArray[Any]:
    """Codes as an array; an empty list is one of integers. DataError for unequal rows."""
    try:
        array = np.asarray(codes)
    except ValueError:
        raise DataError(f"{what} codes must be integers, not lists of unequal lengths") from None
    return array if array.size else array.astype(np.int64)


def _check_plain(ids: list[Any], what: str) -> None:
    """Raises the DataError of `as_ids` for integers of more than 64 bits and for broken text."""
    try:
        if isinstance(ids[0], str):
            "".join(ids).encode()
            return
    except UnicodeEncodeError:
        pass
    else:
        if -(2**63) <= min(ids) and max(ids) < 2**63:
            return
    as_ids(ids, what)
