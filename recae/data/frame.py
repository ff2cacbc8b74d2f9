"""A frame of interactions becomes id maps and one entry for each (user, item)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from recae.data import table
from recae.data.idmap import IdMap
from recae.errors import DataError


class Entries(NamedTuple):
    """Distinct ascending cells `user * n_items + item` with their weights and times, (nnz,)."""

    pairs: npt.NDArray[np.int64]
    weights: table.Weights
    times: table.Times | None
    users: IdMap
    items: IdMap


def read_entries(
    frame: pd.DataFrame,
    columns: table.Columns,
    duplicates: str,
    min_weight: float | None,
    users: IdMap | None,
    items: IdMap | None,
) -> Entries:
    """The work of `Interactions.from_frame`, which documents the arguments and the errors.

    columns: the names of the user, item, weight and time columns.
    """
    table.check_duplicates(duplicates)
    if not isinstance(frame, pd.DataFrame):
        raise DataError(f"a pandas DataFrame is needed, not {type(frame).__name__}")
    user, item, weight, time = table.needed_columns(frame.columns, columns)
    if not len(frame):
        raise DataError("the table has no rows")
    user_map, user_codes = _coded(frame[user], users, "user")
    item_map, item_codes = _coded(frame[item], items, "item")
    weights: npt.NDArray[Any] = np.ones(len(frame), dtype=np.float32)
    if weight is not None:
        weights = table.weight_array(frame[weight], f"column {weight!r}")
    times = None if time is None else table.time_array(frame[time], time)
    if min_weight is not None:
        if weight is None:
            raise DataError("min_weight= needs a weight column, and there is none")
        kept = weights >= min_weight
        if not kept.any():
            largest = float(weights.max())
            raise DataError(f"no row has a weight >= {min_weight:g}; the largest is {largest:g}")
        user_codes, item_codes, weights = user_codes[kept], item_codes[kept], weights[kept]
        times = None if times is None else times[kept]
        # Only now: row numbers in the messages above are those of the user's frame.
        if users is None:
            user_map, user_codes = _used(user_map, user_codes)
        if items is None:
            item_map, item_codes = _used(item_map, item_codes)
    positive = table.positive_float32(weights)
    pairs = user_codes * len(item_map) + item_codes  # int64: never overflows below 3e9 x 3e9
    if duplicates == "error":
        _refuse_duplicates(pairs, user_map, item_map)
    pairs, positive, times = table.merge_duplicates(pairs, positive, times, duplicates)
    return Entries(pairs, positive, times, user_map, item_map)


def _coded(
    column: pd.Series[Any], known: IdMap | None, what: str
) -> tuple[IdMap, npt.NDArray[np.int64]]:
    return IdMap.from_values(column, what) if known is None else (known, known.encode(column))


def _used(ids: IdMap, codes: npt.NDArray[np.int64]) -> tuple[IdMap, npt.NDArray[np.int64]]:
    """The map without the ids that no code refers to, and the codes in it."""
    used = np.bincount(codes, minlength=len(ids)) > 0
    return IdMap(ids.ids[used], ids.what), (np.cumsum(used) - 1)[codes]


def _refuse_duplicates(pairs: npt.NDArray[np.int64], users: IdMap, items: IdMap) -> None:
    repeated = pd.Series(pairs).duplicated().to_numpy()
    if repeated.any():
        row, column = divmod(int(pairs[repeated.argmax()]), len(items))
        raise DataError(
            f"{int(repeated.sum()):,} rows repeat a pair of user and item; the first is user "
            f"{users.decode([row]).tolist()[0]!r} with item {items.decode([column]).tolist()[0]!r}"
            "; choose what becomes of them with duplicates="
        )
