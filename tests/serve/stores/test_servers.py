"""The same histories from every kind of store, and errors that name what is wrong in one."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import recae
from evaluation.kit.servers import PostgreSQLServer, RedisServer
from recae import ConfigError, DataError
from recae.errors import StorageError, StoreError
from recae.serve import open_store, write_histories

KINDS = ("parquet", "duckdb", "redis", "postgresql")
Place = Callable[[str], str]


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A kind -> the URL of an empty place in a store of this kind."""

    def empty(kind: str) -> str:
        if kind == "parquet":
            return f"parquet:{tmp_path}/plays.parquet"
        if kind == "duckdb":
            pytest.importorskip("duckdb")
            return f"duckdb:{tmp_path}/plays.duckdb?table=plays"
        name = f"test_{os.getpid()}_{abs(hash(tmp_path))}"
        if kind == "redis":
            return f"{request.getfixturevalue('redis_server').url}?prefix={name}:"
        return f"{request.getfixturevalue('postgresql_server').url}?table={name}"

    yield empty


def with_text(url: str) -> str:
    return url + "&item_ids=text" if url.startswith("redis") else url


def execute(url: str, *statements: str) -> None:
    """Runs SQL in the database of a URL; `plays` stands for its table."""
    table = url.partition("table=")[2].partition("&")[0]
    if url.startswith("duckdb"):
        import duckdb

        with duckdb.connect(url.partition(":")[2].partition("?")[0]) as database:
            for statement in statements:
                database.execute(statement.replace("plays", table))
        return
    import psycopg

    with psycopg.connect(url.partition("?")[0]) as connection:
        for statement in statements:
            connection.execute(statement.replace("plays", table))


@pytest.mark.parametrize("kind", KINDS)
def test_the_histories_of_integers_and_text(
    kind: str, place: Place, int_frame: pd.DataFrame, text_frame: pd.DataFrame
) -> None:
    for frame in (int_frame, text_frame):
        url = place(kind) if frame is int_frame else with_text(place(kind))
        users = write_histories(url, recae.Interactions.from_frame(frame), overwrite=True)
        wanted = {u: {*g} for u, g in frame.groupby("user_id")["item_id"]}
        assert users == len(wanted) == 36
        store = open_store(url)
        stranger = -1 if frame is int_frame else "u'\"; DROP TABLE x; --\n\0é"
        found = store.histories([*wanted, stranger])
        assert {user: {*items} for user, items in found.items()} == wanted
        assert all(len({*items}) == len(items) for items in found.values())
        types = {type(id) for user, items in found.items() for id in (user, *items)}
        assert types == {int if frame is int_frame else str}
        assert store.histories([stranger]) == {} and store.histories([]) == {}
        if kind != "redis":  # a key of Redis is text
            with pytest.raises(DataError):
                store.histories(["100"] if frame is int_frame else [0])
        store.close()


@pytest.mark.parametrize("kind", KINDS)
def test_writing_replaces_only_if_asked(
    kind: str, place: Place, int_data: recae.Interactions
) -> None:
    url = place(kind)
    write_histories(url, int_data)
    with pytest.raises(StorageError):
        write_histories(url, int_data)
    frame = pd.DataFrame({"user_id": [100], "item_id": [3]})
    assert write_histories(url, frame, overwrite=True) == 1
    store = open_store(url)
    found = store.histories([100, 107])
    assert found[100] == [3] and (kind == "redis") == (107 in found)
    store.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_history_is_never_cut(kind: str, place: Place) -> None:
    url = place(kind)
    write_histories(url, pd.DataFrame({"user_id": [1, 1, 1, 2], "item_id": [7, 8, 9, 7]}))
    store = open_store(url + ("&" if "?" in url else "?") + "limit=2")
    assert store.histories([2]) == {2: [7]}
    for users in ([1], [2, 1]):
        with pytest.raises(StoreError, match="user 1 .*2 items"):
            store.histories(users)
    store.close()


@pytest.mark.parametrize("kind", ["duckdb", "postgresql"])
def test_odd_names_are_quoted(kind: str, place: Place) -> None:
    url = place(kind)
    execute(
        url,
        'CREATE SCHEMA IF NOT EXISTS "o dd"',
        'DROP TABLE IF EXISTS "o dd"."a""%s?"',
        'CREATE TABLE "o dd"."a""%s?" ("sel""ect" int, "%" text)',
        "INSERT INTO \"o dd\".\"a\"\"%s?\" VALUES (1, 'x'), (1, 'x'), (1, 'y')",
    )
    base = url.partition("?")[0]
    odd = f"{base}?table=o+dd.a%22%25s%3F&user_column=sel%22ect&item_column=%25"
    store = open_store(odd)
    assert sorted(store.histories([1])[1]) == ["x", "y"]
    store.close()
    for wrong in ("nowhere.plays", "x;DROP TABLE plays", '"plays"', "pla'ys"):
        with pytest.raises(DataError):
            open_store(f"{base}?table={wrong}".replace(";", "%3B"))
    for wrong in ("", "a..b", ".a", "a%00b"):
        with pytest.raises(ConfigError):
            open_store(f"{base}?table={wrong}")


@pytest.mark.parametrize("kind", ["duckdb", "postgresql"])
def test_wrong_tables_are_refused_when_the_store_is_opened(kind: str, place: Place) -> None:
    url = place(kind)
    base = url.partition("?")[0]
    execute(url, "CREATE TABLE plays (user_id int, item_id double precision, day date)")
    with pytest.raises(DataError, match="item_id"):
        open_store(url)
    with pytest.raises(DataError, match="day"):
        open_store(f"{url}&user_column=day")
    with pytest.raises(DataError, match="nobody"):
        open_store(f"{url}&user_column=nobody")
    with pytest.raises(DataError, match="missing_table"):
        open_store(f"{base}?table=missing_table")
    for query in ("", "?user_column=a", f"{url.partition(base)[2]}&timeout=0"):
        with pytest.raises(ConfigError) as caught:
            open_store(base + query)
        assert caught.value.parameter == "store"


@pytest.mark.parametrize("kind", ["duckdb", "postgresql"])
def test_missing_items_and_uuids(kind: str, place: Place) -> None:
    url = place(kind)
    one = "00000000-0000-4000-8000-00000000000a"
    execute(
        url,
        "CREATE TABLE plays (user_id uuid, item_id smallint)",
        f"INSERT INTO plays VALUES ('{one}', 7), (NULL, 8), "
        "('00000000-0000-4000-8000-00000000000b', NULL)",
    )
    store = open_store(url)
    assert store.histories([one, one.upper(), "x"]) == {one: [7]}
    with pytest.raises(StoreError, match="0b'.*item_id.*NULL"):
        store.histories([one, one[:-1] + "b"])
    assert store.histories([one]) == {one: [7]}  # the store itself is well
    store.close()


def test_integers_beyond_64_bits_are_named(place: Place) -> None:
    url = place("duckdb")
    execute(
        url,
        "CREATE TABLE plays (user_id utinyint, item_id hugeint)",
        "INSERT INTO plays VALUES (1, 9223372036854775808), (2, 5)",
    )
    store = open_store(url)
    assert store.histories([2, 300, -1, 2**62]) == {2: [5]}
    with pytest.raises(StoreError, match="9223372036854775808"):
        store.histories([1])
    store.close()


def test_what_is_no_duckdb_is_refused_when_it_is_opened(tmp_path: Path) -> None:
    pytest.importorskip("duckdb")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "other").write_bytes(b"PAR1" * 9)
    for name in ("empty", "other", ".", "nowhere"):
        with pytest.raises(DataError, match=name):
            open_store(f"duckdb:{tmp_path}/{name}?table=t")


def test_a_store_that_is_down_says_so_when_it_is_opened(redis_server: RedisServer) -> None:
    down = open_store("redis://127.0.0.1:1/0")
    assert "127.0.0.1:1" in down.fault
    up = open_store(redis_server.url)
    assert up.fault == ""
    down.close()
    up.close()


def test_what_redis_holds_is_checked(redis_server: RedisServer, place: Place) -> None:
    import redis

    url = place("redis")
    prefix = url.partition("prefix=")[2]
    client = redis.Redis.from_url(redis_server.url)
    client.rpush(f"{prefix}good", 7, 8, 7, -3)
    client.set(f"{prefix}string", "[1, 2]")
    client.sadd(f"{prefix}set", 1)
    for name, element in {
        "word": "abc",
        "float": "1.0",
        "long": str(2**63),
        "empty": "",
        "space": " 7",
        "bytes": b"\xff",
        "arabic": "٣",
    }.items():
        client.rpush(f"{prefix}{name}", 1, element)
    store = open_store(url)
    assert store.histories(["good", "nobody"]) == {"good": [7, 8, -3]}
    for name in ("string", "set", "word", "float", "long", "empty", "space", "bytes", "arabic"):
        with pytest.raises(StoreError, match=f"{name}'"):
            store.histories(["good", name])
    assert store.histories(["good"]) == {"good": [7, 8, -3]}
    store.close()
    words = open_store(with_text(url))
    assert words.histories(["word", "good"]) == {"word": ["1", "abc"], "good": ["7", "8", "-3"]}
    with pytest.raises(StoreError, match="bytes'"):
        words.histories(["bytes"])
    words.close()
    client.close()
    with pytest.raises(ConfigError, match="item_ids=text"):
        write_histories(url, pd.DataFrame({"user_id": [1], "item_id": ["a"]}))


@pytest.mark.parametrize("kind", ["duckdb", "postgresql"])
def test_a_table_that_is_replaced_is_read_again(kind: str, place: Place, tmp_path: Path) -> None:
    url = place(kind)
    write_histories(url, pd.DataFrame({"user_id": [1], "item_id": [7]}))
    store = open_store(url)
    assert store.histories([1]) == {1: [7]}
    words = pd.DataFrame({"user_id": ["1"], "item_id": ["x"]})
    if kind == "duckdb":
        other = url.replace("plays.duckdb", "new.duckdb")
        write_histories(other, words)
        os.replace(tmp_path / "new.duckdb", tmp_path / "plays.duckdb")
    else:
        write_histories(url, words, overwrite=True)
    assert store.histories(["1"]) == {"1": ["x"]}
    with pytest.raises(DataError):
        store.histories([1])
    store.close()


def test_a_duckdb_cannot_reach_other_files(place: Place, tmp_path: Path) -> None:
    url = place("duckdb")
    (tmp_path / "secret.csv").write_text("user_id,item_id\n1,7\n")
    execute(url, f"CREATE VIEW plays AS SELECT * FROM read_csv('{tmp_path}/secret.csv')")
    with pytest.raises((DataError, StoreError)):
        open_store(url).histories([1])


@pytest.mark.parametrize("kind", KINDS)
def test_threads_get_their_own_users(kind: str, place: Place, int_frame: pd.DataFrame) -> None:
    url = place(kind)
    write_histories(url, recae.Interactions.from_frame(int_frame))
    wanted = {u: {*g} for u, g in int_frame.groupby("user_id")["item_id"]}
    store, wrong = open_store(url + ("&" if "?" in url else "?") + "limit=99"), []

    def ask(first: int) -> None:
        for number in range(25):
            user = 100 + 7 * ((first + number) % 36)
            found = store.histories([user])
            if {*found[user]} != wanted[user]:
                wrong.append(user)

    threads = [threading.Thread(target=ask, args=(first,)) for first in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.histories([100])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_forked_processes_have_connections_of_their_own(
    kind: str, place: Place, int_frame: pd.DataFrame
) -> None:
    url = place(kind)
    write_histories(url, recae.Interactions.from_frame(int_frame))
    wanted = {u: {*g} for u, g in int_frame.groupby("user_id")["item_id"]}
    store = open_store(url)

    def right(user: Any) -> bool:
        return {*store.histories([user])[user]} == wanted[user]

    assert right(100)  # so the parent has a connection
    children = []
    for number in range(3):
        child = os.fork()
        if not child:
            code = 1
            try:
                code = 0 if all(right(100 + 7 * (number + n)) for n in range(20)) else 2
            finally:
                os._exit(code)
        children.append(child)
    assert all(right(100 + 7 * number) for number in range(20))
    assert [os.waitstatus_to_exitcode(os.waitpid(c, 0)[1]) for c in children] == [0, 0, 0]
    assert right(107)
    store.close()


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import sys

    for module, url in {
        "duckdb": f"duckdb:{tmp_path}/a.duckdb?table=t",
        "redis": "redis://127.0.0.1:1",
        "psycopg": "postgresql://127.0.0.1:1/x?table=t",
    }.items():
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(ConfigError, match=r"pip install \"recae\[") as caught:
            open_store(url)
        assert caught.value.parameter == "store"


def test_wrong_urls_are_refused_without_their_password() -> None:
    pytest.importorskip("psycopg")
    pytest.importorskip("redis")
    for url in (
        *("redis://h:1/0?table=t", "redis://h:1/0?item_ids=uuid", "redis://h/0?limit=0"),
        *("redis://h:1/0?timeout=x", "redis://h:1/0?timeout=-1", "redis://h:1?timeout=nan"),
        *("redis://:pwx#ret@h:1/0", "redis://u:pwx/ret@h:1/0", "redis://u:secret@[h/0"),
        *("postgresql://u:pwx?ret@h/d?table=t", "postgresql://u:secret@h:x/d?table=t"),
        *("postgresql://u:secret@h/d?table=t&colour=red", "mysql://u:secret@h/d"),
        *("redis://u:secret@h/notadb", "redis://u:secret@h/-1", "redis://u:secret@h/0/1"),
        *("redis://u:secret@h:0/0", "redis://u:secret@h:65536/0", "redis://u:secret@h h/0"),
        *("redis://u:secret@h/0#x", "redis://u:secret@h/0\n", "redis://u:secret\ud800@h/0"),
        *(f"postgresql://u:secret@h/d?table=t&{option}" for option in ("sslmode=on", "port=x")),
        "postgresql://u:secret@h/d",
    ):
        with pytest.raises(ConfigError) as caught:
            open_store(url)
        assert caught.value.parameter == "store", url
        assert "pwx" not in str(caught.value) and "secret" not in str(caught.value)
    error: Exception | None = caught.value
    while error is not None:
        assert "secret" not in str(error)
        error = error.__cause__


def test_a_password_is_in_no_message(postgresql_server: PostgreSQLServer) -> None:
    for url in ("redis://u:secret@127.0.0.1:1/0", "postgresql://u:secret@127.0.0.1:1/d?table=t"):
        store = open_store(url)
        with pytest.raises(StoreError, match=r"127\.0\.0\.1:1") as caught:
            store.histories([1])
        assert "secret" not in str(caught.value)
        store.close()
