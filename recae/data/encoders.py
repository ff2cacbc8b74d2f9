"""Codes columns of ids block by block: against known ids, or in the order in which ids appear."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from recae.data.idmap import Codes32, IdMap
from recae.data.ids import Ids, as_array, checked, noun, show
from recae.errors import DataError

RECENT_SHARE = 0.25
"""New ids are merged with the known ones when their number reaches this share, so that the hash
table of all ids is rebuilt only a few times."""


class KnownIds:
    """Codes a column against a given map; unknown ids are a DataError."""

    def __init__(self, ids: IdMap) -> None:
        self.ids = ids

    def encode(self, column: Any, first_row: int) -> Codes32:
        """The codes of a batch, (rows,) int32; `first_row` is the number of its first row."""
        return self.ids.encode(column, first_row).astype(np.int32)


class NewIds:
    """Codes a column in the order in which ids appear; `finish` gives the ascending order."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.size = 0
        self.old, self.recent = _Ids(), _Ids()
        self.example: Ids = self.old.ids  # the first id, if there is one

    def encode(self, column: Any, first_row: int) -> Codes32:
        """The codes of a batch, (rows,) int32; `first_row` is the number of its first row.

        Raises DataError as `as_ids` does, and for text after integers or the reverse.
        """
        if isinstance(column, pa.Array) and not pa.types.is_integer(column.type):
            codes, distinct = _factorized(column, self.what, first_row)
            of_rows: Codes32 = self._places(distinct, first_row)[codes]
            return of_rows
        return self._places(checked(column, self.what, first_row), first_row)

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
            self.example = self.example if len(self.example) else self.recent.ids[:1]
            places[rest] = found[codes]
            if len(self.recent.ids) > RECENT_SHARE * len(self.old.ids):
                self.old.add(self.recent.ids)
                self.recent = _Ids(first=self.size)
        return places

    def finish(self, used: npt.NDArray[np.bool_]) -> tuple[IdMap, Codes32]:
        """The ascending ids that are used, and the new code of every old one, (ids,) int32."""
        ids, kept = self.take(), np.flatnonzero(used)
        kept = kept[np.argsort(ids[kept], kind="stable")]
        codes = np.full(len(ids), -1, dtype=np.int32)
        codes[kept] = np.arange(len(kept), dtype=np.int32)
        return IdMap(ids[kept], self.what), codes

    def take(self) -> Ids:
        """The ids in the order in which they appeared. They are forgotten, their number is not."""
        self.old.add(self.recent.ids)
        ids, self.old, self.recent = self.old.ids, _Ids(self.size), _Ids(self.size)
        return ids

    def _check_kind(self, values: Any, first_row: int) -> None:
        known = self.example
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
        """New ids."""
        self.ids = np.concatenate([self.ids, new]) if len(self.ids) else new
        self.index = pd.Index(self.ids, dtype=self.ids.dtype)


def _factorized(column: pa.Array, what: str, first_row: int) -> tuple[npt.NDArray[Any], Any]:
    """Codes of an Arrow batch, and the distinct values that it has, each checked once."""
    is_encoded = pa.types.is_dictionary(column.type)
    try:
        encoded = column if is_encoded else column.dictionary_encode()
        if encoded.null_count or encoded.dictionary.null_count:
            raise DataError("the message comes from the rows, below")
        codes, values = encoded.indices.to_numpy(), encoded.dictionary
        used = np.zeros(len(values), dtype=np.bool_)
        used[codes] = True
        if not used.all():  # a dictionary may have values that no row has
            codes, values = (np.cumsum(used) - 1)[codes], values.filter(pa.array(used))
        distinct = as_array(checked(values, what))
    except (DataError, pa.ArrowException):  # named by row, not by place among distinct values
        codes, of_rows = pd.factorize(checked(column, what, first_row))
        return codes, as_array(of_rows)
    return codes, distinct
