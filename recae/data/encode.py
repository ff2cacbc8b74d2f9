"""A column of ids becomes codes, batch by batch, without ever being held as a whole."""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from recae.data.idmap import IdMap
from recae.data.ids import Ids, as_array, checked, noun, show
from recae.errors import DataError

Codes32 = npt.NDArray[np.int32]

RECENT_SHARE = 0.25
"""Ids met lately are merged with the others when there are this many of them, relative to those:
the hash table of all ids is then rebuilt a few times only."""


class KnownIds:
    """Codes a column against a given map; unknown ids are a DataError."""

    def __init__(self, ids: IdMap) -> None:
        self.ids = ids

    def encode(self, column: Any, first_row: int) -> Codes32:
        """The codes of a batch, (rows,) int32; `first_row` is the number of its first row."""
        return self.ids.encode(_for_pandas(column), first_row).astype(np.int32)


class NewIds:
    """Codes a column in the order in which ids appear; `finish` says how to reorder the codes."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.size = 0
        self.old, self.recent = _Ids(), _Ids()

    def encode(self, column: Any, first_row: int) -> Codes32:
        """The codes of a batch, (rows,) int32; `first_row` is the number of its first row.

        Raises DataError as `as_ids` does, and for text after integers or the reverse.
        """
        codes, distinct = _factorized(column, self.what, first_row)
        if not len(distinct):
            return codes.astype(np.int32)
        self._check_kind(distinct, first_row)
        places = self.old.find(distinct)
        rest = np.flatnonzero(places < 0)
        if len(rest):
            places[rest] = self.recent.find(distinct[rest])
            new = rest[places[rest] < 0]
            places[new] = np.arange(self.size, self.size + len(new))
            self.size += len(new)
            self.recent.add(distinct[new])
            if len(self.recent.ids) > RECENT_SHARE * len(self.old.ids):
                self.old.add(self.recent.ids)
                self.recent = _Ids(first=self.size)
        batch: Codes32 = places.astype(np.int32)[codes]
        return batch

    def finish(self, used: npt.NDArray[np.bool_]) -> tuple[IdMap, Codes32]:
        """The ascending ids that are used, and the new code of every old one, (ids,) int32."""
        self.old.add(self.recent.ids)
        ids, kept = self.old.ids, np.flatnonzero(used)
        kept = kept[np.argsort(ids[kept], kind="stable")]
        codes = np.full(len(ids), -1, dtype=np.int32)
        codes[kept] = np.arange(len(kept), dtype=np.int32)
        return IdMap(ids[kept], self.what), codes

    def _check_kind(self, distinct: Ids, first_row: int) -> None:
        known = self.old.ids if len(self.old.ids) else self.recent.ids
        if len(known) and known.dtype != distinct.dtype:
            raise DataError(
                f"{noun(self.what)} mix integers and text: {show(known[0])} before, "
                f"{show(distinct[0])} from row {first_row:,} on; cast all of them to str"
            )


class _Ids:
    """Distinct ids with numbers from `first` on, in the order in which they came."""

    def __init__(self, first: int = 0) -> None:
        self.first = first
        self.ids: Ids = np.empty(0, dtype=np.int64)
        self.index: pd.Index[Any] = pd.Index(self.ids)

    def find(self, distinct: Ids) -> npt.NDArray[np.int64]:
        """The numbers of distinct ids, -1 for unknown ones."""
        if not len(self.ids):
            return np.full(len(distinct), -1, dtype=np.int64)
        wanted: pd.Index[Any] = pd.Index(distinct, dtype=distinct.dtype)
        found = self.index.get_indexer(wanted).astype(np.int64, copy=False)
        return np.where(found < 0, found, found + self.first)

    def add(self, new: Ids) -> None:
        """Ids that are not known yet."""
        self.ids = np.concatenate([self.ids, new]) if len(self.ids) else new
        self.index = pd.Index(self.ids, dtype=self.ids.dtype)


def _factorized(column: Any, what: str, first_row: int) -> tuple[npt.NDArray[Any], Ids]:
    """Codes into the distinct ids of a batch, and those ids in their normal form."""
    if isinstance(column, pa.Array) and not pa.types.is_integer(column.type):
        try:
            if not pa.types.is_dictionary(column.type):
                column = column.dictionary_encode()
            if column.null_count or column.dictionary.null_count:
                raise DataError("the message comes from the rows, below")
            distinct = as_array(checked(_for_pandas(column.dictionary), what))
        except (DataError, pa.ArrowException):  # named by row, not by place among distinct values
            return _hashed(_for_pandas(column), what, first_row)
        places, once = pd.factorize(distinct)  # two spellings of a date can be one id
        return places[column.indices.to_numpy()], as_array(once)
    return _hashed(_for_pandas(column), what, first_row)


def _hashed(column: Any, what: str, first_row: int) -> tuple[npt.NDArray[Any], Ids]:
    codes, distinct = pd.factorize(checked(column, what, first_row))
    return codes, as_array(distinct)


def _for_pandas(column: Any) -> Any:
    """Arrow columns as pandas ones; 16 bytes are taken for a UUID."""
    if not isinstance(column, pa.Array):
        return column
    if str(column.type) == "fixed_size_binary[16]":
        ids = [None if value is None else uuid.UUID(bytes=value) for value in column.to_pylist()]
        return pd.Series(ids, dtype=object)
    return column.to_pandas()
