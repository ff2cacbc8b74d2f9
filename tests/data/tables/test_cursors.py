"""Results of queries and tables of other libraries, in local stores, are read as the table is."""

from __future__ import annotations

import datetime
import decimal
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import recae
from recae import DataError, Interactions
from recae.data import IdMap, ItemTable
from recae.data.tables import cursors

RATINGS = Path(__file__).parents[3] / "datasets" / "ml-latest-small" / "ratings.parquet"
QUERY = "SELECT userId AS user_id, movieId AS item_id, rating AS weight, timestamp FROM plays"
DUCKDB_SAYS = "ignore:Arrow output on a DB-API result:UserWarning"  # since 2.0: prefer relations


@pytest.fixture(scope="module")
def plays() -> pa.Table:
    """The ratings of 100 users, under the names of their file and beside a column of text."""
    table = pq.read_table(RATINGS)
    table = table.filter(pc.less(table[0], 100))
    names = ["userId", "movieId", "rating", "timestamp"]
    times = pc.cast(table[3], pa.int64())
    plain = pa.table([table[0].cast("int64"), table[1].cast("int64"), table[2], times], names)
    return plain.append_column("note", pa.array(["x"] * len(plain)))


@pytest.fixture(scope="module")
def expected(plays: pa.Table) -> Interactions:
    return Interactions.from_frame(plays, user="userId", item="movieId", weight="rating")


@pytest.fixture(scope="module")
def sqlite_file(plays: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("sqlite") / "shop.sqlite"
    with closing(sqlite3.connect(path)) as store:
        store.execute("CREATE TABLE plays (userId INT, movieId INT, rating REAL, timestamp INT)")
        rows = zip(*(plays[at].to_pylist() for at in range(4)), strict=True)
        store.executemany("INSERT INTO plays VALUES (?, ?, ?, ?)", rows)
        store.execute("CREATE TABLE films (item_id INT, title TEXT, year INT)")
        store.executemany("INSERT INTO films VALUES (?, ?, ?)", [(1, "one", 1995), (2, "two", 96)])
        store.commit()
    return path


@pytest.fixture(scope="module")
def duckdb_file(plays: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    duckdb = pytest.importorskip("duckdb")
    path: Path = tmp_path_factory.mktemp("duckdb") / "shop.duckdb"
    with duckdb.connect(str(path)) as store:
        store.register("given", plays)
        store.execute("CREATE TABLE plays AS SELECT * FROM given")
    return path


@pytest.fixture
def relations(duckdb_file: Path) -> Iterator[Any]:
    """A connection to DuckDB."""
    with pytest.importorskip("duckdb").connect(str(duckdb_file), read_only=True) as store:
        yield store


@pytest.fixture
def adbc(sqlite_file: Path) -> Iterator[Any]:
    """A cursor of ADBC."""
    dbapi = pytest.importorskip("adbc_driver_sqlite.dbapi")
    with dbapi.connect(str(sqlite_file)) as store, store.cursor() as cursor:
        yield cursor


@pytest.fixture
def alchemy(sqlite_file: Path) -> Iterator[Any]:
    """A connection of SQLAlchemy."""
    sqlalchemy = pytest.importorskip("sqlalchemy")
    engine = sqlalchemy.create_engine(f"sqlite:///{sqlite_file}")
    with engine.connect() as store:
        yield store
    engine.dispose()


@pytest.fixture
def sqlite(sqlite_file: Path) -> Iterator[sqlite3.Cursor]:
    with closing(sqlite3.connect(sqlite_file)) as store:
        yield store.cursor()


def text(query: str) -> Any:
    return pytest.importorskip("sqlalchemy").text(query)


def same(one: Interactions, other: Interactions) -> bool:
    times = [None if data.times is None else data.times.tolist() for data in (one, other)]
    return one.fingerprint() == other.fingerprint() and times[0] == times[1]


# ------------------------------------------------------------------ DuckDB


def test_a_relation_is_read_as_often_as_asked(relations: Any, expected: Interactions) -> None:
    relation = relations.sql(QUERY)
    for _ in range(2):
        assert same(Interactions.from_frame(relation), expected)
    if hasattr(type(relation), "fetchone"):  # before 2.0 it remembers what was fetched
        relation.fetchone()
        assert same(Interactions.from_frame(relation), expected)
    table = relations.table("plays")
    assert same(
        Interactions.from_frame(table, user="userId", item="movieId", weight="rating"), expected
    )


def test_only_the_columns_that_are_needed_are_computed(relations: Any) -> None:
    relation = relations.sql(
        "SELECT userId AS user_id, movieId AS item_id, error('computed')::INT AS other FROM plays"
    )
    assert Interactions.from_frame(relation).nnz
    with pytest.raises(DataError, match="computed"):
        Interactions.from_frame(relation, weight="other")


@pytest.mark.filterwarnings(DUCKDB_SAYS)
def test_names_of_duckdb_are_those_of_the_table(relations: Any) -> None:
    """SQL ignores the case of names, and knows quotes; a relation has columns as attributes."""
    query = 'SELECT 1 AS "User", 2 AS "user", 3 AS "a ""b""", 4 AS scanner, 5 AS collect_schema'
    for given in (relations.sql(query), relations.cursor().execute(query)):
        data = Interactions.from_frame(given, user="user", item='a "b"', weight="scanner")
        assert data.to_frame().to_numpy().tolist() == [[2, 3, 4]]
    twice = relations.sql("SELECT 1 AS user_id, 2 AS other, 3 AS other, 4 AS item_id")
    assert Interactions.from_frame(twice).to_frame().to_numpy().tolist() == [[1, 4, 1]]
    with pytest.raises(DataError, match="several"):
        Interactions.from_frame(twice, weight="other")


@pytest.mark.filterwarnings(DUCKDB_SAYS)
def test_an_executed_query_of_duckdb_is_read_once(relations: Any, expected: Interactions) -> None:
    cursor = relations.execute(QUERY)
    assert same(Interactions.from_frame(cursor), expected)
    with pytest.raises(DataError, match="execute"):
        Interactions.from_frame(cursor)
    relations.execute(QUERY).fetchall()
    with pytest.raises(DataError, match="execute"):
        Interactions.from_frame(relations)
    other = relations.cursor()
    assert same(Interactions.from_frame(other.execute(QUERY)), expected)
    with pytest.raises(DataError, match="execute"):
        Interactions.from_frame(relations.cursor())


def test_a_missing_column_leaves_the_connection_free(relations: Any) -> None:
    for given in (relations.sql(QUERY), relations.cursor().execute(QUERY)):
        with pytest.raises(DataError, match="'nowhere'.*user_id") as caught:
            Interactions.from_frame(given, user="nowhere")
        assert relations.sql("SELECT 1").fetchall() == [(1,)]
        assert caught.value.parameter == "user"


def test_a_closed_connection_is_named(duckdb_file: Path) -> None:
    store = pytest.importorskip("duckdb").connect(str(duckdb_file), read_only=True)
    relation = store.sql(QUERY)
    store.close()
    for given in (relation, store):
        with pytest.raises(DataError, match="execute|closed"):
            Interactions.from_frame(given)


# ------------------------------------------------------------------ ADBC


def test_a_cursor_of_adbc_is_read_once(adbc: Any, expected: Interactions) -> None:
    with pytest.raises(DataError, match="execute"):
        Interactions.from_frame(adbc)
    assert same(Interactions.from_frame(adbc.execute(QUERY)), expected)
    with pytest.raises(DataError, match="before"):
        Interactions.from_frame(adbc)


@pytest.mark.parametrize("way", ["fetchone", "fetchmany", "fetchall", "fetch_arrow_table"])
def test_a_cursor_of_adbc_that_was_read_is_refused(adbc: Any, way: str) -> None:
    adbc.execute(QUERY)
    getattr(adbc, way)()
    with pytest.raises(DataError, match=r"before.*|execute"):
        Interactions.from_frame(adbc)


# ------------------------------------------------------------------ SQLAlchemy and other drivers


def test_a_result_of_sqlalchemy_is_read_once(alchemy: Any, expected: Interactions) -> None:
    result = alchemy.execute(text(QUERY))
    assert same(Interactions.from_frame(result), expected)
    with pytest.raises(DataError, match="before"):
        Interactions.from_frame(result)
    assert same(Interactions.from_frame(alchemy.execute(text(QUERY)).mappings()), expected)
    streamed = alchemy.execution_options(stream_results=True).execute(text(QUERY))
    assert same(Interactions.from_frame(streamed), expected)


def test_rows_of_mapped_classes_are_read(alchemy: Any, expected: Interactions) -> None:
    sqlalchemy = pytest.importorskip("sqlalchemy")
    plays = sqlalchemy.table(
        "plays", *map(sqlalchemy.column, ("userId", "movieId", "rating", "timestamp"))
    )
    query = sqlalchemy.select(plays).where(plays.c.userId < 5)
    with pytest.importorskip("sqlalchemy.orm").Session(alchemy) as session:
        data = Interactions.from_frame(
            session.execute(query), user="userId", item="movieId", weight="rating"
        )
    assert data.users.ids.tolist() == [1, 2, 3, 4]
    assert data.to_frame().equals(expected.select_users(range(4)).filter().to_frame())


def test_what_has_no_rows_to_give_is_refused_with_the_remedy(alchemy: Any) -> None:
    closed = alchemy.execute(text(QUERY))
    closed.close()
    changed = alchemy.execute(text("DELETE FROM plays WHERE userId = -1"))
    scalars = alchemy.execute(text(QUERY)).scalars()
    for given in (closed, changed, alchemy, alchemy.engine, text(QUERY)):
        with pytest.raises(DataError, match="execute"):
            Interactions.from_frame(given)
        with pytest.raises(DataError, match="execute"):
            recae.Popularity().fit(given)
    with pytest.raises(DataError, match="ScalarResult"):
        Interactions.from_frame(scalars)
    with pytest.raises(DataError, match="CursorResult"):
        Interactions.from_frame(alchemy.execute(text(f"{QUERY} WHERE userId = -1")))


def test_cursors_of_any_driver_are_read(
    sqlite: sqlite3.Cursor, expected: Interactions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cursors, "ROWS", 1000)
    assert same(Interactions.from_frame(sqlite.execute(QUERY)), expected)
    sqlite.row_factory = sqlite3.Row
    assert same(Interactions.from_frame(sqlite.execute(QUERY)), expected)
    sqlite.row_factory = lambda cursor, row: dict(
        zip(["user_id", "item_id", "weight", "timestamp"], row, strict=True)
    )
    assert same(Interactions.from_frame(sqlite.execute(QUERY)), expected)
    sqlite.row_factory = lambda cursor, row: "text"
    with pytest.raises(DataError, match=r"\b4\b.*'text'"):
        Interactions.from_frame(sqlite.execute(QUERY))
    for given in (sqlite.connection.cursor(), sqlite.connection.execute("DELETE FROM films")):
        with pytest.raises(DataError, match="execute"):
            Interactions.from_frame(given)
    with pytest.raises(DataError, match="Connection; execute"):
        Interactions.from_frame(sqlite.connection)


class Cursor:
    """A cursor of a driver whose rows are given, as PEP 249 wants it."""

    def __init__(self, names: list[str], rows: list[tuple[Any, ...]]) -> None:
        self.description = [(name, *[None] * 6) for name in names]
        self.rows = rows

    def fetchmany(self, size: int = 1) -> list[tuple[Any, ...]]:
        some, self.rows = self.rows[:size], self.rows[size:]
        return some


def test_objects_of_a_driver_are_what_they_are() -> None:
    day, moment = datetime.date(2026, 11, 23), datetime.datetime(2026, 11, 23, tzinfo=datetime.UTC)
    rows = [(day, 2**62 + 1, decimal.Decimal("1.5"), moment), (day, 3, decimal.Decimal(2), moment)]
    data = Interactions.from_frame(Cursor(["user_id", "item_id", "weight", "timestamp"], rows))
    assert data.users.ids.tolist() == ["2026-11-23"]
    assert data.items.ids.tolist() == [3, 2**62 + 1]  # not through floats
    assert data.matrix.toarray().tolist() == [[2, 1.5]]
    assert data.times is not None
    assert set(data.times.tolist()) == {int(moment.timestamp()) * 10**9}


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("user_id", (1, None, 2), r"1 of 3 .*row 1"),
        ("user_id", (None, None, None), "3 of 3"),
        ("user_id", ([1], [2], [3]), r"\[1\]"),
        ("user_id", (1, "a", 2), "integers.*'a' at row 1"),
        ("user_id", (1.5, 2.0, 3.0), "1.5"),
        ("user_id", (b"a", b"b", b"c"), "bytes"),
        ("weight", (1, None, 2), r"1 of 3 .*row 1"),
        ("weight", ([1], [2], [3]), "'weight'"),
        ("timestamp", ([1], [2], [3]), "'timestamp'"),
        ("timestamp", (None, None, None), "'timestamp'"),
    ],
)
@pytest.mark.parametrize("block", [1, cursors.ROWS])
def test_bad_values_are_named_by_row(
    column: str, values: tuple[Any, ...], message: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recae.data.tables.sources.ROWS", block)
    names = ["user_id", "item_id", "weight", "timestamp"]
    columns = dict(zip(names, [(1, 2, 3)] * 4, strict=True)) | {column: values}
    cursor = Cursor(names, list(zip(*columns.values(), strict=True)))
    with pytest.raises(DataError, match=message if block > 1 else column.partition("_")[0]):
        Interactions.from_frame(cursor)


def test_a_cursor_that_waits_is_no_table() -> None:
    class Waits(Cursor):
        async def fetchmany(self, size: int = 1) -> list[tuple[Any, ...]]:  # type: ignore[override]
            return super().fetchmany(size)

    with pytest.raises(DataError, match="not Waits"):
        Interactions.from_frame(Waits(["user_id", "item_id"], [(1, 2)]))


# ------------------------------------------------------------------ the other entrances


def test_titles_come_from_a_query(alchemy: Any, sqlite: sqlite3.Cursor, relations: Any) -> None:
    query = "SELECT item_id, title, year FROM films"
    for given in (
        alchemy.execute(text(query)),
        sqlite.execute(query),
        relations.sql("SELECT * FROM (VALUES (1, 'one'), (2, 'two')) t(item_id, title)"),
    ):
        table = ItemTable(given, ids="text", known=IdMap([1, 2, 3]))
        assert table.texts([2, 1, 3]) == ["two", "one", "3"]
    other = ItemTable(
        sqlite.execute("SELECT item_id AS id, title FROM films"),
        ids="text",
        known=IdMap([1, 2, 3]),
    )
    assert other.texts([2]) == ["two"]


@pytest.mark.filterwarnings(DUCKDB_SAYS)
def test_models_folders_and_histories_take_queries(
    adbc: Any, alchemy: Any, relations: Any, expected: Interactions, tmp_path: Path
) -> None:
    duckdb = relations.sql(QUERY), relations.cursor().execute(QUERY)
    for number, given in enumerate([*duckdb, alchemy.execute(text(QUERY))]):
        data = recae.ingest(given, tmp_path / str(number), memory="256MiB")
        assert same(data, expected)
    model = recae.Popularity().fit(adbc.execute(QUERY))
    for given in (relations.sql(QUERY), alchemy.execute(text(QUERY))):
        assert model.recommend(history=given).equals(model.recommend(history=expected))


# ------------------------------------------------------------------ Hugging Face


@pytest.fixture
def dataset(plays: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A `datasets.Dataset` on disk, whose columns are not all needed."""
    hugging = pytest.importorskip("datasets.arrow_dataset", reason="datasets is not installed")
    pytest.importorskip("datasets").disable_progress_bars()
    # Its pickler takes the folder of our own tests of that name for the library.
    monkeypatch.delitem(sys.modules, "transformers", raising=False)
    names = {"userId": "user_id", "movieId": "item_id", "rating": "weight"}
    renamed = plays.rename_columns([names.get(name, name) for name in plays.column_names])
    nested = renamed.append_column("nested", pa.array([[1]] * len(renamed)))
    hugging.Dataset(nested).save_to_disk(str(tmp_path / "plays"))
    return hugging.Dataset.load_from_disk(str(tmp_path / "plays"))


def test_a_dataset_of_hugging_face_is_read(dataset: Any, expected: Interactions) -> None:
    for given in (dataset, dataset.with_format("numpy", columns=["note"]), dataset.shuffle(seed=3)):
        for _ in range(2):
            assert same(Interactions.from_frame(given), expected)
    some = dataset.select(range(9, 2, -1))
    rows = pd.DataFrame({name: some[name] for name in ("user_id", "item_id", "weight")})
    assert same(Interactions.from_frame(some, time=None), Interactions.from_frame(rows))
    with pytest.raises(DataError, match="'nowhere'.*note, nested"):
        Interactions.from_frame(dataset, user="nowhere")
    with pytest.raises(DataError, match="'nested'"):
        Interactions.from_frame(dataset, weight="nested")
    with pytest.raises(DataError, match="no rows"):
        Interactions.from_frame(dataset.select([]))


def test_several_datasets_and_streams_are_refused_with_the_remedy(dataset: Any) -> None:
    hugging = pytest.importorskip("datasets")
    several = hugging.DatasetDict(train=dataset, test=dataset)
    model = recae.Popularity().fit(dataset)
    for entrance in (
        Interactions.from_frame,
        recae.Popularity().fit,
        ItemTable,
        lambda given: model.recommend(history=given),
    ):
        with pytest.raises(DataError, match="'train'"):
            entrance(several)
        with pytest.raises(DataError, match=r"without streaming, .*from_list"):
            entrance(dataset.to_iterable_dataset())
