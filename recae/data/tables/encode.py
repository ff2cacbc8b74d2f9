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
        return self.ids.encode(for_pandas(column), first_row).astype(np.int32)


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
        if isinstance(column, pa.Array) and not pa.types.is_integer(column.type):
            codes, distinct = _factorized(column, self.what, first_row)
            of_rows: Codes32 = self._places(distinct, first_row)[codes]
            return of_rows
        return self._places(checked(for_pandas(column), self.what, first_row), first_row)

    def _places(self, values: Any, first_row: int) -> Codes32:
        """The codes of checked values, new ones added to those known."""
        if not len(values):
            return np.empty(0, dtype=np.int32)
        self._check_kind(values, first_row)
        places = self.old.find(values)
        rest = np.flatnonzero(places < 0)
        if len(rest):
            codes, distinct = pd.factorize(values[rest])
            found = self.recent.find(distinct)
            new = np.flatnonzero(found < 0)
            found[new] = np.arange(self.size, self.size + len(new), dtype=np.int32)
            self.size += len(new)
            self.recent.add(as_array(distinct[new]))
            places[rest] = found[codes]
            if len(self.recent.ids) > RECENT_SHARE * len(self.old.ids):
                self.old.add(self.recent.ids)
                self.recent = _Ids(first=self.size)
        return places

    def finish(self, used: npt.NDArray[np.bool_]) -> tuple[IdMap, Codes32]:
        """The ascending ids that are used, and the new code of every old one, (ids,) int32."""
        self.old.add(self.recent.ids)
        ids, kept = self.old.ids, np.flatnonzero(used)
        kept = kept[np.argsort(ids[kept], kind="stable")]
        codes = np.full(len(ids), -1, dtype=np.int32)
        codes[kept] = np.arange(len(kept), dtype=np.int32)
        return IdMap(ids[kept], self.what), codes

    def _check_kind(self, values: Any, first_row: int) -> None:
        known = self.old.ids
        if len(known) and (known.dtype == np.int64) != (values.dtype == np.int64):
            raise DataError(
                f"{noun(self.what)} mix integers and text: {show(known[0])} before, "
                f"{show(values[0])} from row {first_row:,} on; cast all of them to str"
            )


class _Ids:
    """Distinct ids with numbers from `first` on, in the order in which they came."""

    def __init__(self, first: int = 0) -> None:
        self.first = first
        self.ids: Ids = np.empty(0, dtype=np.int64)
        self.index: pd.Index[Any] = pd.Index(self.ids)

    def find(self, values: Any) -> Codes32:
        """The numbers of some ids, (rows,) int32, -1 for unknown ones."""
        if not len(self.ids):
            return np.full(len(values), -1, dtype=np.int32)
        wanted: pd.Index[Any] = pd.Index(values, dtype=self.ids.dtype)
        found = self.index.get_indexer(wanted).astype(np.int32)
        found[found >= 0] += self.first
        return found

    def add(self, new: Ids) -> None:
        """Ids that are not known yet."""
        self.ids = np.concatenate([self.ids, new]) if len(self.ids) else new
        self.index = pd.Index(self.ids, dtype=self.ids.dtype)


def _factorized(column: pa.Array, what: str, first_row: int) -> tuple[npt.NDArray[Any], Any]:
    """Codes into values of an Arrow batch, and those values, checked: each is looked at once."""
    is_encoded = pa.types.is_dictionary(column.type)
    try:
        encoded = column if is_encoded else column.dictionary_encode()
        if encoded.null_count or encoded.dictionary.null_count:
            raise DataError("the message comes from the rows, below")
        distinct = as_array(checked(for_pandas(encoded.dictionary), what))
    except (DataError, pa.ArrowException):  # named by row, not by place among distinct values
        plain = column.dictionary_decode() if is_encoded else column
        codes, values = pd.factorize(checked(for_pandas(plain), what, first_row))
        return codes, as_array(values)
    return encoded.indices.to_numpy(), distinct


def for_pandas(column: Any) -> Any:
    """Arrow columns as pandas ones; 16 bytes are taken for a UUID."""
    if not isinstance(column, pa.Array):
        return column
    if str(column.type) == "fixed_size_binary[16]":
        ids = [None if value is None else uuid.UUID(bytes=value) for value in column.to_pylist()]
        return pd.Series(ids, dtype=object)
    return column.to_pandas()
