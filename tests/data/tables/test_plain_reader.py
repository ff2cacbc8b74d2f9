"""Tables of all dialects and types beside a plain reader; RECAE_READER_CASES=20000 draws more."""

from __future__ import annotations

import csv
import datetime
import gzip
import io
import os
import re
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import recae
from recae import DataError

CASES = int(os.environ.get("RECAE_READER_CASES", 40))
drawn = settings(
    max_examples=CASES,
    derandomize=CASES < 1000,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
FORMAT = "%d.%m.%Y %H:%M"
Row = tuple[Any, Any, float, int]


@dataclass(frozen=True)
class Dialect:
    """How a file is written."""

    sep: str
    quoting: bool
    decimal: str
    encoding: str
    header: bool
    newline: str
    last_newline: bool
    bom: bool
    packed: bool
    ids: str
    time: str
    named: bool  # whether the reader is given the separator

    def options(self) -> dict[str, Any]:
        """What `read_csv` is given."""
        places = {} if self.header else {"user": 0, "item": 1, "weight": 2, "time": 3}
        return places | {
            "sep": self.sep if self.named else None,
            "quoting": self.quoting,
            "decimal": self.decimal,
            "encoding": None if self.encoding == "utf-8" or self.bom else self.encoding,
            "header": self.header,
            "ids": self.ids,
            "time_format": FORMAT if self.time == "format" else None,
        }


@st.composite
def dialects(draw: st.DrawFn) -> Dialect:
    sep = draw(st.sampled_from([",", ";", "\t", "|", "::"]))
    header = draw(st.booleans())
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-16", "cp1252"]))
    return Dialect(
        sep=sep,
        quoting=draw(st.booleans()),
        decimal="." if sep == "," else draw(st.sampled_from([".", ","])),
        encoding=encoding,
        header=header,
        newline=draw(st.sampled_from(["\n", "\r\n", "\r"])),
        last_newline=draw(st.booleans()),
        bom=encoding == "utf-16" or (encoding == "utf-8" and draw(st.booleans())),
        packed=draw(st.booleans()),
        ids=draw(st.sampled_from(["auto", "auto", "text", "integer"])),
        time=draw(st.sampled_from(["int", "iso", "format"])),
        named=not header or draw(st.booleans()),
    )


INTS = st.sampled_from(["1", "2", "3", "007", "-4", " 5 ", "9223372036854775807"])
ODD_IDS = ["", " ", "x1", "TOTAL", "N/A", "5.5", "2.0", "18446744073709551615", "0x1F", "ü b", "+7"]
ODD_WEIGHTS = ["", "n/a", "-1", "0", "nan", "inf", "1e60", "1.5", "1,5", "1e-60", "0x10", "1_000"]
ODD_TIMES = ["", "unknown", "2020-13-45", "7.5", "1e3", "12", "2020-01-01", "01.02.2020 10:30"]
TIMES = {
    "int": st.sampled_from(["1", "2", "1700000000", " 3"]),
    "iso": st.sampled_from(["2020-01-01", "2020-01-02 10:00:00", "1999-12-31T23:59:59"]),
    "format": st.sampled_from(["07.04.2011 15:58", "31.12.1999 00:00"]),
}
TEXTS = ["", "seen", 'say "hi"', "two\nlines", "a,b;c|d", 'inch 5"', "ü"]


def field(text: str, dialect: Dialect, always: bool) -> str:
    """A field, quoted where it must be."""
    special = any(part in text for part in (dialect.sep, "\n", "\r")) or text.startswith('"')
    if dialect.quoting and len(dialect.sep) == 1 and (special or always):
        return '"' + text.replace('"', '""') + '"'
    text = text.replace("\n", " ").replace("\r", " ").replace(dialect.sep, " ")
    return text.lstrip('"') if dialect.quoting else text


@st.composite
def files(draw: st.DrawFn) -> tuple[Dialect, str]:
    """A dialect and the text of a file in it."""
    dialect = draw(dialects())
    dirty = draw(st.sampled_from([0, 0, 1, 4]))
    bad = st.integers(0, 9).map(lambda roll: roll < dirty)
    lines, rows = [], draw(st.integers(1, 12))
    names = ["user_id", "item_id", "weight", "timestamp", "note"]
    if dialect.header:
        lines.append(dialect.sep.join(names))
    word = draw(st.booleans())
    for _ in range(rows):
        number = str(draw(st.integers(1, 9))) + dialect.decimal + draw(st.sampled_from("05"))
        cells = [
            draw(st.sampled_from(ODD_IDS) if draw(bad) else INTS),
            draw(st.sampled_from(ODD_IDS) if draw(bad) else INTS),
            draw(st.sampled_from(ODD_WEIGHTS)) if draw(bad) else number,
            draw(st.sampled_from(ODD_TIMES) if draw(bad) else TIMES[dialect.time]),
            draw(st.sampled_from(TEXTS)),
        ]
        if word:
            cells[0] = f"u{cells[0]}"
        line = dialect.sep.join(field(cell, dialect, draw(st.booleans())) for cell in cells)
        lines.append(line)
        if dirty and draw(st.integers(0, 19)) == 0:
            odd = [lines[0], "1", dialect.sep.join("1234567"), "", "\0\0"]
            lines.append(draw(st.sampled_from(odd)))
        if dirty and draw(st.integers(0, 29)) == 0:
            lines.append(dialect.sep.join(["1", "2", number, cells[3], '"best of']))
    text = dialect.newline.join(lines) + (dialect.newline if dialect.last_newline else "")
    return dialect, text


def store(dialect: Dialect, text: str, folder: str) -> Path:
    """The text in a file."""
    path = Path(folder) / ("plays.CSV.GZ" if dialect.packed else "plays.csv")
    raw = text.encode(dialect.encoding, "replace")
    if dialect.bom and dialect.encoding == "utf-8":
        raw = b"\xef\xbb\xbf" + raw
    path.write_bytes(gzip.compress(raw) if dialect.packed else raw)
    return path


class Faulty(Exception):
    """A file without rows that can be trusted."""


def plain_rows(dialect: Dialect, text: str) -> tuple[list[list[str]], int]:
    """Rows of five fields, and the number of lines that are none, by the csv module."""
    text = text.encode(dialect.encoding, "replace").decode(dialect.encoding)
    if dialect.quoting and len(dialect.sep) == 1:
        stream = io.StringIO(text.replace("\r\n", "\n").replace("\r", "\n"), newline="")
        try:
            rows = list(csv.reader(stream, delimiter=dialect.sep, strict=True))
        except csv.Error as error:
            raise Faulty(str(error)) from None
    else:
        rows = [line.split(dialect.sep) for line in re.split("\r\n|\n|\r", text)]
    rows = [row for row in rows if row and row != [""]]
    header = rows.pop(0)[:4] if dialect.header else None
    good = [row for row in rows if len(row) == 5 and "\0" not in "".join(row) and row[:4] != header]
    return good, len(rows) - len(good)


def plain_id(text: str, kind: str) -> Any:
    if not text or (kind == "integer" and not text.strip()):
        return None
    if kind == "text":
        return text
    whole = re.fullmatch("-?[0-9]+", text.strip())
    number = int(text) if whole else None
    return number if number is not None and -(2**63) <= number < 2**63 else None


def kind_of(texts: list[str], ids: str, drop: bool) -> str:
    """Whether a column of ids is of integers or of text."""
    if ids != "auto":
        return ids
    some = [text for text in texts if text.strip()]
    whole = sum(plain_id(text, "integer") is not None for text in some)
    number = r"[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)(e[+-]?[0-9]+)?"
    words = [text for text in some if not re.fullmatch(number, text.strip())]
    return "text" if words and not (drop and whole > len(some) - whole) else "integer"


def plain_weight(text: str, decimal: str) -> float | None:
    text = text.strip()
    if decimal == ",":
        text = "bad" if "." in text else text.replace(",", ".")
    if not re.fullmatch(r"[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)(e[+-]?[0-9]+)?", text):
        return None
    with np.errstate(all="ignore"):
        weight = float(np.float32(float(text)))
    return weight if 0 < weight < float("inf") else None


def nanoseconds(moment: datetime.datetime) -> int:
    return int(moment.replace(tzinfo=datetime.UTC).timestamp()) * 10**9


def plain_time(text: str, how: str) -> int | None:
    text = text.strip()
    if how == "int":
        number = re.fullmatch(r"[+-]?[0-9.]+(e[0-9]+)?", text) and float(text)
        return int(number) if number and number == int(number) else None
    try:
        if how == "format":
            return nanoseconds(datetime.datetime.strptime(text, FORMAT))
        if not re.match(r"\d{4}-\d\d-\d\d", text):
            return None
        return nanoseconds(datetime.datetime.fromisoformat(text))
    except ValueError:
        return None


def kind_of_times(texts: list[str], dialect: Dialect) -> str:
    if dialect.time == "format":
        return "format"
    numbers = sum(plain_time(text, "int") is not None for text in texts)
    dates = sum(plain_time(text, "iso") is not None for text in texts)
    return "int" if numbers >= dates else "iso"


def plain_table(dialect: Dialect, text: str, drop: bool) -> tuple[list[Row], int]:
    """The rows of a file with all four values, and how many rows are bad."""
    rows, bad = plain_rows(dialect, text)
    kinds = [kind_of([row[at] for row in rows], dialect.ids, drop) for at in (0, 1)]
    how = kind_of_times([row[3] for row in rows], dialect)
    found: list[Row] = []
    for row in rows:
        user, item = (plain_id(row[at], kinds[at]) for at in (0, 1))
        weight, time = plain_weight(row[2], dialect.decimal), plain_time(row[3], how)
        if user is None or item is None or weight is None or time is None:
            bad += 1
        else:
            found.append((user, item, weight, time))
    return found, bad


def merged(rows: list[Row]) -> list[Row]:
    """One row for each pair, the latest, sorted by user and item."""
    last: dict[tuple[Any, Any], Row] = {}
    for row in sorted(rows, key=lambda row: row[3]):
        last[row[:2]] = row
    return [last[pair] for pair in sorted(last)]


def outcome(read: Callable[[], recae.Interactions]) -> list[Row] | DataError:
    """The rows that are read, or the error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", recae.RecaeWarning)
        try:
            frame = read().to_frame()
        except DataError as error:
            return error
    return [
        (user, item, float(weight), int(time))
        for user, item, weight, time in frame.itertuples(index=False, name=None)
    ]


@drawn
@given(files())
def test_text_is_read_as_a_plain_reader_reads_it(case: tuple[Dialect, str]) -> None:
    dialect, text = case
    with tempfile.TemporaryDirectory() as folder:
        path = store(dialect, text, folder)
        options = dialect.options()
        strict = outcome(lambda: recae.read_csv(path, **options))
        lenient = outcome(lambda: recae.read_csv(path, on_bad_rows="drop", **options))
    try:
        (rows, bad), (rest, _) = (plain_table(dialect, text, drop) for drop in (False, True))
    except Faulty:
        assert isinstance(strict, DataError)
        return
    if bad or not rows:
        assert isinstance(strict, DataError), (rows, strict)
    elif isinstance(strict, DataError):  # only because of a quote that closes far away
        assert "quote" in str(strict) and '"best of' in text, strict
    else:
        assert strict == merged(rows)
    if '"best of' not in text or not dialect.quoting:
        assert (lenient == merged(rest)) if rest else isinstance(lenient, DataError), lenient


TYPES: dict[str, tuple[pa.DataType, list[Any]]] = {
    "int8": (pa.int8(), [1, 2, -3]),
    "int64": (pa.int64(), [1, 2**60 + 1, -5]),
    "uint64": (pa.uint64(), [1, 2, 2**63 - 1]),
    "hash": (pa.uint64(), [1, 2**64 - 1]),
    "text": (pa.string(), ["a", "b", "007"]),
    "large": (pa.large_string(), ["a", "b", ""]),
    "category": (pa.dictionary(pa.int32(), pa.string()), ["a", "b"]),
    "float": (pa.float64(), [1.0, 2.5]),
    "bool": (pa.bool_(), [True, False]),
    "bytes": (pa.binary(), [b"a", b"b"]),
    "date": (pa.date32(), [datetime.date(2020, 1, 1), datetime.date(2021, 1, 1)]),
    "null": (pa.null(), [None]),
}
SEVERAL = ("int8", "int64", "uint64", "text", "large", "category", "date")


@st.composite
def tables(draw: st.DrawFn) -> tuple[pa.Table, list[tuple[Any, Any, float | None]]]:
    """A table of any types with some nulls, and its rows in plain Python."""
    count = draw(st.integers(1, 8))
    columns: dict[str, list[Any]] = {}
    types = {}
    for name in ("user_id", "item_id"):
        kind = draw(st.sampled_from([*SEVERAL, *SEVERAL, *TYPES]))
        types[name], values = TYPES[kind]
        some = st.sampled_from(values)
        may = st.one_of(some, some, some, st.none()) if draw(st.booleans()) else some
        columns[name] = [draw(may) for _ in range(count)]
    weights = st.sampled_from([1.0, 2.5, 3.0, -1.0, 0.0, float("nan"), float("inf"), None])
    clean = draw(st.booleans())
    columns["weight"] = [draw(st.just(2.0) if clean else weights) for _ in range(count)]
    types["weight"] = draw(st.sampled_from([pa.float32(), pa.float64()]))
    table = pa.table({name: pa.array(columns[name], types[name]) for name in columns})
    return table, list(zip(*columns.values(), strict=True))


def as_plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime.date) else value


@drawn
@given(tables(), st.sampled_from(["arrow", "parquet", "pandas", "arrow-backed", "nullable"]))
def test_typed_tables_are_read_as_their_values(
    case: tuple[pa.Table, list[tuple[Any, Any, float | None]]], way: str
) -> None:
    table, rows = case
    good, refused = [], False
    for user, item, weight in rows:
        ids = [as_plain(user), as_plain(item)]
        fine = weight is not None and 0 < weight < float("inf")
        for value in ids:
            fine &= isinstance(value, int | str) and not isinstance(value, bool)
            fine &= not isinstance(value, int) or value < 2**63
        if fine:
            good.append((*ids, float(weight or 0)))
    refused = len(good) < len(rows)
    with tempfile.TemporaryDirectory() as folder:

        def read(**options: Any) -> recae.Interactions:
            given: Any = table
            if way == "parquet":
                pq.write_table(table, Path(folder) / "plays.parquet")
                return recae.read_parquet(Path(folder) / "plays.parquet", **options)
            if way == "arrow-backed":
                given = table.to_pandas(types_mapper=pd.ArrowDtype)
            elif way == "nullable":
                given = table.to_pandas()
                whole = [name for name in given if not pa.types.is_floating(table[name].type)]
                with np.errstate(invalid="ignore"):  # old versions of pandas cast large uint64
                    given = given.assign(**{name: given[name].convert_dtypes() for name in whole})
            elif way == "pandas":
                given = table.to_pandas()
            return recae.Interactions.from_frame(given, **options)

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", recae.RecaeWarning)
            found: Any
            try:
                found = read().to_frame().to_numpy(dtype=object).tolist()
            except DataError as error:
                found = error
            try:
                rest: Any = read(on_bad_rows="drop").to_frame().to_numpy(dtype=object).tolist()
            except DataError as error:
                rest = error
    last = {row[:2]: [*row] for row in good}
    wanted = [last[pair] for pair in sorted(last)]
    if refused:
        assert isinstance(found, DataError), found
    else:
        assert found == wanted
    pandas_lost = way in ("pandas", "nullable") and any(row[:2].count(None) for row in rows)
    if pandas_lost and any(isinstance(v, int) and abs(v) > 2**53 for row in rows for v in row[:2]):
        return
    # A column that is all of a wrong type has no bad rows: it is refused as it is. Of floats, whole
    # ones may have been integers before others were missing.
    if any(isinstance(value, float) for row in rows for value in row[:2]):
        return
    assert isinstance(rest, DataError) or rest == wanted
