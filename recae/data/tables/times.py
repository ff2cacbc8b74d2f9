"""Reads columns of times: whole numbers in any unit, or dates, but not both in one table."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.api import types

from recae.data.tables.arrays import series
from recae.data.tables.columns import Times
from recae.data.tables.dates import fitting, nanoseconds_hold
from recae.errors import DataError

WHOLE, DATES, ZONED = "whole numbers", "dates", "dates with a time zone"


class OneKind:
    """Compares the blocks of one column of times. All must be of one kind: a table of dates that
    goes on in seconds would have its order wrong."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.seen: tuple[str, str] | None = None  # the kind, and an example with its place

    def check(self, column: pd.Series[Any], first_row: int = 0, file: str | None = None) -> None:
        """Raises DataError if a column of `moments` is of another kind than an earlier one."""
        there = column.notna().to_numpy()
        if not there.any():
            return
        row = int(there.argmax())
        kind, example = kind_of(column), f"{column.iloc[row]} at row {first_row + row}"
        if self.seen is None:
            self.seen = kind, f"{example} of {file}" if file else example
        elif kind != self.seen[0]:
            raise DataError(
                f"times of column {self.name!r} are of two kinds: {self.seen[0]} "
                f"({self.seen[1]}), and {kind} here ({example}); convert one of them, or leave "
                "times out with time=None"
            )


def kind_of(column: pd.Series[Any]) -> str:
    """The kind of a column that `moments` returned."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return ZONED
    return DATES if types.is_datetime64_any_dtype(column.dtype) else WHOLE


def moments(column: Any, name: str, first_row: int = 0) -> pd.Series[Any]:
    """A column of times, where objects and ISO text that are dates have become datetime64.

    Raises DataError for dates with a zone among dates without one.
    """
    values = series(column)
    if types.is_object_dtype(values.dtype):
        return _objects(values, name, first_row)
    return _text(values) if types.is_string_dtype(values.dtype) else values


def _objects(column: pd.Series[Any], name: str, first_row: int) -> pd.Series[Any]:
    """Objects as what they are: dates, text, or numbers (also decimals)."""
    missing = column.isna()
    some = column[~missing]
    kind = types.infer_dtype(some, skipna=False)
    if kind == "string":
        return _text(column)
    if kind in ("date", "datetime", "datetime64", "mixed") and all(
        isinstance(value, datetime.date | np.datetime64) for value in some
    ):
        zoned = np.array([getattr(value, "tzinfo", None) is not None for value in some])
        if zoned.any() and not zoned.all():
            row = int(np.flatnonzero(~missing)[zoned != zoned[0]][0])
            raise DataError(
                f"times of column {name!r} are of two kinds: {some.iloc[0]!r} and "
                f"{column.iloc[row]!r} at row {first_row + row}, one with a time zone and one "
                "without; convert them with pandas.to_datetime(..., utc=True)"
            )
        # Not over the missing ones: pandas would cast a date to datetime64 in seconds beside NaT.
        found = pd.Series(pd.to_datetime(some.to_list(), utc=bool(zoned.any())), index=some.index)
        return found.reindex(column.index)
    if kind in ("integer", "decimal", "floating", "mixed-integer-float") and len(some):
        exact = kind in ("integer", "decimal") and not missing.any()
        if exact and all(value == value // 1 and -(2**63) <= value < 2**63 for value in some):
            return pd.Series([int(value) for value in some], index=column.index, dtype=np.int64)
        return column.astype(np.float64)
    return column


def _text(column: pd.Series[Any]) -> pd.Series[Any]:
    """ISO dates as datetime64, all with a time zone or all without; other text as it is."""
    try:
        texts = pa.array(column, pa.large_string(), from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError):
        return column
    # Microseconds for years that nanoseconds cannot hold, which are refused by name.
    units = ("ns", "us") if nanoseconds_hold(texts) else ("us",)
    for zone in (None, "UTC"):
        for unit in units:
            try:
                dates = texts.cast(pa.timestamp(unit, tz=zone)).to_pandas()
            except pa.ArrowException:
                continue
            return pd.Series(dates.array, index=column.index)
    return column


def time_array(column: Any, name: str, first_row: int = 0) -> Times:
    """A time column as (rows,) int64: nanoseconds since 1970 (UTC) of dates, else its own unit."""
    column = moments(column, name, first_row)
    missing = column.isna().to_numpy()
    if missing.any():
        raise DataError(
            f"times are missing in {int(missing.sum()):,} rows of column {name!r}, the first at "
            f"row {first_row + int(missing.argmax())}; drop those rows, or leave times out with "
            "time=None"
        )
    if types.is_datetime64_any_dtype(column.dtype):
        try:
            moment: Times = pd.DatetimeIndex(column).as_unit("ns").asi8
            return moment
        except (OverflowError, ValueError):  # OutOfBoundsDatetime is a ValueError
            years = pd.DatetimeIndex(column).year
            far = np.asarray((years < 1678) | (years > 2261))
            row = int(far.argmax())
            raise DataError(
                f"column {name!r} has dates outside the years 1678 to 2262: {column.iloc[row]} at "
                f"row {first_row + row} ({int(far.sum()):,} such rows)"
            ) from None
    if types.is_integer_dtype(column.dtype):
        beyond = (column > np.iinfo(np.int64).max).to_numpy()
        if not beyond.any():
            whole: Times = column.to_numpy(dtype=np.int64)
            return whole
        row = int(beyond.argmax())
        raise DataError(
            f"times must be whole numbers below 2**63, or dates; column {name!r} holds "
            f"{column.iloc[row]} at row {first_row + row} ({int(beyond.sum()):,} such rows)"
        )
    if types.is_float_dtype(column.dtype):
        floats = column.to_numpy(dtype=np.float64)
        good = (floats == np.floor(floats)) & (np.abs(floats) < 2.0**63)
        if good.all():
            exact: Times = floats.astype(np.int64)
            return exact
        row = int(good.argmin())
        raise DataError(
            f"times must be whole numbers or dates; column {name!r} holds {floats[row]} at row "
            f"{first_row + row} ({int((~good).sum()):,} such rows)"
        )
    raise _no_times(column, name, first_row)


def _no_times(column: pd.Series[Any], name: str, first_row: int) -> DataError:
    """The error for a column of text or of something else, with the first value at fault."""
    bad = np.ones(len(column), dtype=np.bool_)
    if types.is_object_dtype(column.dtype) or types.is_string_dtype(column.dtype):
        dates = pd.to_datetime(column.astype(str), errors="coerce", format="ISO8601", utc=True)
        if dates.notna().any():
            bad = dates.isna().to_numpy()
    if not bad.any():  # each is a date, but some have a time zone
        zoned = column.astype(str).str.contains(r"Z$|[+-]\d\d:?\d\d$", regex=True).to_numpy()
        bad = zoned != zoned[0]
    row = int(bad.argmax())
    value = column.iloc[row]
    formats = fitting(pa.array([value])) if isinstance(value, str) else []
    known = " or ".join(f"format={one!r}" for one in formats)
    return DataError(
        f"times must be whole numbers or dates, all of one kind; column {name!r} is {column.dtype} "
        f"and holds {value!r} ({type(value).__name__}) at row {first_row + row} "
        f"({int(bad.sum()):,} such rows); convert it with "
        f"pandas.to_datetime{f' and {known}' if known else ''}, or leave times out with time=None"
    )
