"""Finds the rows of a column whose values cannot be used, once its strict reading has failed."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api import types

from recae.data.ids import as_array, as_series, checked, noun
from recae.data.tables import columns as table
from recae.data.tables.faults import Found, Mask
from recae.data.tables.times import time_array
from recae.errors import DataError


def id_faults(column: Any, what: str) -> tuple[list[Found], Any, Mask]:
    """The faults of a column of ids, the rest of it as `checked` takes it, and which rows it has.

    column: pandas or Arrow, one that `checked` refuses. Missing ids; floats and integers that need
    more than 64 bits among integers; ids of another kind than most. No fault is found where all the
    column is of a wrong type.
    """
    ids = noun(what)
    series = as_series(column, what)
    missing = series.isna().to_numpy()
    series = series[~missing]
    found = [Found(f"{ids} are missing", missing)] if missing.any() else []
    good = ~missing

    def bad(mask: Mask, sentence: str, remedy: str) -> None:
        """Rows of what is left of the column, as rows of the block."""
        nonlocal series
        values, full = np.empty(len(missing), dtype=object), np.zeros(len(missing), np.bool_)
        full[np.flatnonzero(good)[mask]] = True
        values[full] = series[mask].astype(object)
        found.append(Found(sentence, full, values, remedy))
        good[full] = False
        series = series[~mask]

    if types.is_float_dtype(series.dtype):
        numbers = series.to_numpy(dtype=np.float64)
        odd = (numbers != np.floor(numbers)) | (np.abs(numbers) > 2.0**53)
        if odd.any() and not odd.all():
            bad(odd, f"{ids} must be integers or text, not floats", "cast all to int or str")
        if found and not odd.all():
            series = series.astype(np.int64)  # they were integers before a row was missing
    elif types.is_object_dtype(series.dtype) and len(series):
        kinds = np.array([_kind(value) for value in series], dtype=object)
        names, counts = np.unique(kinds, return_counts=True)
        known = [(n, str(k)) for k, n in zip(names, counts, strict=True) if k not in _NO_IDS]
        if len(names) > 1 and known:
            most = max(count for count, _ in known)
            usual = next(kind for kind in kinds if (most, kind) in known)
            others = " and ".join(sorted({str(kind) for kind in names} - {usual}))
            bad(kinds != usual, f"{ids} mix {usual} and {others}", "cast all of them to str")
    series, far = _within_64_bits(series)
    if far is not None:
        bad(far, f"{ids} must fit in 64 bits", 'cast them to str, or read them with ids="text"')
    return found, series, good


_NO_IDS = ("floats", "booleans", "other values")


def _kind(value: object) -> str:
    """The kind of an id for messages, such as "text" or "integers"; a boolean is no integer
    here."""
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool | np.bool_):
        return "booleans"
    if isinstance(value, int | np.integer):
        return "integers"
    if isinstance(value, float | np.floating):
        return "floats"
    if isinstance(value, uuid.UUID):
        return "UUIDs"
    return "dates" if isinstance(value, datetime.date) else "other values"


def _within_64_bits(series: pd.Series[Any]) -> tuple[pd.Series[Any], Mask | None]:
    limits = np.iinfo(np.int64)
    whole = types.is_integer_dtype(series.dtype) or (
        types.is_object_dtype(series.dtype) and types.infer_dtype(series) == "integer"
    )
    if not whole or not len(series):
        return series, None
    far = ((series > limits.max) | (series < limits.min)).to_numpy(dtype=np.bool_)
    return series, far if far.any() and not far.all() else None


def encoded(ids: Any, column: Any, first_row: int) -> tuple[npt.NDArray[np.int32], list[Found]]:
    """The codes of a column by `ids.encode`, (rows,) int32, -1 in rows with a fault; the faults.

    Raises the DataError of `encode` where it is not about some rows.
    """
    try:
        return ids.encode(column, first_row), []
    except DataError:
        what = getattr(ids, "what", None) or ids.ids.what
        found, rest, good = id_faults(column, what)
        if not found:
            raise
        codes = np.full(len(good), -1, dtype=np.int32)
        if good.any():
            values = as_array(checked(rest.reset_index(drop=True), what, first_row))
            codes[good] = ids.encode(pd.Series(values), first_row)
        return codes, found


def weight_faults(
    column: pd.Series[Any], name: str, first_row: int, min_weight: float | None
) -> tuple[npt.NDArray[np.float64], list[Found]]:
    """A column of weights as floats, 1 in rows with a fault, (rows,) float64; and the faults.

    Missing values, text that is no number, infinite and too large numbers, and, without
    `min_weight`, numbers that are not above 0. Raises DataError for text with decimal commas, which
    are no few bad rows.
    """
    missing = column.isna().to_numpy(dtype=np.bool_)
    words = types.is_object_dtype(column.dtype) or types.is_string_dtype(column.dtype)
    if not words and (column.dtype.kind in "bc" or not types.is_numeric_dtype(column)):
        return np.ones(len(column)), []
    given = column.astype(object).to_numpy()
    try:
        read: Any = pd.to_numeric(column, errors="coerce") if words else column
    except (OverflowError, TypeError, ValueError):  # objects, whose first fault is named already
        return np.ones(len(column)), []
    if read.dtype.kind == "c":
        return np.ones(len(column)), []
    with np.errstate(all="ignore"):
        numbers = read.to_numpy(dtype=np.float64, na_value=np.nan)
    unread = np.isnan(numbers) & ~missing
    commas = unread & column.astype(str).str.fullmatch(r"\s*[+-]?\d*,\d+\s*").to_numpy(bool)
    if words and commas.any():
        row = int(commas.argmax())
        raise DataError(
            f"column {name!r} has decimal commas in {int(commas.sum()):,} of {len(given):,} rows, "
            f"the first {given[row]!r} at row {first_row + row}; replace them with points, as "
            f'frame[{name!r}].str.replace(",", ".").astype(float) does, or read the file with '
            "recae.read_csv, which finds them",
            parameter="weight",
            value=given[row],
        )
    if words and not (~np.isnan(numbers)).any():
        return numbers, []  # a column of text
    with np.errstate(all="ignore"):
        stored = numbers.astype(np.float32)
        low = (stored <= 0) & (True if min_weight is None else stored >= min_weight)
    found, where = [], f"weights of column {name!r}"
    for what, bad, remedy in (
        (f"{where} are missing", missing, ""),
        (f"{where} must be numbers", unread & words, ""),
        (f"{where} must be finite", np.isinf(numbers) | (unread & (not words)), ""),
        (f"{where} must fit in float32 (3.4e38)", _large(numbers), "divide them"),
        (f"{where} must be > 0", low, "keep the positive ones with min_weight=, or shift them"),
    ):
        if bad.any():
            found.append(Found(what, bad, None if bad is missing else given, remedy))
            numbers = np.where(bad, 1.0, numbers)
    return numbers, found


def _large(numbers: npt.NDArray[np.float64]) -> Mask:
    return np.isfinite(numbers) & (np.abs(numbers) > float(np.finfo(np.float32).max))


def time_faults(column: pd.Series[Any], name: str) -> tuple[pd.Series[Any], list[Found]]:
    """A column of times without its faults, where it has the first good value; and the faults.

    Missing values; among floats those that are not whole; text among numbers or ISO dates; dates
    that nanoseconds cannot hold, such as 9999-12-31.
    """
    missing = column.isna().to_numpy(dtype=np.bool_)
    found = []
    if missing.any():
        remedy = "leave times out with time=None, or drop those rows"
        found.append(Found(f"times of column {name!r} are missing", missing, None, remedy))
    bad = missing.copy()
    what = f"times of column {name!r} must be whole numbers or dates"
    if types.is_float_dtype(column.dtype):
        numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
        with np.errstate(invalid="ignore"):
            odd = ~missing & ~((numbers == np.floor(numbers)) & (np.abs(numbers) < 2.0**63))
        if odd.any() and not odd.all():
            found.append(Found(what, odd, column.to_numpy()))
            bad |= odd
    elif types.is_datetime64_any_dtype(column.dtype):
        years = pd.DatetimeIndex(column).year
        odd = ~missing & np.asarray((years < 1678) | (years > 2261))
        if odd.any() and not odd.all():
            years_known = f"times of column {name!r} must be dates of the years 1678 to 2262"
            found.append(Found(years_known, odd, column.astype(str).to_numpy(dtype=object)))
            bad |= odd
    elif types.is_object_dtype(column.dtype) or types.is_string_dtype(column.dtype):
        parsed: Any = pd.to_numeric(column, errors="coerce")
        dates: Any = pd.to_datetime(column.astype(str), errors="coerce", utc=True, format="ISO8601")
        best = parsed if parsed.notna().sum() >= dates.notna().sum() else dates
        odd = best.isna().to_numpy() & ~missing
        if odd.any() and best.notna().any():
            found.append(Found(what, odd, column.to_numpy(dtype=object)))
            bad |= odd
            column = best
    if not found or bad.all():
        return column, found
    good: Any = column[~bad]
    if types.is_float_dtype(good.dtype):
        good = good.astype(np.int64) if (good == np.floor(good)).all() else good
    filled = np.empty(len(column), dtype=np.int64)
    filled[:] = np.flatnonzero(~bad)[0]
    filled[~bad] = np.arange(int((~bad).sum()))
    filled[bad] = 0
    return good.reset_index(drop=True).take(filled).reset_index(drop=True), found


def weights_of(
    column: pd.Series[Any], name: str, first_row: int, min_weight: float | None
) -> tuple[table.Weights, list[Found]]:
    """The weights of a block as float32, 1 in rows with a fault, and the faults.

    Raises the DataError of `number_array` or `stored_weights` where it is not about some rows.
    """
    try:
        given = table.number_array(column, f"column {name!r}", first_row)
        return table.stored_weights(given, first_row, min_weight), []
    except DataError as error:
        try:
            numbers, found = weight_faults(column, name, first_row, min_weight)
        except ArithmeticError:  # of Decimal("sNaN")
            raise error from None
        if not found:
            raise
        return table.stored_weights(numbers, first_row, min_weight), found


def times_of(column: pd.Series[Any], name: str, first_row: int) -> tuple[table.Times, list[Found]]:
    """The times of a block, any in rows with a fault, and the faults; errors as in `weights_of`."""
    try:
        return time_array(column, name, first_row), []
    except DataError:
        rest, found = time_faults(column, name)
        if not found:
            raise
        if np.logical_or.reduce([fault.mask for fault in found]).all():
            return np.zeros(len(column), dtype=np.int64), found
        return time_array(rest, name, first_row), found
