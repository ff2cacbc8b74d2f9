"""The type of each column of text, and the rows whose fields do not fit it."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recae.data.ids import noun
from recae.data.tables.dates import ENOUGH, Formats, all_dates, casts, fitting, formatted, iso
from recae.data.tables.faults import Found, Mask

INTEGER = r"^[+-]?[0-9]+$"
NUMBER = r"(?i)^[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)(e[+-]?[0-9]+)?$"
COMMAS = (r"^\s*[+-]?[0-9]*,([0-9]{1,2}|[0-9]{4,})\s*$", r"^\s*[+-]?(0|[0-9]{4,}),[0-9]+\s*$")
"""Numbers with a decimal comma, which are not thousands such as 1,250."""
ZONED = r"[0-9](Z|[+-][0-9]{2}:?([0-9]{2})?)$"
MOST = 0.5
"""The share of fields of another kind from which a column is read as text at once."""

FEW = 0.1
"""The share of ids that are no integers up to which a note is worth it."""

Lines = Any


class Column:
    """One column: `see` every block, `decide` once, then `convert` every block.

    type: what blocks are parsed as where all fields fit; must_reread: text that was parsed as
    numbers is needed after all.
    """

    role: str | None = None
    decimal = "."
    type: Any = pa.string()
    must_reread = False
    note = ""

    def __init__(self, name: str) -> None:
        self.name = name

    def see(self, column: pa.Array, lines: Lines, file: str) -> None:
        """Counts the fields of each kind."""

    def decide(self, drop: bool) -> None:
        """Chooses the type of the column."""

    def convert(self, column: pa.Array) -> tuple[Any, list[Found]]:
        """A block in that type, and its rows that do not fit."""
        raise NotImplementedError

    @property
    def words(self) -> str:
        """The values of the column in messages."""
        return f"{self.role}s of column {self.name!r}"

    def missing(self, array: Any, found: list[Found]) -> list[Found]:
        """The rows without a value, of a converted block with these faults."""
        if self.role is None or not array.null_count:
            return []
        mask = _mask(array.is_null())
        for fault in found:
            mask = mask & ~fault.mask
        return [Found(f"{self.words} are missing", mask)] if mask.any() else []


class Generic(Column):
    """Integers, floats or text, whatever all the fields are."""

    def __init__(self, name: str, *, text: bool = False) -> None:
        super().__init__(name)
        self.left: list[Any] = [None] if text else [pa.int64(), pa.float64(), None]

    def see(self, column: pa.Array, lines: Lines, file: str) -> None:
        """Strikes out the types that do not fit."""
        while not _fits(column, self.left[0]):
            del self.left[0]

    def convert(self, column: pa.Array) -> tuple[Any, list[Found]]:
        """The column in the first type that is left."""
        kind = self.left[0]
        return (column if kind is None else pc.cast(pc.utf8_trim_whitespace(column), kind)), []


class Ids(Column):
    """Integers, or text where a field is none, or what the caller says."""

    def __init__(self, name: str, what: str, kind: str) -> None:
        super().__init__(name)
        self.role, self.what, self.kind = what, what, kind
        self.type = pa.string() if kind == "text" else pa.int64()
        self.whole = self.far = self.floats = self.others = 0
        self.first: tuple[str, str] | None = None
        self.typed_blocks = False

    @property
    def words(self) -> str:
        """The ids in messages."""
        return noun(self.what)

    def see(self, column: pa.Array, lines: Lines, file: str) -> None:
        """Counts integers, larger integers, floats and other fields."""
        if self.kind != "auto":
            return
        if pa.types.is_integer(column.type):
            self.typed_blocks = True
            self.whole += len(column) - column.null_count
            return
        trimmed, missing = _trimmed(column)
        if _all_integers(trimmed):
            self.whole += len(column) - int(missing.sum())
            return
        whole, far, floats = _kinds(trimmed)
        words = ~(whole | far | floats | missing)
        self.whole += int(whole.sum())
        self.far += int(far.sum())
        self.floats += int(floats.sum())
        self.others += int(words.sum())
        if words.mean() > MOST:
            self.type = pa.string()  # of the blocks that follow, so that others stay typed
        if self.first is None and words.any():
            row = int(words.argmax())
            self.first = column[row].as_py(), f"line {lines[row]} of {file}"

    def decide(self, drop: bool) -> None:
        """Text if there is some; with `drop` only if it is not the smaller part."""
        if self.kind != "auto":
            return
        others = self.far + self.floats + self.others
        keep = self.others and not (drop and self.whole > others)
        self.kind = "text" if keep else "integer"
        if keep and self.first is not None and others <= FEW * self.whole:
            value, place = self.first
            total = others + self.whole
            self.note = (
                f"{others:,} of {total:,} {noun(self.what)} are no integers (first: {value!r} at "
                f'{place}), so all of them are text; if that is meant, say ids="text"'
            )
        if keep:
            self.type = pa.string()
            self.must_reread = self.typed_blocks

    def convert(self, column: pa.Array) -> tuple[Any, list[Found]]:
        """The ids as text or int64, null where they are missing or no integer."""
        if self.kind == "text" or pa.types.is_integer(column.type):
            return column, []
        trimmed, missing = _trimmed(column)
        if _all_integers(trimmed):
            return pc.cast(trimmed, pa.int64()), []
        whole, far, floats = _kinds(trimmed)
        words = ~(whole | far | floats | missing)
        values, ids, found = column.to_pandas().to_numpy(), noun(self.what), []
        text = 'read them as text with ids="text"'
        for what, mask in (
            (f"{ids} must be integers or text, not floats", floats),
            (f"{ids} must fit in 64 bits", far),
            (f"{ids} mix integers and text", words),
        ):
            if mask.any():
                found.append(Found(what, mask, values, text))
        good = pc.if_else(pa.array(whole), trimmed, pa.scalar(None, pa.string()))
        return pc.cast(good, pa.int64()), found


class Weights(Column):
    """Numbers, with a point or a comma for their decimals.

    decimal: None finds it. It is a comma if fields such as 7,5 have one and no field has a point.
    Fields such as 1,250 decide nothing: that may be a thousand.
    """

    role = "weight"
    type = pa.float64()

    def __init__(self, name: str, decimal: str | None) -> None:
        super().__init__(name)
        self.decimal, self.open = decimal or ".", decimal is None
        self.commas = self.points = self.typed_blocks = False

    def see(self, column: pa.Array, lines: Lines, file: str) -> None:
        """Looks for decimal commas and points."""
        if not self.open or self.points:
            return
        if pa.types.is_floating(column.type):
            self.typed_blocks = True
            self.points = pc.any(pc.not_equal(column, pc.floor(column))).as_py() or False
            return
        for comma in COMMAS:
            self.commas |= pc.any(pc.match_substring_regex(column, comma)).as_py() or False
        self.points = pc.any(pc.match_substring(column, ".")).as_py() or False

    def decide(self, drop: bool) -> None:
        """A comma if there are some and no points. Numbers that were read already are read again,
        because 1.250 among them would be no number."""
        if self.open and self.commas and not self.points:
            self.decimal, self.must_reread = ",", self.typed_blocks

    def convert(self, column: pa.Array) -> tuple[Any, list[Found]]:
        """Floats, null where the weight is missing or no number."""
        if pa.types.is_floating(column.type):
            return column, []
        trimmed, missing = _trimmed(column)
        if self.decimal == "." and _fits(trimmed, pa.float64()):
            return pc.cast(trimmed, pa.float64()), []
        point = trimmed
        if self.decimal == ",":
            dotted = pc.fill_null(pc.match_substring(trimmed, "."), False)
            point = pc.replace_substring(trimmed, ",", ".")
            point = pc.if_else(dotted, pa.scalar("not a number"), point)
        words = pc.fill_null(pc.match_substring_regex(point, NUMBER), False)
        special = pc.is_in(pc.utf8_lower(point), pa.array(["nan", "inf", "-inf", "infinity"]))
        good = _mask(pc.or_(words, special))
        bad = ~good & ~missing
        numbers = pc.cast(
            pc.if_else(pa.array(good), point, pa.scalar(None, pa.string())), pa.float64()
        )
        if not bad.any():
            return numbers, []
        values = column.to_pandas().to_numpy()
        first = str(values[int(bad.argmax())])
        remedy = ""
        if self.decimal == "." and re.fullmatch(r"\s*-?[0-9]*,[0-9]+\s*", first):
            remedy = 'decimal commas are read with decimal=","'
        elif "." in first and "," in self.decimal + first:
            remedy = "remove the separators of thousands, and write all decimals in one way"
        return numbers, [Found(f"{self.words} must be numbers", bad, values, remedy)]


class Times(Column):
    """Whole numbers, or ISO dates with or without a zone, or times in a given format: what most
    fields are."""

    role = "time"

    def __init__(self, name: str, time_format: str | None) -> None:
        super().__init__(name)
        self.format = time_format
        self.type = pa.int64() if time_format is None else pa.string()
        self.formats = Formats()
        self.counts = {"numbers": 0, "dates": 0, "zoned dates": 0}
        self.kind = "numbers"

    def see(self, column: pa.Array, lines: Lines, file: str) -> None:
        """Counts numbers, dates and dates with a zone, and fields that fit the usual formats."""
        if pa.types.is_integer(column.type):
            self.counts["numbers"] += len(column) - column.null_count
        elif self.format is None:
            trimmed, missing = _trimmed(column)
            if _all_integers(trimmed):
                self.counts["numbers"] += len(column) - int(missing.sum())
                return
            self.type = pa.string()  # of the blocks that follow, so that others stay typed
            if (found := all_dates(trimmed)) is not None:
                self.counts[found[0]] += len(column) - found[1].null_count
                return
            for kind, (mask, _) in self._parsed(column).items():
                self.counts[kind] += int(mask.sum())
            self.formats.see(trimmed)

    def decide(self, drop: bool) -> None:
        """The kind of most fields; the format of most, if one fits and few fields are of a kind."""
        usual, few = self.formats.found(), (1 - ENOUGH) * self.formats.seen
        if self.format is None and len(usual) == 1 and sum(self.counts.values()) <= few:
            (self.format,) = usual
        self.kind = max(self.counts, key=lambda kind: self.counts[kind])

    def convert(self, column: pa.Array) -> tuple[Any, list[Found]]:
        """Integers or nanoseconds, null where the time is missing or of another kind."""
        if pa.types.is_integer(column.type):
            if self.format is None and self.kind == "numbers":
                return column, []
            column = pc.cast(column, pa.string())
        trimmed, missing = _trimmed(column)
        if self.format is None and self.kind == "numbers" and _all_integers(trimmed):
            return pc.cast(trimmed, pa.int64()), []
        found = None if self.format is not None else all_dates(trimmed)
        if found is not None and found[0] == self.kind:
            return found[1], []
        if self.format is not None:
            good, times = formatted(trimmed, self.format)
        else:
            good, times = self._parsed(column)[self.kind]
        bad = ~good & ~missing
        if not bad.any():
            return times, []
        values = column.to_pandas().to_numpy()
        what, remedy = self._words(str(values[int(bad.argmax())]).strip())
        return times, [Found(what, bad, values, remedy)]

    def _words(self, first: str) -> tuple[str, str]:
        """What is wrong with a time, and how to read it: the formats that all fields fit, or those
        that this one fits."""
        year = re.search(r"(?<!\d)\d{4}(?!\d)", first)
        bad_year = year is not None and not 1678 <= int(year[0]) <= 2262
        known = ", of the years 1678 to 2262" if bad_year else ""
        if self.format is not None:
            return f"{self.words} must be like {self.format!r}{known}", ""
        if known:
            return f"{self.words} must be dates{known}", ""
        kind = f", as most are {self.kind}" if self.counts[self.kind] else ""
        what = f"{self.words} must be whole numbers or ISO dates{kind}"
        usual = self.formats.found() if self.formats.seen else []
        if len(usual) > 1:
            what = f"{self.words} may have days or months first"
        fits = usual or fitting(pa.array([first]))
        if not fits:
            return what, "no usual format fits: name it (time_format='%d %B %Y', months in English)"
        return what, "such times are read with " + " or ".join(f"time_format={f!r}" for f in fits)

    def _parsed(self, column: pa.Array) -> dict[str, tuple[Mask, Any]]:
        """For each kind which fields are of it, and all of them in it, null for the others."""
        trimmed, _ = _trimmed(column)
        null = pa.scalar(None, pa.string())
        number = pc.fill_null(pc.match_substring_regex(trimmed, NUMBER), False)
        floats = pc.cast(pc.if_else(number, trimmed, null), pa.float64())
        numbers = floats.to_numpy(zero_copy_only=False)
        integer = _mask(pc.fill_null(pc.match_substring_regex(trimmed, INTEGER), False))
        with np.errstate(invalid="ignore"):
            whole = (numbers == np.floor(numbers)) & (np.abs(numbers) < 2.0**63)
            exact = np.where(whole & ~integer, numbers, 0).astype(np.int64)
        signless = pc.replace_substring_regex(trimmed, r"^\+", "")
        of_text = pc.cast(
            pc.fill_null(pc.if_else(pa.array(integer & whole), signless, null), "0"), pa.int64()
        )
        integers = pa.array(np.where(integer, of_text.to_numpy(), exact), mask=~whole)
        rest = _mask(pc.fill_null(pc.invert(number), False))
        zone = _mask(pc.fill_null(pc.match_substring_regex(trimmed, ZONED), False)) & rest
        zone &= _mask(pc.fill_null(pc.match_substring(trimmed, ":"), False))
        dates = iso(trimmed, rest & ~zone)
        zoned = iso(trimmed, zone)
        return {"numbers": (whole, integers), "dates": dates, "zoned dates": zoned}


def constant(
    value: str | None,
    every: list[str | None],
    rows: int,
    *,
    text: bool = False,
    dates: bool = False,
) -> pa.Array:
    """The value of a folder for all rows of its file, in the type into which those of all fit.

    text: as text; dates: it may be ISO dates.
    """
    known = [other for other in every if other is not None]
    kind: Any = pa.string()
    if not text and all(re.fullmatch("-?[0-9]{1,18}", other) for other in known):
        kind = pa.int64()
    elif not text and dates and iso(pa.array(known), np.ones(len(known), np.bool_))[0].all():
        kind = pa.timestamp("ns")
    one = pc.cast(pa.array([value], pa.string()), kind)
    return one.take(pa.array(np.zeros(rows, dtype=np.int64)))


def _fits(texts: pa.Array, kind: Any) -> bool:
    if kind is None:
        return True
    if casts(pc.utf8_trim_whitespace(texts), kind) is None:
        return False
    # Arrow reads hexadecimal numbers. To ignore the case takes several times as long.
    return not any(pc.any(pc.match_substring(texts, x)).as_py() for x in ("0x", "0X"))


def _trimmed(column: pa.Array) -> tuple[pa.Array, Mask]:
    """The fields without spaces around them, null where nothing is left; and which are missing."""
    trimmed = pc.utf8_trim_whitespace(column)
    trimmed = pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)
    return trimmed, _mask(trimmed.is_null())


def _mask(values: Any) -> Mask:
    mask: npt.NDArray[np.bool_] = pc.fill_null(values, False).to_numpy(zero_copy_only=False)
    return mask


def _all_integers(trimmed: pa.Array) -> bool:
    return _fits(trimmed, pa.int64())


def _kinds(trimmed: pa.Array) -> tuple[Mask, Mask, Mask]:
    """Which fields are integers of 64 bits, larger integers, and other numbers."""
    digits = _mask(pc.match_substring_regex(trimmed, "^-?[0-9]+$"))
    number = _mask(pc.match_substring_regex(trimmed, NUMBER))
    long = _mask(pc.greater(pc.utf8_length(trimmed), 18)) & digits
    far = np.zeros_like(digits)
    limits = np.iinfo(np.int64)
    texts = trimmed.filter(pa.array(long))
    below = pc.starts_with(texts, "-")
    size = pc.utf8_ltrim(texts, "-0")
    length = pc.utf8_length(size)
    limit = pc.if_else(below, str(-limits.min), str(limits.max))
    over = pc.or_(pc.greater(length, 19), pc.and_(pc.equal(length, 19), pc.greater(size, limit)))
    far[long] = _mask(over)
    return digits & ~far, far, number & ~digits
