"""Collects the rows of a table that cannot be used, and reports all of them at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recae.errors import DataError, check_option, warn

BAD_ROWS = ("error", "drop")

Mask = npt.NDArray[np.bool_]

SHOWN = 60
"""Characters of a bad value in a message."""


@dataclass(frozen=True)
class Fault:
    """Some rows with the same fault.

    what: the fault as a sentence without its end, the same for every block; rows: how many rows;
    place: where the first is, such as "line 7"; value: what stands there, None for nothing; remedy:
    what to do; role: "user", "item", "weight", "time", or None for all of a row; file: its file.
    """

    what: str
    rows: int
    place: str
    value: object = None
    remedy: str = ""
    role: str | None = None
    file: str | None = None

    def sentence(self, total: int, *, file: bool = False) -> str:
        """The fault in words: value, place and count."""
        place = f"{self.place} of {self.file}" if file and self.file else self.place
        some = f"{self.rows:,} of {total:,} rows"
        remedy = f"; {self.remedy}" if self.remedy else ""
        if self.value is None:
            return f"{self.what} in {some}, the first at {place}{remedy}"
        return f"{self.what}; found {shown(self.value)} at {place} ({some}){remedy}"


class BadRows:
    """The faults of a table so far. how: "error" raises them at the end, "drop" warns of them."""

    def __init__(self, how: str = "error") -> None:
        check_option("on_bad_rows", how, BAD_ROWS)
        self.how, self.total, self.bad = how, 0, 0
        self.faults: dict[str, Fault] = {}
        self.notes: list[str] = []

    def add(self, fault: Fault) -> None:
        """Counts some rows with a fault; the first place and value are kept."""
        known = self.faults.get(fault.what)
        if known is not None:
            fault = Fault(**{**vars(known), "rows": known.rows + fault.rows})
        self.faults[fault.what] = fault

    def note(self, text: str) -> None:
        """A sentence that is said once, with the faults or as a warning."""
        if text not in self.notes:
            self.notes.append(text)

    def end(self, label: str) -> None:
        """After the last row: raises a DataError with every fault, or warns of dropped rows."""
        if self.faults and (self.how == "error" or self.bad == self.total):
            raise self.error(label)
        if self.faults:
            report = self._report(label, f"{self.bad:,} of {self.total:,} rows are dropped")
            warn("\n".join([report, *self.notes]))
        else:
            for text in self.notes:
                warn(f"{label}{text}")

    def error(self, label: str, more: str = "", *, rows: bool = True) -> DataError:
        """All faults as one DataError; more: one of a column; rows: whether rows can be dropped."""
        faults = list(self.faults.values())
        first = faults[0] if faults else None
        role, value = (first.role, first.value) if first else (None, None)
        drop = 'on_bad_rows="drop" drops such rows'
        if self.how == "drop":
            drop = "no row is left without them"
        drop = drop if rows else "correct the file"
        if more or len(faults) > 1 or self.notes:
            head = f"{self.bad:,} of {self.total:,} rows cannot be used"
            lines = [f"  {text}" for text in (*([more] if more else []), *self.notes)]
            text = "\n".join([self._report(label, head), *lines, *([] if more else [drop])])
        else:
            place = f"{first.file}: " if first and first.file else label
            text = f"{place}{first.sentence(self.total)}; {drop}" if first else f"{label}{more}"
        return DataError(text, parameter=role, value=value)

    def _report(self, label: str, head: str) -> str:
        files = {fault.file for fault in self.faults.values()}
        several = len(files) > 1 or not label.startswith(f"{next(iter(files), '')}: ")
        faults = self.faults.values()
        lines = [f"  {fault.sentence(self.total, file=several)}" for fault in faults]
        return "\n".join([f"{label}{head}:", *lines])


def shown(value: object) -> str:
    """A value for a message, cut if it is long."""
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


@dataclass(frozen=True)
class Found:
    """Rows of a column with one fault: `mask` says which, `values` what they hold (None: nothing).
    The other names are those of a Fault."""

    what: str
    mask: Mask
    values: Any = None
    remedy: str = ""

    @property
    def first(self) -> int:
        """The first such row of the block."""
        return int(self.mask.argmax())

    def at(self, place: Callable[[int], str], role: str | None, file: str | None) -> Fault:
        """The fault of a block: `place` says where a row stands."""
        first = self.first
        value = None if self.values is None else self.values[first]
        count = int(self.mask.sum())
        return Fault(self.what, count, place(first), value, self.remedy, role, file)
