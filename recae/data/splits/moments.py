"""Moments and durations in the unit of the times: dates for times that are whole numbers, too."""

from __future__ import annotations

import operator
import re
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from recae.data.interactions import Interactions
from recae.errors import ConfigError, DataError

Moment = int | str | date | datetime | np.datetime64
"""A moment: an integer in the unit of the times, or a date."""
Duration = int | str | timedelta | np.timedelta64
"""A length of time: an integer in the unit of the times, or one such as "7D" or "12h"."""

UNITS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
"""Nanoseconds of each unit in which times since 1970 are usual."""
NAMES = {"ns": "nanoseconds", "us": "microseconds", "ms": "milliseconds", "s": "seconds"}
FIRST, LAST = (pd.Timestamp(f"{year}-01-01").value for year in (1980, 2100))
"""The plausible times. Between them, no number is plausible in two units."""

ISO = re.compile(r"\d{4}(-\d\d(-\d\d([T ].*)?)?)?|\d{8}([T ].*)?")


def times_of(data: Interactions) -> np.ndarray:
    """The times, (nnz,) int64. Raises DataError for interactions without them."""
    if data.times is None:
        raise DataError("these interactions have no times; name their column with time=")
    if not data.nnz:
        raise DataError("there are no interactions to split")
    return data.times


def unit_of(times: np.ndarray) -> str | None:
    """The unit in which all times, (nnz,) int64, lie between 1980 and 2100; None if there is none.

    Times that are too large for microseconds are nanoseconds, whatever year that is: dates are read
    as such.
    """
    first, last = int(times.min()), int(times.max())
    if max(abs(first), abs(last)) > LAST // UNITS["us"]:
        return "ns"
    for unit, size in UNITS.items():
        if FIRST <= first * size and last * size < LAST:
            return unit
    return None


def moment_of(name: str, value: Any, times: np.ndarray, *, share: bool = False) -> tuple[int, str]:
    """A moment in the unit of the times, and a note where a date was converted to that unit.

    value: an integer, a date, a datetime (without a zone: UTC) or ISO 8601 text; share: whether the
    setting may also be a share, for the message. Raises ConfigError
    for anything else, such as "05/01/2020", whose month is unclear; DataError for a date where the
    times are whole numbers of no plausible unit.
    """
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError("not a time")
        if not isinstance(value, str | date | np.datetime64):
            return operator.index(value), ""
        if isinstance(value, str) and not ISO.fullmatch(value.strip()):
            raise ValueError("write dates as in ISO 8601: 2020-01-31")
        stamp = pd.Timestamp(value.strip() if isinstance(value, str) else value)
        if pd.isna(stamp):
            raise ValueError("not a time")
        nanoseconds = int(stamp.as_unit("ns").value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ConfigError(
            f"{name} must be {'a share, ' if share else ''}an integer or a date, not {value!r} "
            f"({error})",
            parameter=name,
            value=value,
        ) from None
    unit = unit_of(times)
    if unit is None:
        raise _unit_unknown(name, value, times)
    moment = -(-nanoseconds // UNITS[unit])  # the first whole unit that is not before it
    if unit == "ns":
        return moment, ""
    return moment, f"{name}={value!s} is {moment}: the times are read as {NAMES[unit]} since 1970"


def duration_of(name: str, value: Any, times: np.ndarray) -> int:
    """A length of time in the unit of the times, >= 1. Raises as `moment_of` does."""
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError("not a length of time")
        if not isinstance(value, str | timedelta | np.timedelta64):
            length = operator.index(value)
        else:
            stretch = pd.Timedelta(value)
            if pd.isna(stretch):
                raise ValueError("not a length of time")
            nanoseconds = int(stretch.as_unit("ns").value)
            unit = unit_of(times)
            if unit is None:
                raise _unit_unknown(name, value, times)
            length = nanoseconds // UNITS[unit]
        if length < 1:
            raise ValueError("it must be longer than nothing")
    except DataError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise ConfigError(
            f"{name} must be a share, an integer or a length of time such as '7D', not {value!r} "
            f"({error})",
            parameter=name,
            value=value,
        ) from None
    return length


def _unit_unknown(name: str, value: object, times: np.ndarray) -> DataError:
    return DataError(
        f"{name}={value!s} needs times that are dates, but the times are whole numbers, "
        f"{times.min()} to {times.max()}, which are neither seconds, milliseconds, microseconds "
        "nor nanoseconds since 1970 of the years 1980 to 2099: give an integer in their unit",
        parameter=name,
        value=value,
    )


def unit_hint(moment: int, times: np.ndarray) -> str:
    """What to do about a moment that seems to be in another unit than the times; else nothing."""
    unit = unit_of(times)
    other = next((name for name, size in UNITS.items() if FIRST <= moment * size < LAST), None)
    if unit is None or other is None or unit == other:
        return ""
    return f"; the times look like {NAMES[unit]}, this cut like {NAMES[other]} since 1970"
