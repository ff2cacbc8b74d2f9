"""Splits delimited text into rows, with the line of each: regular blocks by Arrow, others by hand.

A block is regular if every row is one line, quotes enclose whole fields, and no byte is NUL. The
slow reading of other blocks finds what Arrow passes over, such as a quote that is never closed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as csv

LONGEST_FIELD = 1 << 20
"""Bytes after which a quoted field counts as one whose quote is not closed."""

UNIT = b"\x1f"
"""Stands for a separator of several bytes within Arrow, which knows those of one."""

NEWLINE, RETURN, QUOTE = 10, 13, 34


class Bad(NamedTuple):
    """A line that is no row: the fault, its number, and what to show of it."""

    what: str
    line: int
    value: str
    remedy: str = ""


@dataclass
class Rows:
    """The rows of a block: some columns (Arrow), the line of each row, and the lines left out."""

    columns: list[pa.Array]
    lines: Sequence[int] | npt.NDArray[np.int64]
    bad: list[Bad] = field(default_factory=list)


@dataclass(frozen=True)
class Splitter:
    """How lines become fields. sep: the separator; width: fields in a line; wanted: the positions
    of the columns to return; quotes: whether fields may be quoted."""

    sep: bytes
    width: int
    wanted: tuple[int, ...]
    quotes: bool = True

    def fast(
        self, block: bytes, first: int, types: list[pa.DataType], decimal: str = "."
    ) -> Rows | None:
        """The rows of a regular block in these types, or None for another one."""
        quoted = self.quotes and b'"' in block
        if b"\0" in block or (quoted and not regular(block, self.sep)):
            return None
        sep = self.sep
        if len(sep) > 1:
            if UNIT in block:
                return None
            block, sep = block.replace(sep, UNIT), UNIT
        names = [str(place) for place in range(self.width)]
        wanted = [names[place] for place in self.wanted]
        try:
            table = csv.read_csv(
                pa.BufferReader(block),
                read_options=csv.ReadOptions(
                    column_names=names, block_size=1 << 21, use_threads=len(block) > 1 << 20
                ),
                parse_options=csv.ParseOptions(
                    delimiter=sep.decode(), quote_char='"' if quoted else False
                ),
                convert_options=csv.ConvertOptions(
                    include_columns=list(dict.fromkeys(wanted)),
                    column_types=dict(zip(wanted, types, strict=True)),
                    null_values=[""],
                    strings_can_be_null=True,
                    decimal_point=decimal,
                ),
            )
        except (pa.ArrowInvalid, pa.ArrowKeyError):
            return None
        lines = _lines(block, first)
        if len(lines) != len(table):
            return None
        return Rows([_one(table.column(name)) for name in wanted], lines)

    def slow(self, block: bytes, first: int, last: bool) -> tuple[Rows, bytes, int]:
        """The rows of any block as text; the rest that needs the next block, and its first line.

        last: there is no next block.
        """
        cells: list[list[bytes | None]] = [[] for _ in self.wanted]
        lines: list[int] = []
        bad: list[Bad] = []
        at, line = 0, first
        while at < len(block):
            end = block.find(b"\n", at)
            end = len(block) if end < 0 else end
            text, after, more = block[at:end].removesuffix(b"\r"), end + 1, 1
            if not text:
                at, line = after, line + 1
                continue
            fields: list[bytes] | str
            if self.quotes and b'"' in text:
                fields, stop = self.fields(block, at)
                if fields == OPEN and not last and len(block) - at < LONGEST_FIELD:
                    return self._rows(cells, lines, bad), block[at:], line
                if not isinstance(fields, str):
                    more = block.count(b"\n", at, stop) + 1
                    if more > 1 and self._swallows(block[at:stop]):
                        fields, more = SWALLOWED, 1
                    else:
                        after = stop + 1
            else:
                fields = text.split(self.sep)
            fault = fields if isinstance(fields, str) else self._fault(fields, text)
            if fault is None:
                for column, place in zip(cells, self.wanted, strict=True):
                    column.append(fields[place] or None)  # type: ignore[arg-type]
                lines.append(line)
            else:
                bad.append(
                    Bad(fault, line, text.decode("utf-8", "replace"), REMEDIES.get(fault, ""))
                )
            at, line = after, line + more
        return self._rows(cells, lines, bad), b"", line

    def _rows(self, cells: list[list[bytes | None]], lines: list[int], bad: list[Bad]) -> Rows:
        columns = [pa.array(column, pa.binary()).cast(pa.string()) for column in cells]
        return Rows(columns, np.array(lines, dtype=np.int64), bad)

    def _fault(self, fields: list[bytes], text: bytes) -> str | None:
        """Why a line is no row: a NUL byte, the number of fields, or bytes that are not UTF-8 in a
        wanted field. None for a row."""
        if b"\0" in text:
            return NUL
        if len(fields) != self.width:
            return f"a line must have {self.width} fields"
        try:
            for place in self.wanted:
                fields[place].decode()
        except UnicodeDecodeError:
            return NOT_UTF8
        return None

    def fields(self, block: bytes, at: int) -> tuple[list[bytes] | str, int]:
        """The fields of the row at a place and where it ends, or a fault of its quotes."""
        fields: list[bytes] = []
        end = -1
        while True:
            if block[at : at + 1] == b'"':
                start, close = at + 1, block.find(b'"', at + 1)
                while close >= 0 and block[close + 1 : close + 2] == b'"':
                    close = block.find(b'"', close + 2)
                if close < 0 or close - start > LONGEST_FIELD:
                    return OPEN, at
                fields.append(block[start:close].replace(b'""', b'"'))
                at = close + 1
                if block[at : at + 2] == b"\r\n":
                    at += 1
                if at >= len(block) or block[at] == NEWLINE:
                    return fields, min(at, len(block))
                if not block.startswith(self.sep, at):
                    return BROKEN, at
                at += len(self.sep)
                continue
            if end < at:
                end = block.find(b"\n", at)
                end = len(block) if end < 0 else end
            stop = block.find(self.sep, at, end)
            if stop < 0:
                fields.append(block[at:end].removesuffix(b"\r"))
                return fields, end
            fields.append(block[at:stop])
            at = stop + len(self.sep)

    def _swallows(self, row: bytes) -> bool:
        """Whether every line of a row of several lines looks like a row of its own."""
        parts = [line.removesuffix(b"\r").split(self.sep) for line in row.split(b"\n")]
        if self.width < 3 or any(len(fields) != self.width for fields in parts):
            return False
        # Free text of several lines has spaces, and fields of numbers are numbers in each.
        kinds = {tuple(_digits(fields[place]) for place in self.wanted[:2]) for fields in parts}
        return len(kinds) == 1 and None not in kinds.pop()


OPEN = "a quote is opened and not closed"
BROKEN = "a closing quote must end the field"
SWALLOWED = "a quote is opened, and the lines up to its end look like rows"
NUL = "a line must have no NUL byte"
NOT_UTF8 = "a line must be UTF-8"
_UNQUOTED = "if quotes are part of the text, read it with quoting=False"
REMEDIES = {
    OPEN: _UNQUOTED,
    BROKEN: _UNQUOTED,
    SWALLOWED: _UNQUOTED,
    NUL: 'a file of UTF-16 is read with encoding="utf-16"',
    NOT_UTF8: 'name its encoding, such as encoding="cp1252"',
}


def _digits(text: bytes) -> bool | None:
    return None if b" " in text or not text else text.isdigit()


def regular(block: bytes, sep: bytes) -> bool:
    """Whether the quotes of a block enclose fields, none of which goes beyond its line."""
    text = np.frombuffer(block, dtype=np.uint8)
    quotes, ends = np.flatnonzero(text == QUOTE), np.flatnonzero(text == NEWLINE)
    if len(quotes) % 2 or (np.searchsorted(quotes, ends) % 2).any():  # odd before a line ends
        return False
    opening, closing = quotes[::2], quotes[1::2]
    before = np.where(opening > 0, text[opening - 1], NEWLINE)
    after = np.where(closing + 1 < len(text), text[(closing + 1) % len(text)], NEWLINE)
    opens, closes = np.zeros((2, 256), dtype=np.bool_)
    opens[[sep[-1], NEWLINE, QUOTE]] = True
    closes[[sep[0], NEWLINE, RETURN, QUOTE]] = True
    return bool(opens[before].all() and closes[after].all())


def _lines(block: bytes, first: int) -> Sequence[int] | npt.NDArray[np.int64]:
    """The numbers of the lines that are not empty."""
    count = block.count(b"\n") + (not block.endswith(b"\n"))
    if b"\n\n" not in block and b"\n\r\n" not in block and block[:1] not in (b"\n", b"\r"):
        return range(first, first + count)
    text = np.frombuffer(block, dtype=np.uint8)
    ends = np.flatnonzero(text == NEWLINE)
    if not block.endswith(b"\n"):
        ends = np.append(ends, len(text))
    starts = np.concatenate([[0], ends[:-1] + 1])
    length = ends - starts
    some = (length > 1) | ((length == 1) & (text[np.minimum(starts, len(text) - 1)] != RETURN))
    return np.flatnonzero(some) + first


def _one(column: pa.ChunkedArray) -> Any:
    """A column in one piece."""
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
