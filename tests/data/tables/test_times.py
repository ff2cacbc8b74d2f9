"""Columns of times: whole numbers or dates of any storage, but never both in one table."""

from __future__ import annotations

import datetime
import decimal
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import recae
from recae import DataError, Interactions
from recae.data.tables.times import OneKind, moments, time_array

DAY = 86_400 * 10**9  # nanoseconds
UTC = datetime.UTC
DAYS = [datetime.date(1970, 1, 2), datetime.date(1970, 1, 4)]
MOMENTS = [datetime.datetime(1970, 1, 2), datetime.datetime(1970, 1, 4)]
TOKYO = datetime.timezone(datetime.timedelta(hours=9))


@pytest.mark.parametrize(
    "column",
    [
        pa.array(DAYS),
        pa.array(DAYS).cast(pa.date64()),
        pa.array(MOMENTS, pa.timestamp("us", "Asia/Tokyo")),
        pa.array(DAYS).cast(pa.timestamp("s")).dictionary_encode(),
        pa.array(["1970-01-02", "1970-01-04"]),
        pa.array(["1970-01-02T00:00Z", "1970-01-04T09:00+09:00"]),
        pd.Series(DAYS, dtype=object),
        pd.Series(MOMENTS, dtype=object),
        pd.Series([pd.Timestamp(MOMENTS[0]), DAYS[1]], dtype=object),
        pd.Series([m.replace(tzinfo=UTC).astimezone(TOKYO) for m in MOMENTS], dtype=object),
        pd.Series(np.array(DAYS, dtype="M8[D]").astype(object)),
        pd.Series(MOMENTS, dtype="category"),
        pd.Series(DAYS, dtype=pd.ArrowDtype(pa.date32())),
        pd.Series(["1970-01-02", "1970-01-04"], dtype=object),
    ],
)
def test_dates_of_every_storage_become_nanoseconds(column: object) -> None:
    assert time_array(column, "when").tolist() == [DAY, 3 * DAY]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([5, 2**62 + 1], pa.uint64()),
        pa.array([decimal.Decimal(5), decimal.Decimal(2**62 + 1)], pa.decimal128(38, 0)),
        pd.Series([decimal.Decimal(5), decimal.Decimal(2**62 + 1)], dtype=object),
        pd.Series([5, 2**62 + 1], dtype=object),
        pd.Series([5, 2**62 + 1], dtype="Int64"),
        pd.Series([5, 2**62 + 1], dtype="category"),
    ],
)
def test_whole_numbers_are_not_rounded(column: object) -> None:
    assert time_array(column, "when").tolist() == [5, 2**62 + 1]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([1, None, 2**62 + 1]), "missing .*'when'.* row 8"),
        (pa.array([*DAYS, None]), "missing .*'when'.* row 9"),
        (pd.Series([DAYS[0], None], dtype=object), "missing .* row 8"),
        (pa.array([datetime.date(1970, 1, 1), datetime.date(9999, 1, 1)]), "9999-01-01.* row 8 "),
        (pd.Series(["1970-01-01", "9999-01-01"]), "9999-01-01.* row 8 "),
        (pd.Series([MOMENTS[0], MOMENTS[1].replace(tzinfo=UTC)], dtype=object), "row 8,"),
        (pd.Series(["1970-01-02", "soon", "later"]), r"'soon' .*row 8 \(2 "),
        (pd.Series([True, False]), "bool .*row 7 "),
        (pd.Series([decimal.Decimal("1"), decimal.Decimal("1.5")], dtype=object), "1.5 at row 8 "),
        (pd.Series([1, "x"], dtype=object), "row "),
        (pa.array([1, 2], pa.duration("s")), "timedelta"),
        (pa.array([1, 2], pa.time32("s")), "row 7 "),
    ],
)
def test_what_is_no_time_is_named_with_its_row(column: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        time_array(column, "when", 7)


KINDS = {
    "whole numbers": pa.array([1_700_000_000]),
    "dates": pa.array(DAYS[:1]),
    "dates with a time zone": pa.array(MOMENTS[:1], pa.timestamp("us", "UTC")),
}


@pytest.mark.parametrize("one", KINDS)
@pytest.mark.parametrize("other", KINDS)
def test_files_with_times_of_two_kinds_are_refused(tmp_path: Path, one: str, other: str) -> None:
    for name, kind in (("a", one), ("b", other)):
        columns = {"user_id": [1], "item_id": pa.array([name]), "timestamp": KINDS[kind]}
        pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
    if one == other:
        assert recae.read_parquet(tmp_path).nnz == 2
        return
    with pytest.raises(DataError) as caught:
        recae.read_parquet(tmp_path)
    message = str(caught.value)
    assert "a.parquet" in message and "b.parquet" in message
    assert f" {one} (" in message and f" {other} " in message and "'timestamp'" in message


def test_days_and_moments_are_of_one_kind() -> None:
    kinds = OneKind("when")
    for column in (pa.array(DAYS), pd.Series(MOMENTS), pd.Series(["1970-01-01"])):
        kinds.check(moments(column, "when"))
    with pytest.raises(DataError, match="'when'.* row 5"):
        kinds.check(moments(pd.Series([None, 2.0]), "when"), 4)


def test_rows_are_counted_whatever_the_index_of_a_frame() -> None:
    days = pd.Series([*DAYS, DAYS[0]], index=[5, 5, 0], dtype=object)
    assert time_array(days, "when").tolist() == [DAY, 3 * DAY, DAY]
    frame = pd.DataFrame({"user_id": [1, 1, 2], "item_id": [7, 8, 7], "timestamp": days.array})
    assert Interactions.from_frame(frame.set_axis([9, 9, 9])).times.tolist() == [DAY, 3 * DAY, DAY]


def test_dates_of_a_database_are_read() -> None:
    frame = pd.DataFrame({"user_id": [1, 1], "item_id": [7, 8], "timestamp": DAYS})
    assert Interactions.from_frame(frame).times.tolist() == [DAY, 3 * DAY]


@pytest.mark.parametrize("kind", [None, "UTC"])
def test_dates_that_nanoseconds_cannot_hold_are_bad_rows(kind: str | None) -> None:
    moments = [datetime.datetime(9999, 12, 31), *MOMENTS]
    columns = {"user_id": [1, 1, 2], "item_id": [7, 8, 7]}
    table = pa.table(columns | {"timestamp": pa.array(moments, pa.timestamp("s", kind))})
    with pytest.raises(DataError, match="'9999-12-31.* row 0"):
        Interactions.from_frame(table)
    with pytest.warns(recae.RecaeWarning, match="1 of 3"):
        found = Interactions.from_frame(table, on_bad_rows="drop")
    assert found.times.tolist() == [DAY, 3 * DAY]


@pytest.mark.parametrize("block", [1 << 24, 16])
@pytest.mark.parametrize("other", ["yesterday", "0", "2011-04-07"])
def test_a_format_is_found_beside_a_few_other_fields(
    monkeypatch: pytest.MonkeyPatch, block: int, other: str
) -> None:
    monkeypatch.setattr("recae.data.tables.streams.BLOCK_BYTES", block)
    lines = ["user_id;item_id;timestamp", *(f"1;{n};{n}.01.1970" for n in range(10, 21))]
    lines.insert(3, f"1;9;{other}")
    content = "\n".join(lines) + "\n"
    with pytest.raises(DataError, match=rf"{other}' at line 4 \(1 of 12 rows"):
        recae.read_csv(io.StringIO(content))
    with pytest.warns(recae.RecaeWarning, match="1 of 12 rows"):
        found = recae.read_csv(io.StringIO(content), on_bad_rows="drop")
    assert sorted(found.times.tolist()) == [(n - 1) * DAY for n in range(10, 21)]
    content += f"1;8;{other}\n"  # 2 of 13 are not few
    with pytest.raises(DataError, match="of 13 rows"):
        recae.read_csv(io.StringIO(content))


def test_dates_that_no_usual_format_fits_are_not_given_one() -> None:
    table = io.StringIO("user_id,item_id,timestamp\n1,2,21. Februar 2024 08:12\n")
    with pytest.raises(DataError, match="'21. Februar 2024 08:12'.*%B"):
        recae.read_csv(table)
