"""Finds and checks the columns of a table: ids, weights, timestamps and repeated pairs."""

from __future__ import annotations

import decimal
import math
import numbers
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api import types

from recae.data.tables.arrays import series
from recae.errors import DataError, UnusedColumn, nearest, warn

Weights = npt.NDArray[np.float32]
Times = npt.NDArray[np.int64]
Columns = tuple[str, str, str | None, str | None]  # the names for user, item, weight, time

Headers = list[tuple[str, list[str]]]  # of each part: how messages begin, and its columns

DEFAULT_WEIGHT = "weight"
DEFAULT_TIME = "timestamp"
DUPLICATES = ("last", "first", "sum", "max", "error")


def needed_columns(headers: Headers, columns: Columns) -> Columns:
    """The columns to read, with None for a weight or time that is absent.

    headers: for each part of a table, the beginning of messages about it and the names of its
    columns. Weight and time may be absent under their default names only. Raises DataError for any
    other absent column, with the nearest spelling and the columns there are, and for a part that
    has other columns than the first.
    """
    found = [_needed(label, names, columns) for label, names in headers]
    for (label, _), used in zip(headers, found, strict=True):
        for here, there in zip(used, found[0], strict=True):
            if here != there:
                raise DataError(
                    f"{label}the first file {'has' if there else 'lacks'} the column "
                    f"{there or here!r} and this one {'has' if here else 'lacks'} it; name the "
                    "columns to use, or leave one out with None"
                )
    return found[0]


def _needed(label: str, names: list[str], columns: Columns) -> Columns:
    """The columns of one part of a table, see `needed_columns`."""
    user, item = map(str, columns[:2])  # labels of a frame may be numbers
    weight, time = (None if name is None else str(name) for name in columns[2:])
    weight = None if weight == DEFAULT_WEIGHT and weight not in names else weight
    time = None if time == DEFAULT_TIME and time not in names else time
    for role, name in (("user", user), ("item", item), ("weight", weight), ("time", time)):
        if name is not None and names.count(name) != 1:
            found = "there are several" if name in names else "there is none"
            near = None if name in names else _meant(role, name, names)
            absent = [
                one for one, column in (("user", user), ("item", item)) if column not in names
            ]
            hint = "" if near is None else f"; did you mean {role}={near!r}?"
            if near is None and role in absent:
                hint = f"; name it with {' and '.join(f'{one}=...' for one in absent)}"
            raise DataError(
                f"{label}the {role} column {name!r} is needed, but {found}{hint}; columns: "
                f"{', '.join(names)}",
                parameter=role,
                value=name,
            )
    used = [name for name in (user, item, weight, time) if name is not None]
    if len(set(used)) < len(used):
        raise DataError(f"user, item, weight and time must be different columns, not {used}")
    return user, item, weight, time


LIKE_WEIGHTS = ("rating", "ratings", "stars", "weight", "weights")
LIKE_TIMES = ("time", "date", "datetime", "timestamp")


def warn_of_unused(headers: Headers, asked: Columns, used: Columns) -> None:
    """Warns with `UnusedColumn` where no weights or times are read, under the default name, and a
    column is called like some."""
    for role, place, like, instead in (
        ("weight", 2, LIKE_WEIGHTS, "every row counts 1"),
        ("time", 3, LIKE_TIMES, "the order of the rows stands for time"),
    ):
        if asked[place] is None or used[place] is not None:
            continue
        names = [name for name in headers[0][1] if name.lower() in like and name not in used]
        if names:
            warn(
                f"{headers[0][0]}the column {names[0]!r} is not used: {instead}. Pass "
                f"{role}={names[0]!r} to use it, or {role}=None to leave it out (on the command "
                f"line --{role} {names[0]} or --{role} '')",
                UnusedColumn,
            )


def _meant(role: str, name: str, names: list[str]) -> str | None:
    """The column that is spelt like the name, or else one that is called like the role."""
    like = (column for column in names if nearest(column, [role]) == role)
    return nearest(name, names) or next(like, None)


def number_array(
    column: Any, where: str, first_row: int = 0, what: str = "weights"
) -> npt.NDArray[Any]:
    """A column of weights, scores or ranks as finite numbers in its own precision, (rows,).

    Its own precision, so that a threshold of 3.3 keeps a float32 weight of 3.3. first_row: the
    number of the first row in messages, when the column is part of one.
    """
    column = series(column)
    dtype = column.dtype
    if types.is_object_dtype(dtype) or types.is_string_dtype(dtype):
        weights = _numbers(column, where, first_row, what)
    elif not types.is_numeric_dtype(dtype) or types.is_bool_dtype(dtype) or dtype.kind == "c":
        raise DataError(
            f"{what} must be real numbers; {where} is {dtype} (first: {column.iloc[0]!r})"
        )
    elif isinstance(dtype, np.dtype):
        weights = column.to_numpy()
    else:
        weights = column.to_numpy(dtype=np.float64, na_value=np.nan)
    unusable = ~np.isfinite(weights)
    if unusable.any():
        row = int(unusable.argmax())
        raise DataError(
            f"{what} must be finite; {where} holds {weights[row]} at row {first_row + row} "
            f"({int(unusable.sum()):,} such rows); drop or fill them"
        )
    return weights


def _numbers(
    column: pd.Series[Any], where: str, first_row: int, what: str
) -> npt.NDArray[np.float64]:
    """Objects, such as decimals, as numbers, NaN for missing ones."""
    values = column.to_numpy(dtype=object)
    try:
        missing = pd.isna(values)
    except ArithmeticError:  # a signalling NaN of decimal raises where it is looked at
        raise DataError(f"{what} must be numbers; {where} holds Decimal('sNaN')") from None
    wrong = np.array([not _is_number(value) for value in values], dtype=np.bool_) & ~missing
    if not wrong.any():
        found = np.full(len(values), np.nan)
        with np.errstate(over="ignore"):
            found[~missing] = [_float(value) for value in values[~missing]]
        return found
    # Of text in which most are numbers, the one that is none is the culprit.
    read = pd.to_numeric(column.where(~missing, "0"), errors="coerce")
    unread = wrong & read.isna().to_numpy()
    row, cast = int((unread if unread.any() else wrong).argmax()), not unread.any()
    count = int((wrong if cast else unread).sum())
    raise DataError(
        f"{what} must be numbers; {where} holds {values[row]!r} ({type(values[row]).__name__}) at "
        f"row {first_row + row} ({count:,} such rows); "
        f"{'cast the column to float' if cast else 'drop or correct them'}"
    )


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real | decimal.Decimal) and not isinstance(
        value, bool | np.bool_
    )


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def stored_weights(
    weights: npt.NDArray[Any], first_row: int = 0, min_weight: float | None = None
) -> Weights:
    """The weights as float32, some of them below a threshold, (rows,).

    DataError for those at or above the threshold that are not above zero and finite in float32.
    Below it they may be anything: a row of weight 0 or -1 may take an earlier one back.
    """
    if min_weight is None:
        return positive_float32(weights, first_row)
    with np.errstate(over="ignore"):
        stored = weights.astype(np.float32)
    positive_float32(np.where(stored < min_weight, 1, weights), first_row)
    return stored


def positive_float32(weights: npt.NDArray[Any], first_row: int = 0) -> Weights:
    """The weights as float32; DataError unless all are above zero and finite there.

    float32 weights are returned as they are, without a copy.
    """
    with np.errstate(over="ignore"):
        stored = weights.astype(np.float32, copy=False)
    if not np.isfinite(stored).all():
        largest = float(np.max(weights))
        raise DataError(f"weights must fit in float32 (3.4e38); the largest is {largest:g}")
    low = stored <= 0
    if low.any():
        row = int(low.argmax())
        raise DataError(
            f"weights must be > 0; found {weights[row]} at row {first_row + row} "
            f"({int(low.sum()):,} such weights); keep the positive ones with min_weight=, or shift "
            "them"
        )
    return stored


def checked_times(times: npt.ArrayLike, n: int) -> Times:
    """A copy of `times` as (n,) int64; DataError if they are not n integers."""
    try:
        array = np.array(times)
    except ValueError:
        raise DataError(f"times must be {n:,} integers beside matrix.data, not lists") from None
    if array.shape != (n,) or array.dtype.kind not in "iu":
        raise DataError(
            f"times must be {n:,} integers beside matrix.data, not {array.dtype} of shape "
            f"{array.shape}"
        )
    if n and int(array.max()) > np.iinfo(np.int64).max:
        raise DataError(
            f"times must be below 2**63; found {array.max()} at place {int(array.argmax())}"
        )
    return array.astype(np.int64)


def merge_duplicates(
    pairs: npt.NDArray[np.int64], weights: Weights, times: Times | None, how: str
) -> tuple[npt.NDArray[np.int64], Weights, Times | None]:
    """Ascending distinct `pairs` (one int64 key each) with one weight, and one time, of each.

    how: "last" and "first" in time (in row order where times tie or there are none), "sum" (the
    latest time), "max" (its own time, the latest of ties).
    """
    if (pairs[1:] > pairs[:-1]).all():
        return pairs, weights, times
    # The last key is the primary one, and ties keep the order of the rows.
    keys: list[npt.NDArray[Any]] = [pairs]
    if times is not None:
        keys.insert(0, times)
    if how == "max":
        keys.insert(len(keys) - 1, weights)
    order = np.lexsort(keys)
    pairs, weights = pairs[order], weights[order]
    times = None if times is None else times[order]
    starts = np.flatnonzero(np.concatenate([[True], pairs[1:] != pairs[:-1]]))
    if len(starts) == len(pairs):
        return pairs, weights, times
    ends = np.append(starts[1:], len(pairs)) - 1
    kept = starts if how == "first" else ends
    if how == "sum":
        with np.errstate(over="ignore"):
            sums = np.add.reduceat(weights, starts, dtype=np.float64).astype(np.float32)
        if np.isposinf(sums).any():
            raise DataError(
                "weights must fit in float32 (3.4e38); the sum of repeated rows does not"
            )
        weights = sums
    else:
        weights = weights[kept]
    return pairs[starts], weights, None if times is None else times[kept]
