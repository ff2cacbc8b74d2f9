"""Reads fields of text as times: ISO dates, or any format of strptime."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from recae.data.tables.faults import Mask
from recae.errors import ConfigError

_DAYS = (
    *("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d"),
    *("%d %b %Y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y"),
)
FORMATS = (
    *(f"{day}{clock}" for day in _DAYS for clock in ("", " %H:%M", " %H:%M:%S")),
    *(f"{day}{clock}" for day in _DAYS[1:3] for clock in (" %I:%M %p", " %I:%M:%S %p")),
    "%a %b %d %H:%M:%S %z %Y",
)
"""Formats of times that are read where one of them fits the fields, and no other does. A format of
days first and its rival of months first are both here, so that 01/02/2023 stays open."""
ENOUGH = 0.9
"""The share of fields that a format must fit where none fits all: the others are bad rows."""
SAMPLE = 64
"""The first fields of a block, of which a format must fit half."""


def all_dates(trimmed: pa.Array) -> tuple[str, Any] | None:
    """The kind of fields that are all ISO dates, and the dates; None for other fields."""
    if not nanoseconds_hold(trimmed):
        return None
    for kind, zone in (("dates", None), ("zoned dates", "UTC")):
        dates = casts(trimmed, pa.timestamp("ns", tz=zone))
        if dates is not None:
            return kind, dates
    return None


def nanoseconds_hold(texts: pa.Array) -> bool:
    """Whether these would be years from 1678 to 2261, if they are ISO dates, whose order is that of
    their text. The casts of some versions of Arrow wrap around in other years."""
    ends = pc.min_max(texts).as_py()
    return "1678" <= (ends["min"] or "") and (ends["max"] or "9") < "2262"


def casts(texts: pa.Array, kind: Any) -> Any | None:
    """The fields in an Arrow type, or None unless all of them fit it.

    A cast goes on to the end and writes a message for each field that does not fit, which takes
    some 100 times as long as to read it. So the first fields are tried before all.
    """
    try:
        for size in (1, 64, 4096):
            if size < len(texts):
                pc.cast(texts.slice(0, size), kind)
        return pc.cast(texts, kind)
    except pa.ArrowInvalid:
        return None


def iso(trimmed: pa.Array, some: Mask) -> tuple[Mask, Any]:
    """Which of some fields are ISO dates, and the fields as nanoseconds, null for the others."""
    null = pa.scalar(None, pa.string())
    if not some.any():
        return np.zeros(len(some), np.bool_), pa.nulls(len(some), pa.timestamp("ns"))
    texts = pc.if_else(pa.array(some), trimmed, null).to_pandas().astype(object)
    parsed = pd.to_datetime(texts, errors="coerce", utc=True, format="ISO8601")
    return _nanoseconds(parsed)


def formatted(trimmed: pa.Array, time_format: str) -> tuple[Mask, Any]:
    """Which fields are times of a format of strptime, and all as nanoseconds, null for the others.

    Raises ConfigError for a format that cannot be used.
    """
    try:
        parsed = pd.to_datetime(
            trimmed.to_pandas().astype(object), errors="coerce", utc=True, format=time_format
        )
    except (ValueError, TypeError, re.error) as error:
        raise ConfigError(
            f"time_format {time_format!r} cannot be used: {error}",
            parameter="time_format",
            value=time_format,
        ) from None
    return _nanoseconds(parsed)


def fitting(texts: pa.Array) -> list[str]:
    """The formats that all fields fit which are not null."""
    return [known for known in FORMATS if formatted(texts.drop_null(), known)[0].all()]


class Formats:
    """The formats that all fields of a column fit, or else most: `see` every block, then ask."""

    def __init__(self) -> None:
        self.misses, self.seen = dict.fromkeys(FORMATS, 0), 0

    def see(self, texts: pa.Array) -> None:
        """Counts the fields of a block that do not fit, without those that are null."""
        texts = texts.drop_null()
        self.seen += len(texts)
        for known in [*self.misses]:
            missed = int((~formatted(texts.slice(0, SAMPLE), known)[0]).sum())
            if len(texts) >= SAMPLE < 2 * missed:
                del self.misses[known]  # most formats fit none of the first fields
                continue
            rest = texts.slice(SAMPLE)
            self.misses[known] += missed + int((~formatted(rest, known)[0]).sum())

    def found(self) -> list[str]:
        """Those that fit all fields; if there is none, those that fit enough."""
        all_fit = [known for known, missed in self.misses.items() if not missed]
        few = (1 - ENOUGH) * self.seen
        return all_fit or [known for known, missed in self.misses.items() if missed <= few]


def _nanoseconds(parsed: Any) -> tuple[Mask, Any]:
    """Which moments are within the years 1678 to 2262, and all as Arrow nanoseconds."""
    seconds = parsed.dt.as_unit("us")
    low, high = pd.Timestamp.min.as_unit("us"), pd.Timestamp.max.as_unit("us")
    good = ((seconds > low.tz_localize("UTC")) & (seconds < high.tz_localize("UTC"))).to_numpy()
    exact = parsed.where(good).dt.as_unit("ns")
    return good, pa.array(exact.dt.tz_convert(None), pa.timestamp("ns"))
