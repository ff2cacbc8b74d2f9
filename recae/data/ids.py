"""Normalises external ids to int64 or text and rejects every other type.

UUIDs and dates become their standard text: "0b9a...-...", "2026-11-23".
"""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Iterable
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from pandas.api import types

from recae.data.tables.arrays import check_utf8, for_pandas, is_arrow, plain, series, whole
from recae.errors import DataError

Ids = npt.NDArray[np.int64] | npt.NDArray[np.object_]
Codes = npt.NDArray[np.int64]


def as_ids(values: Any, what: str = "id") -> Ids:
    """A column of ids in its one normal form: (rows,) int64, or object holding only str.

    values: a list, numpy array, pandas Series, Index or Categorical, or anything with `to_pandas`.
    Integers of any width become int64; text of any storage becomes str; UUIDs and dates (also
    times at midnight) become their ISO text. Everything else (missing values, floats, booleans,
    bytes, mixtures, integers beyond 64 bits) raises DataError naming the first offender, its row
    (counted from 0) and the remedy. The result may share memory with `values`.

    >>> as_ids([datetime.date(2026, 11, 23)]).tolist()
    ['2026-11-23']
    """
    return as_array(checked(values, what))


def as_array(column: Any) -> Ids:
    """The array of a checked column: int64, or object of str whatever its storage was.

    Raises DataError for Arrow text that is not UTF-8.
    """
    try:
        return cast(Ids, column if column.dtype == np.int64 else np.asarray(column, dtype=object))
    except pa.ArrowException:
        check_utf8(pa.array(column))
        raise


def show(id: object) -> str:
    """An id as the user would write it: 7, not np.int64(7)."""
    return repr(id.item() if isinstance(id, np.integer) else id)


def noun(what: str) -> str:
    """The plural of `what` for messages."""
    return "ids" if what == "id" else f"{what} ids"


def checked(values: Any, what: str, first_row: int = 0) -> Any:
    """As `as_ids`, but text stays in the array it came in: hashing Arrow text is far cheaper.

    first_row: the number of the first row in messages, when the values are part of a column.
    """
    # Not a subclass, such as a masked array.
    if type(values) is np.ndarray and values.dtype == np.int64 and values.ndim == 1:
        return values
    column = as_series(values, what)
    if types.is_float_dtype(column.dtype):
        raise DataError(_float_message(column, what, first_row))
    missing = column.isna().to_numpy()
    if missing.any():
        raise DataError(
            f"{noun(what)} are missing in {int(missing.sum()):,} of {len(column):,} rows, the "
            f"first at row {first_row + int(missing.argmax())}; drop those rows"
        )
    if types.is_integer_dtype(column.dtype):
        return _as_int64(column, what, first_row)
    if types.is_object_dtype(column.dtype):
        return _checked_objects(column, what, first_row)
    if types.is_string_dtype(column.dtype):
        return column.array
    if types.is_datetime64_any_dtype(column.dtype):
        return _dates(column, what, first_row)
    example = f" (first: {column.iloc[0]!r})" if len(column) else ""
    raise DataError(
        f"{noun(what)} must be integers, text, UUIDs or dates, not {column.dtype}{example}; cast "
        "to int or str"
    )


def as_series(values: Any, what: str) -> pd.Series[Any]:
    """A column of ids, still unchecked, as a Series of numbers, text, dates or objects."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise DataError(f"{noun(what)} must be a list or array, not {values!r}")
    if is_arrow(values):
        values = _from_arrow(plain(values), what)
    elif not isinstance(values, pd.Series) and hasattr(values, "to_pandas"):
        values = values.to_pandas()
        values = _from_arrow(plain(values), what) if is_arrow(values) else values
    if getattr(values, "ndim", 1) != 1:
        raise DataError(f"{noun(what)} must have one dimension, not shape {values.shape}")
    if isinstance(values, pd.Series | pd.Index | pd.api.extensions.ExtensionArray):
        return series(values)
    if isinstance(values, np.ndarray) and not len(values):
        return pd.Series(values, dtype=np.int64)  # np.array([]) holds floats, but no float id
    if isinstance(values, np.ndarray) and values.dtype.kind != "O":
        return pd.Series(values.astype(object) if values.dtype.kind in "US" else values)
    # Anything else goes in as objects: numpy and pandas would cast [1, "a"] to text by themselves.
    column: pd.Series[Any] = pd.Series(list(values), dtype=object)
    return column if len(column) else column.astype(np.int64)


def _from_arrow(column: pa.Array, what: str) -> pd.Series[Any]:
    """Integers that may be missing stay integers, and decimals without digits become some."""
    if pa.types.is_dictionary(column.type):
        column = plain(column.dictionary_decode())
    if pa.types.is_decimal(column.type):
        if column.type.scale > 0:
            raise DataError(
                f"{noun(what)} must be integers, text, UUIDs or dates, not {column.type}; cast to "
                "int or str"
            )
        column = whole(column)
        if pa.types.is_decimal(column.type):  # some do not fit: they are named by their row
            integers = [None if value is None else int(value) for value in column.to_pylist()]
            return pd.Series(integers, dtype=object)
    if pa.types.is_integer(column.type):
        return series(column)
    return pd.Series(for_pandas(column))


def _as_int64(column: pd.Series[Any], what: str, first_row: int) -> Codes:
    """A column as int64. Raises DataError, with the first row, for integers that 64 bits cannot
    hold."""
    try:
        if len(column) and column.max() > np.iinfo(np.int64).max:
            raise OverflowError
        return column.to_numpy(dtype=np.int64)
    except OverflowError:
        limits = np.iinfo(np.int64)
        far = ((column > limits.max) | (column < limits.min)).to_numpy()
        row = int(far.argmax())
        raise DataError(
            f"{noun(what)} must fit in 64 bits; {column.iloc[row]} at row {first_row + row} does "
            f"not ({int(far.sum()):,} in all); cast them to str"
        ) from None


def _dates(column: pd.Series[Any], what: str, first_row: int) -> Any:
    timed = (column != column.dt.normalize()).to_numpy()
    if timed.any():
        row = int(timed.argmax())
        raise DataError(
            f"{noun(what)} may be dates, but not moments; {column.iloc[row]} at row "
            f"{first_row + row} has a time of day ({int(timed.sum()):,} do); cast them to str"
        )
    return column.dt.strftime("%Y-%m-%d").to_numpy(dtype=object)


def _checked_objects(column: pd.Series[Any], what: str, first_row: int) -> Any:
    """Objects as ids: integers, or text of strings, dates and UUIDs. Raises DataError for other
    types, and for a mixture, with the first row that differs."""
    array = column.to_numpy()
    kind = types.infer_dtype(array, skipna=False)
    if kind == "empty":
        return array
    if kind == "integer":
        return _as_int64(column, what, first_row)
    if kind == "decimal" and all(_is_whole(value) for value in array):
        return _as_int64(pd.Series([int(value) for value in array], dtype=object), what, first_row)
    if kind == "string":
        return _sound(array, what, first_row)
    if kind == "date":
        return np.array([day.isoformat() for day in array], dtype=object)
    if all(isinstance(value, uuid.UUID) for value in array):
        return np.array([str(value) for value in array], dtype=object)
    for row, value in enumerate(array):  # only for invalid columns; raises below
        if _sort(value) is None:
            raise DataError(
                f"{noun(what)} must be all integers or all text (or UUIDs, or dates); found "
                f"{value!r} ({type(value).__name__}) at row {first_row + row}; cast to int or str"
            )
        if _sort(value) != _sort(array[0]):
            break
    raise DataError(
        f"{noun(what)} mix {_sort(array[0])} and {_sort(value)}: {array[0]!r} at row {first_row}, "
        f"{value!r} at row {first_row + row}; cast all of them to str"
    )


def _sort(value: object) -> str | None:
    """The type of an id in words; None if the value is not a valid id."""
    if isinstance(value, str):
        return "text"
    if isinstance(value, uuid.UUID):
        return "UUIDs"
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        return "dates"
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return "integers"
    return None


def _is_whole(value: decimal.Decimal) -> bool:
    """Whether a decimal has no digits behind its point; 7.0 has one, as in a column of Arrow."""
    exponent = value.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= 0


def _sound(array: npt.NDArray[np.object_], what: str, first_row: int) -> npt.NDArray[np.object_]:
    """The texts; DataError for half a surrogate pair, which no file can hold."""
    for start in range(0, len(array), _TEXTS):
        part = array[start : start + _TEXTS]
        try:
            "".join(part).encode()
        except UnicodeEncodeError:
            bad = [is_broken(text) for text in array]
            row = bad.index(True)
            raise DataError(
                f"{noun(what)} must be Unicode text; {array[row]!r} at row {first_row + row} has "
                f"half a surrogate pair ({sum(bad):,} such rows); correct how the text was decoded"
            ) from None
    return array


_TEXTS = 1 << 16


def is_broken(text: str) -> bool:
    """Whether a text has half a surrogate pair."""
    return any("\ud800" <= letter <= "\udfff" for letter in text)


def _float_message(column: pd.Series[Any], what: str, first_row: int) -> str:
    """What is wrong with ids that are floats: a fraction, a missing value, or only the type."""
    missing = column.isna().to_numpy()
    numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
    with np.errstate(invalid="ignore"):
        odd = ~missing & ~(np.isfinite(numbers) & (numbers == np.floor(numbers)))
    if odd.any():
        row = int(odd.argmax())
        return (
            f"{noun(what)} must be integers or text, not floats; found {numbers[row]} at row "
            f"{first_row + row} ({int(odd.sum()):,} of {len(numbers):,} have no whole number); "
            "correct them and cast to int or str"
        )
    if missing.any():
        return (
            f"{noun(what)} are missing in {int(missing.sum()):,} of {len(numbers):,} rows, the "
            f"first at row {first_row + int(missing.argmax())}; drop those rows, and cast the "
            "floats that they made of the column to int"
        )
    example = f" (first: {numbers[0]} at row {first_row})" if len(numbers) else ""
    return f"{noun(what)} are floats{example}; cast to int"
