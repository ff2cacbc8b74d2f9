"""What each entrance accepts: one declaration, checked cell by cell, and printed as a page.

`python -m tests.data.test_entrances` writes the tables of docs/entrances.md anew.
"""

from __future__ import annotations

import contextlib
import datetime
import decimal
import io
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp

import recae
from recae import Interactions, RecaeError
from recae.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "entrances.md"
ROWS = 3

# ---------------------------------------------------------------------------- entrances

NULLABLE = {
    getattr(pa, name.lower())(): getattr(pd, f"{name}Dtype")()
    for name in ("Int32", "Int64", "UInt8", "UInt32", "UInt64", "Float32", "Float64")
} | {pa.bool_(): pd.BooleanDtype(), pa.string(): pd.StringDtype()}


class Interchange:
    """Only the dataframe interchange protocol."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __dataframe__(self, **options: object) -> object:
        return self.table.__dataframe__(**options)


def in_pandas(table: pa.Table) -> pd.DataFrame:
    """With numpy columns, and objects where numpy has no type."""
    columns = {}
    for name in table.column_names:
        column = table[name]
        if str(column.type) == "fixed_size_binary[16]":
            values = [None if v is None else uuid.UUID(bytes=v) for v in column.to_pylist()]
            columns[name] = pd.Series(values, dtype=object)
        else:
            columns[name] = column.to_pandas()
    return pd.DataFrame(columns)


def nullable(table: pa.Table) -> pd.DataFrame:
    return pd.DataFrame(
        {
            name: table[name].to_pandas(types_mapper=NULLABLE.get)
            if table[name].type in NULLABLE
            else in_pandas(table.select([name]))[name]
            for name in table.column_names
        }
    )


def parquet(table: pa.Table, place: Path) -> Path:
    pq.write_table(table, place / "plays.parquet")
    return place / "plays.parquet"


def text(table: pa.Table, place: Path) -> Path:
    """As a program writes it: an empty field is missing, dates are in ISO form."""
    columns = [
        [("" if value is None else as_text(value)) for value in column.to_pylist()]
        for column in table.columns
    ]
    lines = [",".join(table.column_names), *(",".join(row) for row in zip(*columns, strict=True))]
    (place / "plays.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return place / "plays.csv"


def as_text(value: object) -> str:
    if isinstance(value, bytes):
        return str(uuid.UUID(bytes=value))
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat(" ") if isinstance(value, datetime.datetime) else str(value)


def by_command_line(path: Path) -> Interactions:
    """What `recae fit --with-history` keeps of a file."""
    out, errors = path.parent / "model", io.StringIO()
    command = ["fit", str(path), str(out), "--model", "popularity", "--with-history", "--quiet"]
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        code = main([*command, "--overwrite"])
    if code:
        raise RecaeError(errors.getvalue())
    history = recae.load(out).history_
    assert history is not None
    return history


def as_matrix(table: pa.Table) -> Interactions:
    """A scipy matrix with the ids of its rows: no times, and each pair at its own place."""
    names = table.column_names
    weights = table["weight"] if "weight" in names else pa.array([1.0] * ROWS)
    values = weights.to_numpy() if not weights.null_count else np.array(weights.to_pylist(), float)
    matrix = sp.coo_matrix((values, (range(ROWS), range(ROWS))), shape=(ROWS, ROWS))
    return Interactions.from_csr(matrix, users=table["user_id"], items=table["item_id"])


@dataclass(frozen=True)
class Entrance:
    """A way in. text: whether a file of text is read, which has no types."""

    read: Callable[[pa.Table, Path], Interactions]
    text: bool = False


def frame(make: Callable[[pa.Table], Any]) -> Entrance:
    return Entrance(lambda table, place: Interactions.from_frame(make(table)))


def lazy(table: pa.Table) -> Any:
    return polars.from_arrow(table).lazy()  # type: ignore[union-attr]


ENTRANCES: dict[str, Entrance] = {
    "read_parquet": Entrance(lambda table, place: recae.read_parquet(parquet(table, place))),
    "read_csv": Entrance(lambda table, place: recae.read_csv(text(table, place)), text=True),
    "read_table": Entrance(lambda table, place: recae.read_table(parquet(table, place))),
    "command line": Entrance(lambda table, place: by_command_line(parquet(table, place))),
    "pandas (numpy)": frame(in_pandas),
    "pandas (nullable)": frame(nullable),
    "pandas (Arrow)": frame(lambda table: table.to_pandas(types_mapper=pd.ArrowDtype)),
    "polars": frame(polars.from_arrow),
    "polars (lazy)": frame(lazy),
    "Arrow table": frame(lambda table: table),
    "Arrow reader": frame(lambda table: table.to_reader(max_chunksize=2)),
    "Arrow dataset": frame(pyarrow.dataset.dataset),
    "interchange": frame(Interchange),
    "scipy": Entrance(lambda table, place: as_matrix(table)),
}

# ---------------------------------------------------------------------------- columns


@dataclass(frozen=True)
class Kind:
    """A kind of column.

    accepted: what is read, (rows,), or None where it is refused. culprit: what the message of a
    refusal holds. in_text: the same of a text file, where it differs. only: the entrances that can
    carry such a column, by default all.
    """

    column: pa.Array
    accepted: list[Any] | None = None
    culprit: str = ""
    in_text: list[Any] | str | None = None
    skipped: tuple[str, ...] = ()
    others: dict[str, list[Any] | str] = field(default_factory=dict)

    def expected(self, name: str) -> list[Any] | str:
        """What comes out, or the culprit of a refusal."""
        if name in self.others:
            return self.others[name]
        if ENTRANCES[name].text and self.in_text is not None:
            return self.in_text
        return self.culprit if self.accepted is None else self.accepted


D, DATE, MOMENT = decimal.Decimal, datetime.date, datetime.datetime
UTC, TOKYO = datetime.UTC, "Asia/Tokyo"
DAYS = [DATE(2026, 11, 23), DATE(2024, 2, 29), DATE(2026, 11, 24)]
ISO = [day.isoformat() for day in DAYS]
SECONDS = [int(MOMENT(day.year, day.month, day.day, tzinfo=UTC).timestamp()) for day in DAYS]
NANOS = [second * 10**9 for second in SECONDS]
NAIVE = [MOMENT(2026, 11, 23, 1, 30), MOMENT(2024, 2, 29), MOMENT(2026, 11, 24)]
UUIDS = [uuid.UUID(int=n) for n in (5, 1, 9)]
NO_POLARS = ("polars", "polars (lazy)")
NOT_EXCHANGED = ("interchange",)  # the protocol of pyarrow has no such type
HUGE = 2**63 + 5

IDS = {
    "int64": Kind(pa.array([7, -1, 2**62 + 1]), [7, -1, 2**62 + 1]),
    "int32": Kind(pa.array([7, 1, 9], pa.int32()), [7, 1, 9]),
    "uint8": Kind(pa.array([7, 1, 255], pa.uint8()), [7, 1, 255]),
    "uint64 below 2**63": Kind(pa.array([7, 1, 2**63 - 1], pa.uint64()), [7, 1, 2**63 - 1]),
    "uint64 beyond": Kind(pa.array([7, HUGE, 1], pa.uint64()), culprit=str(HUGE)),
    "text": Kind(pa.array(["b", "ä 1", "a"]), ["b", "ä 1", "a"]),
    "large text": Kind(pa.array(["b", "c", "a"], pa.large_string()), ["b", "c", "a"]),
    "dictionary of text": Kind(pa.array(["b", "c", "a"]).dictionary_encode(), ["b", "c", "a"]),
    "dictionary of integers": Kind(
        pa.array([7, 1, 9]).dictionary_encode(),
        [7, 1, 9],
        skipped=(*NO_POLARS, *NOT_EXCHANGED),
    ),
    "UUID (16 bytes)": Kind(
        pa.array([one.bytes for one in UUIDS], pa.binary(16)),
        [str(one) for one in UUIDS],
        skipped=(*NO_POLARS, *NOT_EXCHANGED),
    ),
    "date32": Kind(pa.array(DAYS), ISO, skipped=NOT_EXCHANGED),
    "timestamp at midnight": Kind(
        pa.array(DAYS).cast(pa.timestamp("us")), ISO, in_text=[f"{day} 00:00:00" for day in ISO]
    ),
    "timestamp": Kind(
        pa.array(NAIVE, pa.timestamp("us")),
        culprit="01:30:00",
        in_text=[moment.isoformat(" ") for moment in NAIVE],
    ),
    "Decimal(38, 0)": Kind(
        pa.array([D(7), D(1), D(2**62 + 1)], pa.decimal128(38, 0)),
        [7, 1, 2**62 + 1],
        skipped=NOT_EXCHANGED,
    ),
    "Decimal beyond 2**63": Kind(
        pa.array([D(7), D(10**25), D(1)], pa.decimal128(38, 0)),
        culprit=str(10**25),
        skipped=NOT_EXCHANGED,
    ),
    "Decimal(10, 2)": Kind(
        pa.array([D("7.00"), D("1.50"), D("2.00")], pa.decimal128(10, 2)),
        culprit="",
        skipped=NOT_EXCHANGED,
    ),
    "float, whole": Kind(pa.array([7.0, 1.0, 9.0]), culprit="7.0"),
    "float": Kind(pa.array([7.0, 1.5, 9.0]), culprit="1.5", in_text="7.0"),
    "bool": Kind(pa.array([True, False, True]), culprit="bool", in_text=["true", "false", "true"]),
    "integers with a null": Kind(pa.array([2**62 + 1, None, 9]), culprit="row 1", in_text="line 3"),
    "text with a null": Kind(pa.array(["b", None, "a"]), culprit="row 1", in_text="line 3"),
    "bytes": Kind(
        pa.array([b"b", b"c", b"a"]), culprit="b'b'", skipped=(*NOT_EXCHANGED, "read_csv")
    ),
}

TIMES = {
    "int64, seconds": Kind(pa.array(SECONDS), SECONDS),
    "int64, nanoseconds": Kind(pa.array([n + 1 for n in NANOS]), [n + 1 for n in NANOS]),
    "int32": Kind(pa.array(SECONDS, pa.int32()), SECONDS),
    "uint64 beyond 2**63": Kind(pa.array([1, HUGE, 2], pa.uint64()), culprit=str(HUGE)),
    "float, whole": Kind(pa.array([float(s) for s in SECONDS]), SECONDS),
    "float": Kind(pa.array([1.0, 2.5, 3.0]), culprit="2.5"),
    "Decimal(38, 0)": Kind(
        pa.array([D(n + 1) for n in NANOS], pa.decimal128(38, 0)),
        [n + 1 for n in NANOS],
        skipped=NOT_EXCHANGED,
    ),
    "date32": Kind(pa.array(DAYS), NANOS, skipped=NOT_EXCHANGED),
    "date64": Kind(pa.array(DAYS).cast(pa.date64()), NANOS, skipped=NOT_EXCHANGED),
    "ISO text": Kind(pa.array(ISO), NANOS),
    "other text": Kind(pa.array([ISO[0], "yesterday", ISO[2]]), culprit="yesterday"),
    "timestamp (s)": Kind(pa.array(DAYS).cast(pa.timestamp("s")), NANOS),
    "timestamp (ns)": Kind(
        pa.array([n + 1 for n in NANOS], pa.timestamp("ns")), [n + 1 for n in NANOS]
    ),
    "timestamp with a zone": Kind(pa.array(NANOS, pa.timestamp("ns", TOKYO)), NANOS),
    "year 9999": Kind(
        pa.array([MOMENT(2026, 1, 1), MOMENT(9999, 1, 1), MOMENT(2027, 1, 1)], pa.timestamp("us")),
        culprit="9999",
    ),
    "bool": Kind(pa.array([True, False, True]), culprit=""),
    "integers with a null": Kind(
        pa.array([NANOS[0] + 1, None, 5]), culprit="row 1", in_text="line 3"
    ),
    "dates with a null": Kind(
        pa.array([DAYS[0], None, DAYS[1]]), culprit="row 1", in_text="line 3", skipped=NOT_EXCHANGED
    ),
}

WEIGHTS = {
    "float64": Kind(pa.array([1.5, 2, 0.25]), [1.5, 2, 0.25]),
    "float32": Kind(pa.array([1.5, 2, 0.25], pa.float32()), [1.5, 2, 0.25]),
    "int64": Kind(pa.array([1, 2**24 + 2, 3]), [1, 2**24 + 2, 3]),
    "uint8": Kind(pa.array([1, 255, 3], pa.uint8()), [1, 255, 3]),
    "uint64": Kind(pa.array([1, 2**63, 3], pa.uint64()), [1, 2.0**63, 3]),
    "Decimal(10, 2)": Kind(
        pa.array([D("1.50"), D("2.00"), D("0.25")], pa.decimal128(10, 2)),
        [1.5, 2, 0.25],
        skipped=(*NOT_EXCHANGED, "scipy"),
    ),
    "Decimal(38, 0)": Kind(
        pa.array([D(1), D(2), D(3)], pa.decimal128(38, 0)),
        [1, 2, 3],
        skipped=(*NOT_EXCHANGED, "scipy"),
    ),
    "bool": Kind(pa.array([True, True, True]), culprit="", others={"scipy": [1, 1, 1]}),
    "text": Kind(pa.array(["5", "many", "4"]), culprit="many", skipped=("scipy",)),
    "null": Kind(pa.array([1.5, None, 2]), culprit=" 1", others={"scipy": "nan"}),
    "integers with a null": Kind(pa.array([1, None, 2]), culprit=" 1", others={"scipy": "nan"}),
    "NaN": Kind(pa.array([1.5, np.nan, 2]), culprit=" 1", others={"scipy": "nan"}),
    "infinite": Kind(pa.array([1.5, np.inf, 2]), culprit="inf"),
    "zero": Kind(pa.array([1.5, 0, 2]), culprit="0.0", others={"scipy": [1.5, 2]}),
    "negative": Kind(pa.array([1.5, -2, 2]), culprit="-2.0"),
    "beyond float32": Kind(pa.array([1.5, 1e39, 2]), culprit="1e+39"),
    "dates": Kind(pa.array(DAYS), culprit="", skipped=(*NOT_EXCHANGED, "scipy")),
}

ROLES: dict[str, dict[str, Kind]] = {"ids": IDS, "times": TIMES, "weights": WEIGHTS}


def table_of(role: str, kind: Kind) -> pa.Table:
    columns = {"user_id": pa.array([1, 2, 3]), "item_id": pa.array(["a", "b", "c"])}
    columns |= {{"ids": "user_id", "times": "timestamp", "weights": "weight"}[role]: kind.column}
    return pa.table(columns)


def cells(role: str, kind: Kind) -> list[str]:
    """The entrances that can carry a column."""
    names = [name for name in ENTRANCES if name not in kind.skipped]
    return [name for name in names if not (name == "scipy" and role == "times")]


def found(role: str, data: Interactions) -> list[Any]:
    """What was read, in the order of the rows."""
    rows = data.to_frame().sort_values("item_id")
    return rows[{"ids": "user_id", "times": "timestamp", "weights": "weight"}[role]].tolist()


@pytest.mark.parametrize(("role", "name"), [(role, name) for role in ROLES for name in ROLES[role]])
def test_each_entrance_reads_a_column_or_names_what_is_wrong(
    role: str, name: str, tmp_path: Path
) -> None:
    kind, wrong = ROLES[role][name], []
    table = table_of(role, kind)
    for entrance in cells(role, kind):
        expected = kind.expected(entrance)
        try:
            got: Any = found(role, ENTRANCES[entrance].read(table, tmp_path))
        except RecaeError as error:
            got = str(error)
            if isinstance(expected, str) and expected in got and got:
                continue
        except Exception as error:  # whatever another library raises is a fault
            got = repr(error)
        if got != expected:
            wrong.append(f"{entrance}: {got} instead of {expected}")
    assert not wrong, "\n".join(wrong)


def test_partitions_of_hive_are_columns(tmp_path: Path) -> None:
    for day, user in zip(ISO, (1, 2, 3), strict=True):
        folder = tmp_path / f"date={day}" / f"user_id={user}"
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"item_id": [7]}), folder / "part-0.parquet")
    dataset = pyarrow.dataset.dataset(tmp_path, partitioning="hive")
    for data in (
        Interactions.from_frame(dataset, time="date"),
        recae.read_parquet(tmp_path, time="date"),
        recae.read_table(tmp_path, time="date"),
    ):
        assert data.users.ids.tolist() == [1, 2, 3]
        assert data.times.tolist() == NANOS


TITLES = {"ids": "Ids of users and items", "times": "Times", "weights": "Weights"}


def drawn(role: str) -> str:
    """The table of a page: yes, no, or - where no such column can come."""
    names = [name for name in ENTRANCES if not (name == "scipy" and role == "times")]
    lines = [f"| {TITLES[role]} | {' | '.join(names)} |", f"|---{'|---' * len(names)}|"]
    for column, kind in ROLES[role].items():
        there = cells(role, kind)
        read = {name: isinstance(kind.expected(name), list) for name in there}
        marks = ["yes" if read.get(name) else "no" if name in there else "-" for name in names]
        lines.append(f"| {column} | {' | '.join(marks)} |")
    return "\n".join(lines) + "\n"


def test_the_page_shows_the_cells() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for role in ROLES:
        assert f"\n\n{drawn(role)}\n" in text
    assert f" {sum(len(cells(r, k)) for r in ROLES for k in ROLES[r].values()):,} cells" in text


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    for role, title in TITLES.items():
        text = re.sub(rf"(?m)^\| {title} \|.*\n(\|.*\n)*", drawn(role), text)
    PAGE.write_text(text, encoding="utf-8")
