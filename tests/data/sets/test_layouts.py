"""Every layout that the cards know, in a tiny set that is fetched from a server here."""

from __future__ import annotations

import io
import tarfile
import zipfile
from codecs import BOM_UTF8 as BOM
from typing import Any

import pandas as pd
import pytest

import recae
from recae.data import load_dataset
from recae.errors import DataError

COUNTS = {"users": 2, "rated_items": 2, "interactions": 3}
INTS = ["user_id", "item_id", "weight", "timestamp"]


def zipped(members: dict[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return archive.getvalue()


def tarred(members: dict[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as file:
        for name, content in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            file.addfile(about, io.BytesIO(content))
    return archive.getvalue()


def table(file: str, member: str | None, separator: str, columns: Any, **more: Any) -> Any:
    place = {"file": file} | ({} if member is None else {"member": member})
    return place | {"separator": separator, "encoding": "utf-8", "columns": columns} | more


def rows(data: recae.Interactions) -> list[tuple[Any, ...]]:
    return list(data.to_frame().itertuples(index=False, name=None))


THREE = [(1, 10, 3.5, 978302109), (1, 20, 5.0, 978300760), (2, 10, 4.0, 978301968)]
RATINGS = b"1::20::5::978300760\n1::10::3.5::978302109\n2::10::4::978301968\n"
MOVIES = "10::Misérables: Les (1995)::Drama|War\n20::Heat (1995)::Action\n30::Unseen::\n"


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_two_colons_and_latin_1(publish, pack) -> None:
    content = pack({"t/ratings.dat": RATINGS, "t/movies.dat": MOVIES.encode("latin-1")})
    latin = {"encoding": "latin-1"}
    publish(
        {"tiny.zip": content},
        counts=COUNTS | {"items": 3},
        interactions=table("tiny.zip", "t/ratings.dat", "::", INTS, **latin),
        items=table("tiny.zip", "t/movies.dat", "::", ["item_id", "title", "genres"], **latin),
    )
    data = load_dataset("tiny")
    assert rows(data.interactions) == THREE
    assert data.items.loc[10].tolist() == ["Misérables: Les (1995)", "Drama|War"]
    assert data.items.loc[30].tolist() == ["Unseen", ""]
    assert data.items.index.name == "item_id" and data.items.index.dtype == "int64"
    assert data.parts == {}


def test_csv_with_a_header_and_quotes(publish) -> None:
    # The columns in another order, one that is not asked for, and line ends of Windows.
    ratings = b"movieId,userId,x,timestamp,rating\r\n20,1,a,978300760,5.0\r\n"
    ratings += b"10,1,b,978302109,3.5\r\n10,2,c,978301968,4.0\r\n"
    movies = 'movieId,title,genres\n10,"American President, The ""x"" (1995)",Drama\n20,NA,ü\n'
    names = {"user_id": "userId", "item_id": "movieId", "weight": "rating"}
    publish(
        {"tiny.zip": zipped({"ratings.csv": ratings, "movies.csv": movies.encode()})},
        counts=COUNTS | {"items": 2},
        interactions=table("tiny.zip", "ratings.csv", ",", names | {"timestamp": "timestamp"}),
        items=table(
            "tiny.zip", "movies.csv", ",", {"item_id": "movieId", "title": "title"}, quoted=True
        ),
    )
    data = load_dataset("tiny")
    assert rows(data.interactions) == THREE
    assert data.items["title"].tolist() == ['American President, The "x" (1995)', "NA"]


def test_tabs_with_a_header_and_quotes_that_mean_nothing(publish) -> None:
    plays = b"userID\tartistID\tweight\n1\t20\t13883\n1\t10\t1\n2\t10\t7\n"
    artists = (
        b'id\tname\turl\tpicture\n10\t"Weird Al" Yankovic\thttp://a\t\n20\tsay "no\thttp://b\n'
    )
    publish(
        {"tiny.zip": zipped({"plays.dat": plays, "artists.dat": artists})},
        counts=COUNTS,
        interactions=table(
            "tiny.zip",
            "plays.dat",
            "\t",
            {"user_id": "userID", "item_id": "artistID", "weight": "weight"},
        ),
        items=table("tiny.zip", "artists.dat", "\t", {"item_id": "id", "title": "name"}),
    )
    data = load_dataset("tiny")
    assert rows(data.interactions) == [(1, 10, 1.0), (1, 20, 13883.0), (2, 10, 7.0)]
    assert data.items["title"].tolist() == ['"Weird Al" Yankovic', 'say "no']


def test_tabs_and_ids_that_are_text(publish) -> None:
    triplets = b"b80344\tSOAKIMP\t1\nb80344\tSOBBMDR\t2\n0007\tSOAKIMP\t5\n"
    columns = ["user_id", "item_id", "weight"]
    publish(
        {"tiny.txt.zip": zipped({"tiny.txt": triplets})},
        counts=COUNTS,
        interactions=table("tiny.txt.zip", "tiny.txt", "\t", columns, ids="text"),
    )
    data = load_dataset("tiny")
    assert rows(data.interactions) == [
        ("0007", "SOAKIMP", 5.0),
        ("b80344", "SOAKIMP", 1.0),
        ("b80344", "SOBBMDR", 2.0),
    ]
    assert data.items.index.tolist() == ["SOAKIMP", "SOBBMDR"] and data.items.shape == (2, 0)


def test_fields_that_are_left_out_and_a_last_field_with_separators(publish) -> None:
    ratings = b"1|x|20\n1|y|10\n2|z|10\n"
    titles = b"10,1995,Me, Myself & I\n20,NULL,Heat\n"
    publish(
        {"ratings.txt": ratings, "titles.csv": titles},
        counts=COUNTS,
        interactions=table("ratings.txt", None, "|", ["user_id", "", "item_id"]),
        items=table("titles.csv", None, ",", ["item_id", "year", "title"], rest=True),
    )
    data = load_dataset("tiny")
    assert rows(data.interactions) == [(1, 10, 1.0), (1, 20, 1.0), (2, 10, 1.0)]
    assert data.items.loc[10].tolist() == ["1995", "Me, Myself & I"]


@pytest.mark.parametrize("size", [1, 7, 20, 1 << 24])
def test_lines_below_their_item(publish, monkeypatch, size) -> None:
    monkeypatch.setattr("recae.data.sets.layouts.BLOCK_BYTES", size)
    first = b"10:\n1,3,2005-09-06\n2,4,2005-05-13\n11:\n"  # nobody rated 11
    second = b"20:\r\n1,5,1999-12-31"  # another line end, and none at the end
    publish(
        {"a.txt": first, "b.txt": second},
        counts=COUNTS,
        interactions={"file": ["a.txt", "b.txt"], "format": "by item"},
    )
    days = [pd.Timestamp(day).value for day in ("2005-09-06", "1999-12-31", "2005-05-13")]
    data = load_dataset("tiny").interactions
    assert rows(data) == [(1, 10, 3.0, days[0]), (1, 20, 5.0, days[1]), (2, 10, 4.0, days[2])]


def test_lines_without_their_item(publish) -> None:
    publish(
        {"a.txt": b"1,3,2005-09-06\n"},
        counts=COUNTS,
        interactions={"file": "a.txt", "format": "by item"},
    )
    with pytest.raises(DataError, match=r"a\.txt: .*first line.* item"):
        load_dataset("tiny")


def test_a_line_of_items_for_each_user_in_published_parts(publish) -> None:
    # A user without test items, blanks at the end, an empty line: all occur in such files.
    train, test = b"0 5 3 9\n1 3 \n2 9 5", b"0 7\n1\n2 3 \n\n"
    counts = {"users": 3, "rated_items": 4, "interactions": 8, "train": 6, "test": 2}
    publish(
        {"train.txt": train, "test.txt": test},
        counts=counts,
        parts={"train": {"file": "train.txt"}, "test": {"file": "test.txt"}},
    )
    data = load_dataset("tiny")
    parts = {name: [row[:2] for row in rows(part)] for name, part in data.parts.items()}
    assert parts["train"] == [(0, 3), (0, 5), (0, 9), (1, 3), (2, 5), (2, 9)]
    assert parts["test"] == [(0, 7), (2, 3)]
    assert sorted(parts["train"] + parts["test"]) == [row[:2] for row in rows(data.interactions)]
    split = recae.fixed_split(train=data.parts["train"], test=data.parts["test"])
    assert split.test is not None
    assert split.test.target.users.ids.tolist() == [0, 2]
    assert split.test.history.nnz == 5


def test_a_line_for_each_pair_in_published_parts(publish) -> None:
    layout = {"separator": "\t", "encoding": "utf-8", "columns": ["user_id", "item_id", ""]}
    publish(
        {"data1.txt": b"7\t3\t12\n2\t5\t9\n", "test1.txt": b"2\t3\t1\n"},
        counts={"users": 2, "rated_items": 2, "interactions": 3, "train": 2, "test": 1},
        parts={
            "train": {"file": "data1.txt", **layout},
            "test": {"file": "test1.txt", **layout},
        },
    )
    parts = load_dataset("tiny").parts
    assert [row[:2] for row in rows(parts["train"])] == [(2, 5), (7, 3)]
    assert [row[:2] for row in rows(parts["test"])] == [(2, 3)]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (zipped({"other": b""}), r" t in .*tiny\.zip"),
        (tarred({"other": b""}), r" t in .*tiny\.zip"),
        (zipped({"t": b"1\t2\nx\t3\n"}), r"t in .*tiny\.zip .*damaged.*x"),
        (zipped({"t": b"1\t2\t3\n"}), r"t in .*tiny\.zip .*damaged.*2 columns"),
        (zipped({"t": b""}), r"t in .*tiny\.zip .*damaged.*mpty"),
        (zipped({"t": b"1\t2\n" * 99})[:-99], r"t in .*tiny\.zip .*damaged"),
        (b"no archive", r"t in .*tiny\.zip .*damaged"),
        (zipped({"t": b"1\t\n"}), r"tiny\.zip: item ids .*missing"),
    ],
    ids=range(8),  # archives hold the time, and ids must be the same in every process
)
def test_other_content_than_the_card_says(publish, content, complaint) -> None:
    publish(
        {"tiny.zip": content},
        counts=COUNTS,
        interactions=table("tiny.zip", "t", "\t", ["user_id", "item_id"]),
    )
    with pytest.raises(DataError, match=complaint):
        load_dataset("tiny")


def test_a_missing_column_is_no_missing_member(publish) -> None:
    publish(
        {"tiny.zip": zipped({"t": b"u\tx\n1\t2\n"})},
        counts=COUNTS,
        interactions=table("tiny.zip", "t", "\t", {"user_id": "u", "item_id": "i"}),
    )
    with pytest.raises(DataError, match=r"t in .*tiny\.zip .*damaged.*'i'"):
        load_dataset("tiny")


@pytest.mark.parametrize(
    ("text", "layout", "complaint"),
    [
        (b"u\ti\n", table("r.txt", None, "\t", {"user_id": "u", "item_id": "i"}), "no rows"),
        (b"", {"file": "r.txt", "format": "by item"}, "no rows"),
        (b"10:\n", {"file": "r.txt", "format": "by item"}, "no rows"),
        (b"10:\n,3,2005-01-01\n", {"file": "r.txt", "format": "by item"}, "line.* no user"),
    ],
)
def test_tables_without_rows(publish, text, layout, complaint) -> None:
    publish({"r.txt": text}, counts=COUNTS, interactions=layout)
    with pytest.raises(DataError, match=complaint):
        load_dataset("tiny")


@pytest.mark.parametrize("text", [b"", b"\n\n"])
@pytest.mark.parametrize("columns", [["item_id", "title"], {"item_id": "id", "title": "name"}])
def test_items_without_rows(publish, text, columns) -> None:
    publish(
        {"r.txt": b"1\t2\n", "i.txt": text},
        counts={},
        interactions=table("r.txt", None, "\t", ["user_id", "item_id"]),
        items=table("i.txt", None, "\t", columns),
    )
    with pytest.raises(DataError, match=r"i\.txt.* no rows"):
        load_dataset("tiny")


def test_a_byte_order_mark_belongs_to_no_field(publish) -> None:
    publish(
        {"r.txt": BOM + b"1\t2\n", "i.txt": BOM + b"id\tname\n2\tx\n"},
        counts={"users": 1},
        interactions=table("r.txt", None, "\t", ["user_id", "item_id"]),
        items=table("i.txt", None, "\t", {"item_id": "id", "title": "name"}),
    )
    assert load_dataset("tiny").items["title"].to_dict() == {2: "x"}


def test_a_member_that_was_damaged_on_the_disk(publish) -> None:
    content = bytearray(zipped({"t": b"".join(b"%d\t%d\n" % (i, i * i) for i in range(999))}))
    content[len(content) // 2] ^= 255
    publish(
        {"tiny.zip": bytes(content)},
        counts=COUNTS,
        interactions=table("tiny.zip", "t", "\t", ["user_id", "item_id"]),
    )
    with pytest.raises(DataError, match=r"t in .*tiny\.zip .*damaged"):
        load_dataset("tiny")


def test_items_without_the_columns_of_the_card(publish) -> None:
    publish(
        {"r.txt": b"1\t2\n", "i.txt": b"id\tname\n2\tx\n"},
        counts={},
        interactions=table("r.txt", None, "\t", ["user_id", "item_id"]),
        items=table("i.txt", None, "\t", {"item_id": "id", "title": "label"}),
    )
    with pytest.raises(DataError, match=r"i\.txt: .*column 'label'"):
        load_dataset("tiny")
