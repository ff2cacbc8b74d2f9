"""Exports in real databases: the same rows, all or nothing, and nobody else's table is touched."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import recae
from evaluation.kit.servers import RedisServer
from recae.errors import StorageError
from recae.recommend.export import Export
from recae.scale import load_export
from recae.serve import open_store

KINDS = ("duckdb", "postgresql", "redis")
SQL = ("duckdb", "postgresql")
Place = Callable[[str], str]


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A kind -> the URL of an empty place in a database of this kind."""

    def empty(kind: str) -> str:
        if kind == "duckdb":
            pytest.importorskip("duckdb")
            return f"duckdb:{tmp_path}/shop.duckdb?table=lists"
        name = f"load_{os.getpid()}_{abs(hash(tmp_path))}"
        if kind == "redis":
            return f"{request.getfixturevalue('redis_server').url}?prefix={name}:"
        pytest.importorskip("adbc_driver_postgresql")
        return f"{request.getfixturevalue('postgresql_server').url}?table={name}"

    return empty


def sql(url: str, *statements: str) -> list[Any]:
    """Runs SQL where `lists` stands for the table of the URL; the rows of the last statement."""
    base, _, name = url.partition("?table=")
    written = [one.replace("lists", name) for one in statements]
    if url.startswith("duckdb"):
        import duckdb

        with duckdb.connect(base.removeprefix("duckdb:")) as database:
            found = [database.execute(one).fetchall() for one in written]
        return found[-1]
    import psycopg

    with psycopg.connect(base) as connection:
        cursors = [connection.execute(one) for one in written]
        return cursors[-1].fetchall() if cursors[-1].description else []


def keys(url: str) -> dict[str, Any]:
    """The keys of Redis below the prefix of a URL, and their values."""
    import redis

    base, _, prefix = url.partition("?prefix=")
    with redis.Redis.from_url(base, decode_responses=True) as client:
        found = {
            key.removeprefix(prefix): client.get(key)
            if client.type(key) == "string"
            else client.lrange(key, 0, -1)
            for key in client.keys(prefix + "*")
        }
    return found


def loaded(url: str) -> list[tuple[str, str]]:
    """Users and items in a database, by user and rank, as text."""
    if url.startswith("redis"):
        found = keys(url)
        head = f"{found.get('current')}:"
        lists = {key.removeprefix(head): found[key] for key in found if key.startswith(head)}
        return [(user, item) for user in sorted(lists) for item in lists[user]]
    rows = sql(url, "SELECT user_id, item_id FROM lists ORDER BY rank")
    return sorted(((str(user), str(item)) for user, item in rows), key=lambda row: row[0])


def written(path: Path) -> list[tuple[str, str]]:
    rows = recae.open_export(path).dataset().to_table().to_pylist()
    pairs = [(str(row["user_id"]), str(row["item_id"])) for row in rows]
    return sorted(pairs, key=lambda row: row[0])  # stable: ranks stay in order


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("which", ["int", "text", "one", "file"])
def test_the_rows_are_those_of_the_export(
    kind: str, which: str, place: Place, exports: dict[str, Path]
) -> None:
    url = place(kind)
    rows = load_export(exports[which], url)
    assert loaded(url) == written(exports[which]) and rows == len(loaded(url)) > 0
    if kind in SQL and which == "text":
        found = sql(url, "SELECT user_id, item_id, score, rank, title FROM lists")
        table = recae.open_export(exports[which]).dataset().to_table()
        wanted = [tuple(row.values()) for row in table.to_pylist()]
        assert {(u, i, np.float32(s), r, t) for u, i, s, r, t in found} == {*wanted}


@pytest.mark.parametrize("kind", KINDS)
def test_an_earlier_load_is_replaced_only_if_asked(
    kind: str, place: Place, exports: dict[str, Path]
) -> None:
    url = place(kind)
    load_export(exports["int"], url)
    with pytest.raises(StorageError) as caught:
        load_export(exports["other"], url)
    assert caught.value.parameter == "overwrite"
    assert loaded(url) == written(exports["int"])
    for which in ("other", "one", "int"):
        load_export(recae.open_export(exports[which]), url, overwrite=True)
        assert loaded(url) == written(exports[which])


def stopping(monkeypatch: pytest.MonkeyPatch, stop: Callable[[], None]) -> None:
    """Lets `stop` act when some rows of an export are out."""

    def batches(self: Export, columns: Any = None) -> Iterator[pa.RecordBatch]:
        table = self.dataset().to_table(columns=columns)
        yield from table.slice(0, 20).to_batches()
        stop()
        yield from table.slice(20).to_batches()

    monkeypatch.setattr(Export, "batches", batches)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("error", [recae.DataError("part 7"), KeyboardInterrupt()])
def test_a_load_that_fails_leaves_what_was_there(
    kind: str,
    error: BaseException,
    place: Place,
    exports: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    def stop() -> None:
        raise error

    url = place(kind)
    with monkeypatch.context() as patch:
        stopping(patch, stop)
        with pytest.raises(type(error)):
            load_export(exports["int"], url)
    assert not list(tmp_path.iterdir())
    load_export(exports["int"], url)
    with monkeypatch.context() as patch:
        stopping(patch, stop)
        with pytest.raises(type(error)):
            load_export(exports["other"], url, overwrite=True)
    assert loaded(url) == written(exports["int"])
    if kind == "redis":
        generations = {key.partition(":")[0] for key in keys(url)}
        assert generations == {"current", "about", keys(url)["current"]}
    load_export(exports["other"], url, overwrite=True)
    assert loaded(url) == written(exports["other"])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_a_load_that_is_killed_leaves_what_was_there(
    kind: str, place: Place, exports: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = place(kind)
    load_export(exports["int"], url)
    child = os.fork()
    if not child:
        try:
            stopping(monkeypatch, lambda: os.kill(os.getpid(), signal.SIGKILL))
            load_export(exports["other"], url, overwrite=True)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert loaded(url) == written(exports["int"])
    if kind == "redis":
        with pytest.raises(StorageError, match="another process"):
            load_export(exports["other"], url, overwrite=True)
        import redis

        base, _, prefix = url.partition("?prefix=")
        with redis.Redis.from_url(base) as client:
            assert 0 < client.ttl(prefix + "loading") <= 60
            client.delete(prefix + "loading")  # as a minute does
    load_export(exports["other"], url, overwrite=True)
    assert loaded(url) == written(exports["other"])


def test_the_generation_before_expires(place: Place, exports: dict[str, Path]) -> None:
    import redis

    url = place("redis")
    base, _, prefix = url.partition("?prefix=")
    load_export(exports["int"], url)
    before = keys(url)["current"]
    load_export(exports["other"], url, overwrite=True)
    now = keys(url)["current"]
    with redis.Redis.from_url(base) as client:
        assert 0 < client.ttl(f"{prefix}{before}:100") <= 60
        assert client.ttl(f"{prefix}{now}:100") == -1 == client.ttl(f"{prefix}current")
        client.rpush(f"{prefix}of-another-program:7", 1)
    load_export(exports["one"], url, overwrite=True)
    found = {key.partition(":")[0] for key in keys(url)}
    assert before not in found and "of-another-program" in found
    store = open_store(f"{base}?prefix={prefix}{keys(url)['current']}:")
    assert len(store.histories([107])[107]) == 3
    store.close()


@pytest.mark.parametrize("kind", SQL)
@pytest.mark.parametrize("what", ["TABLE lists (a int)", "VIEW lists AS SELECT 1 AS a"])
def test_what_recae_did_not_load_is_never_replaced(
    kind: str, what: str, place: Place, exports: dict[str, Path]
) -> None:
    url = place(kind)
    sql(url, f"CREATE {what}")
    for overwrite in (False, True):
        with pytest.raises(StorageError) as caught:
            load_export(exports["int"], url, overwrite=overwrite)
        assert caught.value.parameter == "target"
    assert len(sql(url, "SELECT a FROM lists")) == ("VIEW" in what)


def test_a_key_that_recae_did_not_write_is_never_replaced(
    place: Place, exports: dict[str, Path]
) -> None:
    import redis

    url = place("redis")
    base, _, prefix = url.partition("?prefix=")
    with redis.Redis.from_url(base) as client:
        for value in (b"theirs", b""):
            client.set(prefix + "current", value)
            with pytest.raises(StorageError, match=f"{prefix}current"):
                load_export(exports["int"], url, overwrite=True)
        client.delete(prefix + "current")
        client.rpush(prefix + "current", 1)
        with pytest.raises(StorageError, match=f"{prefix}current"):
            load_export(exports["int"], url, overwrite=True)


@pytest.mark.parametrize("kind", SQL)
def test_names_of_all_kinds(kind: str, place: Place, exports: dict[str, Path]) -> None:
    url = place(kind)
    base = url.partition("?")[0]
    sql(url, 'CREATE SCHEMA IF NOT EXISTS "o d"')
    odd = f"{base}?table=o+d.a%22%25s%27%3F%7B0%7D"
    for _ in range(2):
        load_export(exports["int"], odd, overwrite=True)
    assert sql(url, 'SELECT count(*) FROM "o d"."a""%s\'?{0}"') == [(len(written(exports["int"])),)]
    sql(url, 'DROP TABLE "o d"."a""%s\'?{0}"')
    for wrong in ("?table=nowhere.lists", "?table=o+d.a;b.c", "", "?table=", "?table=a&limit=3"):
        with pytest.raises((StorageError, recae.ConfigError)):
            load_export(exports["int"], base + wrong.replace(";", "."))


def test_a_replaced_table_keeps_its_rights_and_readers_its_rows(
    place: Place, exports: dict[str, Path]
) -> None:
    import psycopg

    url = place("postgresql")
    load_export(exports["int"], url)
    sql(
        url,
        'DROP ROLE IF EXISTS "web\'s"',
        'CREATE ROLE "web\'s" LOGIN',
        'GRANT SELECT ON lists TO "web\'s" WITH GRANT OPTION',
        "GRANT INSERT ON lists TO PUBLIC",
    )
    load_export(exports["other"], url, overwrite=True)
    reader = url.partition("?")[0].replace("tester@", "web's@")
    name = url.partition("table=")[2]
    with psycopg.connect(reader) as connection:
        query = f"SELECT item_id FROM {name} WHERE user_id = 107 ORDER BY rank"
        found = [str(row[0]) for row in connection.execute(query).fetchall()]
    assert found == [item for user, item in written(exports["other"]) if user == "107"]
    rights = "SELECT privilege_type FROM information_schema.role_table_grants WHERE table_name = "
    rows = sql(url, f"{rights}'lists' AND grantee IN ('PUBLIC', 'web''s')")
    assert sorted(row[0] for row in rows) == ["INSERT", "SELECT"]
    plan = sql(url, "SET enable_seqscan = off", "EXPLAIN SELECT * FROM lists WHERE user_id = 7")
    assert "Index" in plan[0][0]
    sql(url, 'DROP OWNED BY "web\'s"', 'DROP ROLE "web\'s"')


def test_a_table_that_cannot_be_dropped_is_found_before_the_load(
    place: Place, exports: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = place("postgresql")
    load_export(exports["int"], url)
    sql(url, 'CREATE VIEW "v of lists" AS SELECT * FROM lists')
    monkeypatch.setattr(Export, "verify", lambda self: pytest.fail("it is checked first"))
    with pytest.raises(StorageError, match="v of"):
        load_export(exports["other"], url, overwrite=True)


def test_a_damaged_export_is_found_before_anything_is_loaded(
    place: Place, tmp_path: Path, int_frame: pd.DataFrame
) -> None:
    recae.EASE().fit(int_frame).export(tmp_path / "lists", int_frame, k=3)
    part = tmp_path / "lists" / "part-00000.parquet"
    content = bytearray(part.read_bytes())
    content[40] ^= 1
    part.write_bytes(content)
    with pytest.raises(recae.DataError, match="part-00000"):
        load_export(tmp_path / "lists", place("duckdb"))
    assert not (tmp_path / "shop.duckdb").exists()


def test_a_full_server_is_named_and_the_old_lists_stay(
    place: Place, exports: dict[str, Path], redis_server: RedisServer
) -> None:
    import redis

    url = place("redis")
    load_export(exports["one"], url)
    with redis.Redis.from_url(redis_server.url) as client:
        client.config_set("maxmemory", "1mb")
        try:
            with pytest.raises(StorageError, match="maxmemory"):
                load_export(exports["int"], url, overwrite=True)
        finally:
            client.config_set("maxmemory", "0")
    assert loaded(url) == written(exports["one"])
