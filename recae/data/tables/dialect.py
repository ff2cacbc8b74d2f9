"""How a text file is written: what the caller says of it, and what its first lines show."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from recae.data.tables.lines import Splitter
from recae.errors import ConfigError, DataError, check_flag, check_option

SEPARATORS = (",", ";", "\t", "|", "::")
"""The separators that are found by themselves."""

KINDS = ("auto", "text", "integer")

_TYPED = re.compile(r":(token|float|token_seq|float_seq)$")  # RecBole's atomic files

_YEAR = re.compile("%[-#]?[YyGcxs]")

_EXCEL = re.compile(rb"sep=([,;\t|])\r?$")  # the first line of some files for Excel


@dataclass(frozen=True)
class TextFormat:
    """How text files are written. The fields are the arguments of `read_csv` of the same names.

    sep, decimal, time_format: None finds it; encoding: None is UTF-8, or UTF-16 with a byte order
    mark; ids: one of KINDS, or two of them, for users and for items; time_format: as for
    `datetime.strptime`. Raises ConfigError for values that cannot be meant.
    """

    sep: str | None = None
    quoting: bool = True
    decimal: str | None = None
    encoding: str | None = None
    header: bool = True
    ids: Any = "auto"
    time_format: str | None = None

    def __post_init__(self) -> None:
        sep, encoding = self.sep, self.encoding
        if sep is not None and (
            not isinstance(sep, str) or not sep or set(sep) & {'"', "\n", "\r", "\0", "\x1f"}
        ):
            raise ConfigError(
                f'sep must be a separator such as ";", "\\t" or "::", not {sep!r}',
                parameter="sep",
                value=sep,
            )
        check_flag("quoting", self.quoting)
        check_flag("header", self.header)
        if self.decimal is not None:
            check_option("decimal", self.decimal, (".", ","))
        if sep is not None and sep == self.decimal:
            raise ConfigError(
                f"sep and decimal must differ, and both are {sep!r}", parameter="decimal", value=sep
            )
        for kind in self.kinds_of_ids:
            check_option("ids", kind, KINDS)
        if encoding is not None:
            try:
                codecs.lookup(encoding).incrementaldecoder()
                "".encode(encoding)
            except (LookupError, TypeError, ValueError):
                raise ConfigError(
                    f"encoding must be a name such as cp1252 or utf-16, not {encoding!r}",
                    parameter="encoding",
                    value=encoding,
                ) from None
        time_format = self.time_format
        if time_format is not None and not (isinstance(time_format, str) and "%" in time_format):
            raise ConfigError(
                f'time_format must be like "%d.%m.%Y %H:%M", not {time_format!r}',
                parameter="time_format",
                value=time_format,
            )
        if time_format is not None and not _YEAR.search(time_format):
            raise ConfigError(
                f"time_format needs a year, %Y or %y, and {time_format!r} has none",
                parameter="time_format",
                value=time_format,
            )

    @property
    def kinds_of_ids(self) -> tuple[Any, Any]:
        """The kinds of user ids and of item ids."""
        ids = self.ids
        if isinstance(ids, tuple | list):
            if len(ids) != 2:
                raise ConfigError(
                    f"ids must be one kind, or two (of users and items), not {ids!r}",
                    parameter="ids",
                    value=ids,
                )
            return tuple(ids)
        return ids, ids


@dataclass(frozen=True)
class Layout:
    """What the first lines of a file show: separator, names of the columns, where rows begin.

    header: the fields of the header line as they stand there, None without one; start: the bytes
    before the first row; line: its number.
    """

    sep: bytes
    names: list[str]
    header: list[str] | None
    start: int
    line: int
    quotes: bool


def layout_of(sample: bytes, form: TextFormat, wanted: Iterable[str] = ()) -> Layout:
    """The layout of the file that begins with `sample`, which ends with a line.

    wanted: the columns that will be read, which helps to find the separator. Raises DataError for
    an empty file, for bytes that are no text, and where several separators are possible.
    """
    lines = sample.split(b"\n")
    number = next((n for n, line in enumerate(lines) if line.strip(b"\r")), None)
    if number is None:
        raise DataError("the file is empty")
    said = _EXCEL.match(lines[number])
    if said and number + 1 < len(lines):
        number += 1
    start = sum(len(line) + 1 for line in lines[:number])
    first = lines[number].removesuffix(b"\r")
    if b"\0" in first:
        raise DataError(
            f"line {number + 1} has NUL bytes, so this is no text in UTF-8; UTF-16 is read with "
            'encoding="utf-16"'
        )
    _text(first, number + 1)
    wanted = [strip_type(name) for name in wanted]
    chosen = form.sep or (said[1].decode() if said else None)
    chosen = chosen or _found([line for line in lines[number : number + 50] if line], form, wanted)
    sep = chosen.encode()
    quotes = form.quoting and len(sep) == 1
    fields, end = _first(sample, start, len(first), sep, quotes)
    if not form.header:
        names = [str(place) for place in range(len(fields))]
        return Layout(sep, names, None, start, number + 1, quotes)
    names = [field.strip() for field in fields]
    if all(map(_TYPED.search, names)):
        names = [strip_type(name) for name in names]
    line = number + 2 + sample.count(b"\n", start, end)
    return Layout(sep, names, fields, min(end + 1, len(sample)), line, quotes)


def strip_type(name: str) -> str:
    """`user_id:token` of RecBole's files as user_id; other names as they are."""
    return _TYPED.sub("", name)


def _text(line: bytes, number: int) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise DataError(
            f"line {number} is not UTF-8 (byte 0x{line[error.start]:02x}); name its encoding, such "
            'as encoding="cp1252"'
        ) from None


def _first(
    sample: bytes, start: int, length: int, sep: bytes, quotes: bool
) -> tuple[list[str], int]:
    """The fields of the first row and where it ends; it may have several lines. Where its quotes
    are broken, it is split as if it had none, and the rows will show it."""
    if quotes and b'"' in sample[start : start + length]:
        fields, end = Splitter(sep, 0, ()).fields(sample, start)
        if not isinstance(fields, str):
            return [field.decode("utf-8", "replace") for field in fields], end
    end = sample.find(b"\n", start)
    line = sample[start : start + length]
    fields = line.split(sep)
    return [f.decode("utf-8", "replace") for f in fields], len(sample) if end < 0 else end


def _found(lines: list[bytes], form: TextFormat, wanted: list[str]) -> str:
    """The separator of some lines: what occurs in the first, splits it into the wanted names, or
    occurs equally often in all."""
    quotes = form.quoting
    bare = [re.sub(rb'"[^"]*"', b"", line) if quotes else line for line in lines]
    some = [sep for sep in SEPARATORS if sep.encode() in bare[0]]
    if form.decimal in some and not form.header:
        some.remove(form.decimal)
    if len(some) > 1 and form.header:
        named = [s for s in some if set(wanted) & _names(lines[0], s, quotes)]
        best = max((len(set(wanted) & _names(lines[0], s, quotes)) for s in named), default=0)
        some = [s for s in named if len(set(wanted) & _names(lines[0], s, quotes)) == best] or some
    if len(some) > 1:
        same = [s for s in some if len({line.count(s.encode()) for line in bare}) == 1]
        some = same or some
    if len(some) > 1:
        raise DataError(
            f"the separator may be {' or '.join(map(repr, some))}: name it with sep=",
            parameter="sep",
        )
    return some[0] if some else ","


def _names(line: bytes, sep: str, quotes: bool) -> set[str]:
    line = line.strip()
    return {
        strip_type(name.strip()) for name in _first(line, 0, len(line), sep.encode(), quotes)[0]
    }
