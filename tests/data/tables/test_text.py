"""Text files: dialects that are found or given, and every line that is no row."""

from __future__ import annotations

import gzip
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import recae
from recae import DataError, RecaeWarning
from recae.data.tables import dates, streams, text
from recae.data.tables.lines import regular
from recae.data.tables.typed import _kinds
from recae.errors import ConfigError


def rows(given: Any, **options: Any) -> list[tuple[Any, ...]]:
    """The interactions of a text, a path or an open file."""
    given = io.StringIO(given) if isinstance(given, str) and "\n" in given else given
    return list(recae.read_csv(given, **options).to_frame().itertuples(index=False, name=None))


PAIRS = [("L1", 7, 2.5), ("L2", 8, 3.0)]


@pytest.mark.parametrize("sep", [",", ";", "\t", "|", "::"])
def test_separators_are_found(sep: str) -> None:
    lines = [["user_id", "item_id", "weight"], ["L1", "7", "2.5"], ["L2", "8", "3"]]
    content = "".join(sep.join(line) + "\n" for line in lines)
    assert rows(content) == rows(content, sep=sep) == PAIRS


def test_what_is_given_is_used(tmp_path: Path) -> None:
    content = "L1;7;2,5\nL2;8;3,0\n"
    given: dict[str, Any] = {"header": False, "user": 0, "item": "1", "weight": 2}
    assert rows(content, sep=";", decimal=",", **given) == PAIRS
    with pytest.raises(DataError, match="',' or ';'.* sep=") as error:
        rows("1;2,5\n3;4,5\n", header=False, user=0, item=1)
    assert error.value.parameter == "sep"
    atomic = tmp_path / "plays.inter"
    atomic.write_text("user_id:token\titem_id:token\ttimestamp:float\nu1\ti1\t3.0\n")
    for names in ({}, {"user": "user_id:token", "item": "item_id:token"}):
        assert recae.read_table(atomic, **names).times.tolist() == [3]
    quotes = 'user_id\titem_id\n1\t"best of\n2\t5" pipe\n'
    assert rows(quotes, quoting=False) == [(1, '"best of', 1), (2, '5" pipe', 1)]
    assert rows("user_id,item_id\n007,1\n08,2\n", ids=("text", "auto")) == [
        ("007", 1, 1),
        ("08", 2, 1),
    ]


def test_bytes_of_every_kind(tmp_path: Path) -> None:
    content = "user_id,item_id\né,1\n"
    for encoding, given in (("utf-8-sig", None), ("utf-16", None), ("cp1252", "cp1252")):
        for packed in (False, True):
            path = tmp_path / ("plays.CSV.GZ" if packed else "plays.csv")
            raw = content.encode(encoding)
            path.write_bytes(gzip.compress(raw) if packed else raw)
            assert recae.read_table(path, encoding=given).users.ids.tolist() == ["é"]
    for name in ("a.txt", "a.dat", "a.tsv.gz", "a.INTER"):
        (tmp_path / name).write_bytes(content.encode())
        assert recae.read_table(tmp_path / name).users.ids.tolist() == ["é"]
    assert rows(io.BytesIO(content.encode())) == rows(content) == [("é", 1, 1)]


SECONDS, DAY = 1_302_191_880, 1_302_134_400  # 2011-04-07 15:58 and 00:00 UTC


@pytest.mark.parametrize(
    ("first", "second", "seconds"),
    [
        ("07.04.2011 15:58", "31.12.2011 00:00", SECONDS),
        ("07/04/2011 15:58", "31/12/2011 00:00", SECONDS),
        ("04/07/2011 15:58", "12/31/2011 00:00", SECONDS),
        ("04/07/2011 03:58 PM", "12/31/2011 12:00 AM", SECONDS),
        ("2011/04/07 15:58", "2011/12/31 00:00", SECONDS),
        ("07-04-2011", "31-12-2011", DAY),
        ("7 Apr 2011", "31 Dec 2011", DAY),
        ("April 7, 2011", "December 31, 2011", DAY),
    ],
)
@pytest.mark.parametrize("block", [1 << 24, 64])
def test_usual_formats_of_times_are_found(
    monkeypatch: Any, first: str, second: str, seconds: int, block: int
) -> None:
    monkeypatch.setattr("recae.data.tables.streams.BLOCK_BYTES", block)
    monkeypatch.setattr(text, "KEPT_BYTES", 0)
    content = f'user_id;item_id;timestamp\n1;2;"{first}"\n1;3;"{second}"\n'
    later = 1_325_289_600 * 10**9  # 2011-12-31 00:00 UTC
    assert [row[3] for row in rows(content)] == [seconds * 10**9, later]


def test_days_and_months_that_cannot_be_told_apart() -> None:
    content = "user_id;item_id;timestamp\n1;2;07/04/2011\n1;3;08/05/2011\n"
    for how in ("error", "drop"):
        with pytest.raises(DataError, match="line 2.*'%d/%m/%Y' or .*'%m/%d/%Y'") as error:
            rows(content, on_bad_rows=how)
        assert error.value.parameter == "time"
    assert rows(content, time_format="%d/%m/%Y")[0][3] == DAY * 10**9
    mixed = content + "1;4;2011-04-07\n"
    with pytest.raises(DataError, match=r"'07/04/2011' at line 2 \(2 of 3"):
        rows(mixed)


@pytest.mark.parametrize("block", [1 << 24, 16])
@pytest.mark.parametrize("how", ["error", "drop"])
def test_decimal_commas_are_found(monkeypatch: Any, block: int, how: str) -> None:
    monkeypatch.setattr("recae.data.tables.streams.BLOCK_BYTES", block)
    lines = ["user_id;item_id;weight", "1;2;3", "1;3;7,5", "1;4;1250,0", "1;5;1,250", "1;6; ,5 "]
    found = rows("\n".join(lines) + "\n", on_bad_rows=how)
    assert [row[2] for row in found] == [3, 7.5, 1250, 1.25, 0.5]


def test_commas_that_may_be_thousands_or_stand_beside_points() -> None:
    head = "user_id;item_id;weight\n1;2;3\n"
    for weights in (["1,250"], ["7,5", "7.5"], ["1.250,0"]):
        content = head + "".join(f"1;{n};{w}\n" for n, w in enumerate(weights, 3))
        with pytest.raises(DataError, match=f"'{weights[0]}' at line 3") as error:
            rows(content)
        assert error.value.parameter == "weight"
    for decimal in (None, ","):  # the remedy of the one is not the fault of the other
        with pytest.raises(DataError, match="thousands"):
            rows(head + "1;3;1.250,0\n", decimal=decimal)
    assert rows(head + "1;3;1,250\n", decimal=",")[1][2] == 1.25
    with pytest.raises(DataError, match="'7,5' at line 3"):
        rows(head + "1;3;7,5\n", decimal=".")


def test_frames_with_commas_and_dates_in_text() -> None:
    plays = pd.DataFrame(
        {"user_id": [1, 1, 2], "item_id": [7, 8, 7], "weight": ["3", "7,5", "1,0"]}
    )
    for how in ("error", "drop"):
        with pytest.raises(DataError, match=r"2 of 3 .*'7,5' at row 1.*str\.replace") as error:
            recae.Interactions.from_frame(plays, on_bad_rows=how)
        assert error.value.parameter == "weight"
    dated = plays.assign(weight=1, timestamp="07.04.2011")
    with pytest.raises(DataError, match=r"'07\.04\.2011'.*row 0.*format='%d\.%m\.%Y'"):
        recae.Interactions.from_frame(dated)


def test_columns_that_are_called_otherwise() -> None:
    with pytest.raises(DataError, match=r"user=\.\.\. .*item=\.\.\..*Hörer, Künstler") as error:
        rows("Hörer;Künstler\n1;2\n")
    assert error.value.parameter == "user"
    with pytest.raises(DataError, match=r"item=\.\.\..*Hörer, Künstler") as error:
        rows("Hörer;Künstler\n1;2\n", user="Hörer")
    assert "user=" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "parameter"),
    [
        ({"decimal": "'"}, "decimal"),
        ({"decimal": ",", "sep": ","}, "decimal"),
        ({"encoding": "klingon"}, "encoding"),
        ({"ids": "number"}, "ids"),
        ({"ids": ("text",)}, "ids"),
        ({"quoting": "no"}, "quoting"),
        ({"header": None}, "header"),
        ({"time_format": "dmy"}, "time_format"),
        ({"on_bad_rows": "skip"}, "on_bad_rows"),
    ],
)
def test_options_that_cannot_be_meant(options: dict[str, Any], parameter: str) -> None:
    with pytest.raises(ConfigError) as error:
        rows("user_id,item_id\n1,2\n", **options)
    assert error.value.parameter == parameter


LOG = "user_id\titem_id\tnote\n" + "".join(f"{n}\tfilm{n}\tseen\n" for n in range(1000))
STRAY = LOG.replace("10\tfilm10\tseen", '10\tfilm10\t"best of')


@pytest.mark.parametrize("block", [1 << 24, 1000])
def test_a_stray_quote_takes_its_own_line_only(monkeypatch: Any, block: int) -> None:
    monkeypatch.setattr("recae.data.tables.streams.BLOCK_BYTES", block)
    with pytest.raises(DataError, match="quote.* line 12 .*1 of 1,000 .*quoting=False"):
        rows(STRAY)
    assert len(rows(STRAY, quoting=False)) == 1000
    with pytest.warns(RecaeWarning, match="1 of 1,000"):
        assert len(rows(STRAY, on_bad_rows="drop")) == 999
    two = STRAY.replace("30\tfilm30\tseen", '30\tfilm30\tworst"')
    with pytest.raises(DataError, match="quote.* line 12 "):
        rows(two)
    several = LOG.replace("10\tfilm10\tseen", '10\tfilm10\t"a\nlong, long\nnote; of ""lines"""')
    assert len(rows(several)) == 1000


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("1,2,3", "2 fields.* '1,2,3' at line 3"),
        ("1", "2 fields.* '1' at line 3"),
        ("user_id,item_id", "header.* at line 3"),
        ("\0\0\0", "NUL.* line 3"),
        ('"1"2,3', "quote.* at line 3"),
        (",5", "user ids .*missing .* line 3"),
        ("5.5,1", "user ids .*floats.* '5.5' at line 3"),
        ("18446744073709551615,1", '64 bits.* at line 3.*ids="text"'),
    ],
)
def test_a_line_that_is_no_row(bad: str, words: str) -> None:
    content = f"user_id,item_id\n1,2\n{bad}\n3,4\n"
    with pytest.raises(DataError, match=words):
        rows(content)
    with pytest.warns(RecaeWarning, match="1 of 3 rows"):
        assert rows(content, on_bad_rows="drop") == [(1, 2, 1), (3, 4, 1)]


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(DataError, match="UTF-8.* line 3 .*encoding="):
        rows(io.BytesIO(b"user_id,item_id\n1,2\n\xe9,3\n"))
    with pytest.raises(DataError, match="line 3 .*cp1252.*0x81"):
        rows(io.BytesIO(b"user_id,item_id\n1,2\n\x81,3\n"), encoding="cp1252")
    with pytest.raises(DataError, match="utf-16"):
        rows(io.BytesIO("user_id,item_id\n1,2\n".encode("utf-16-le")))
    with pytest.raises(DataError, match="Parquet.*read_parquet"):
        rows(io.BytesIO(b"PAR1...."))


def test_one_report_of_everything() -> None:
    content = (
        "user_id;item_id;weight;timestamp\nL1;a;3,5;07.04.2011\nL2;b;n/a;unknown\n"
        "TOTAL;;12;\n;x;1;07.04.2011\nL3;c;-1;08.04.2011\nL4\n"
    )
    options = {"decimal": ",", "time_format": "%d.%m.%Y"}
    with pytest.raises(DataError) as error:
        rows(content, **options)
    report = str(error.value)
    for part in ("5 of 6", "'n/a' at line 3", "'unknown' at line 3", "-1.0 at line 6"):
        assert part in report
    for part in ("user ids", "line 5", "item ids", "line 4", "'L4' at line 7"):
        assert part in report
    with pytest.warns(RecaeWarning, match="5 of 6"):
        assert [row[:3] for row in rows(content, on_bad_rows="drop", **options)] == [
            ("L1", "a", 3.5)
        ]


def test_a_note_where_few_ids_make_all_of_them_text() -> None:
    content = "user_id,item_id\n" + "".join(f"{n},{n}\n" for n in range(50)) + "N/A,3\n"
    with pytest.warns(RecaeWarning, match="1 of 51 user ids.*'N/A' at line 52.*text"):
        assert recae.read_csv(io.StringIO(content)).users.kind == "str"
    assert recae.read_csv(io.StringIO(content), ids="text").users.kind == "str"
    with pytest.raises(DataError, match="'N/A' at line 52"):
        rows(content, ids="integer")


def test_names_that_are_not_there() -> None:
    with pytest.raises(DataError, match="'user_id;item_id'.* sep=';'"):
        rows("user_id;item_id\n1;2\n", sep=",")
    with pytest.raises(DataError, match="header=False"):
        rows("1,2\n3,4\n")
    with pytest.raises(DataError, match="user=0"):
        rows("1,2\n3,4\n", header=False)


def test_places_that_are_no_files(tmp_path: Path, monkeypatch: Any) -> None:
    with pytest.raises(DataError, match="URL"):
        recae.read_csv("https://example.org/plays.csv")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "plays.csv").write_text("user_id,item_id\n1,2\n")
    assert recae.read_csv("~/plays.csv").nnz == 1
    with open(tmp_path / "plays.csv") as file:
        assert recae.read_csv(file).nnz == 1
    with open(tmp_path / "plays.csv") as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert recae.read_table("-").nnz == 1


def test_folders_named_by_a_value_are_columns(tmp_path: Path) -> None:
    frame = pd.DataFrame({"user_id": [1, 2], "item_id": [3, 4]})
    for day in ("2020-01-01", "2020-01-02"):
        part = tmp_path / "log" / f"date={day}" / "kind=07"
        part.mkdir(parents=True)
        frame.to_parquet(part / "a.parquet")
        (tmp_path / "text" / f"date={day}").mkdir(parents=True)
        frame.to_csv(tmp_path / "text" / f"date={day}" / "a.csv", index=False)
    for folder in ("log", "text"):
        data = recae.read_table(tmp_path / folder, time="date", duplicates="first")
        # 2020-01-01 is 1577836800 seconds after 1970
        assert set(data.times.tolist()) == {1_577_836_800 * 10**9}
    assert recae.read_parquet(tmp_path / "log", item="kind").items.ids.tolist() == [7]
    assert recae.read_csv(tmp_path / "text", item="date").items.ids[0] == "2020-01-01"


def test_files_too_large_to_keep_are_read_twice(monkeypatch: Any) -> None:
    monkeypatch.setattr(text, "KEPT_BYTES", 10)
    content = "user_id,item_id\n" + "007,1\n" * 30 + "x,2\n" * 20
    assert rows(content) == [("007", 1, 1), ("x", 2, 1)]


@pytest.mark.parametrize("sep", [";", ",", "\t", "|"])
def test_the_line_that_tells_excel_the_separator(sep: str, tmp_path) -> None:
    path = tmp_path / "plays.csv"
    path.write_text(f"sep={sep}\r\nuser_id{sep}item_id\r\n1{sep}a\r\n2{sep}b\r\n")
    assert recae.read_csv(path).to_frame()[["user_id", "item_id"]].values.tolist() == [
        [1, "a"],
        [2, "b"],
    ]


def test_open_files_may_be_gzipped() -> None:
    content = gzip.compress(b"user_id,item_id\n7,8\n")
    assert rows(io.BytesIO(content)) == [(7, 8, 1)]


def test_what_is_no_path_is_named() -> None:
    with pytest.raises(DataError, match="open file"):
        recae.read_parquet(io.BytesIO(b"PAR1"))
    with pytest.raises(DataError, match="from_frame"):
        recae.read_csv(pd.DataFrame({"user_id": [1]}))
    for name in (True, None, 0.5):
        with pytest.raises(ConfigError) as error:
            recae.read_csv(io.StringIO("1,2\n"), header=False, user=name, item=1)
        assert error.value.parameter == "user"


def test_times_need_a_year_that_nanoseconds_can_hold() -> None:
    header = "user_id,item_id,timestamp\n"
    with pytest.raises(ConfigError) as error:
        recae.read_csv(io.StringIO(f"{header}1,2,10:30\n"), time_format="%H:%M")
    assert error.value.parameter == "time_format"
    for time_format in (None, "%Y-%m-%d"):
        content = io.StringIO(f"{header}1,2,9999-12-31\n1,3,2020-01-01\n")
        with pytest.raises(DataError, match="1678 .*2262.*'9999-12-31'.* line 2"):
            recae.read_csv(content, time_format=time_format)


def test_a_column_of_another_kind_is_not_cast_to_its_end(monkeypatch: Any) -> None:
    sizes: list[int] = []

    class Counted:
        @staticmethod
        def cast(texts: Any, kind: Any) -> Any:
            sizes.append(len(texts))
            return texts.cast(kind)

    monkeypatch.setattr(dates, "pc", Counted)
    assert dates.casts(pa.array(["x"] * 100_000), pa.int64()) is None
    assert max(sizes) == 1
    assert dates.casts(pa.array(["3"] * 100_000), pa.int64()).sum().as_py() == 300_000


def test_blocks_of_text_and_of_numbers_are_one_column(monkeypatch: Any) -> None:
    monkeypatch.setattr(streams, "BLOCK_BYTES", 60)
    lines = [f'"{n},x",{n},{n}.5,{n * 86400}' if n < 9 else f"{n},{n},2,{n}" for n in range(1, 20)]
    content = "user_id,item_id,weight,time\n" + "\n".join(lines) + "\n"
    found = rows(content, weight="weight", time="time")
    expected = [
        (f"{n},x", n, n + 0.5, n * 86400) if n < 9 else (str(n), n, 2.0, n) for n in range(1, 20)
    ]
    assert sorted(found) == sorted(expected)


def test_integers_around_64_bits() -> None:
    edges = [2**63, 2**63 - 1, 10**18, 10**19, 2**64, 5]
    texts = [f"{sign}{zeros}{n}" for n in edges for sign in ("", "-") for zeros in ("", "0" * 20)]
    whole, far, _ = _kinds(pa.array(texts))
    fits = [-(2**63) <= int(text) < 2**63 for text in texts]
    assert whole.tolist() == fits
    assert far.tolist() == [not fit for fit in fits]


def test_regular_blocks_have_even_quotes_in_each_line() -> None:
    draw = np.random.default_rng(0).choice(list('"a,\n'), (3000, 7))
    for block in ("".join(some) for some in draw):
        quotes = 0
        fine = all(line.count('"') % 2 == 0 for line in block.split("\n"))
        for place, letter in enumerate(block):
            before, after = block[place - 1 : place] or "\n", block[place + 1 : place + 2] or "\n"
            if letter == '"':
                fine &= (after if quotes % 2 else before) in ',\n"'
                quotes += 1
        assert regular(block.encode(), b",") == fine


@pytest.mark.parametrize("again", ["\ufeffuser_id,item_id", "user_id , item_id"])
def test_a_repeated_header_may_have_a_mark_or_spaces(again: str) -> None:
    content = f"user_id,item_id\n1,2\n{again}\n3,4\n"
    with pytest.raises(DataError, match="header .* line 3"):
        rows(content)
    with pytest.warns(RecaeWarning, match="1 of 3"):
        assert rows(content, on_bad_rows="drop") == [(1, 2, 1), (3, 4, 1)]
