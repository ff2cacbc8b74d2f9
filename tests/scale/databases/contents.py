"""What databases hold, read without recae, and exports that stop half way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import recae
from recae.recommend.export import Export

KINDS = ("duckdb", "postgresql", "redis")
SQL = ("duckdb", "postgresql")
Place = Callable[[str], str]


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


def lasting(url: str) -> set[str]:
    """What comes after the prefix, up to a colon, in the keys of Redis that do not expire."""
    import redis

    base, _, prefix = url.partition("?prefix=")
    with redis.Redis.from_url(base) as client:
        found = {key for key in keys(url) if client.ttl(prefix + key) == -1}
    return {key.partition(":")[0] for key in found}


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


def stopping(monkeypatch: pytest.MonkeyPatch, stop: Callable[[], None]) -> None:
    """Lets `stop` act when some rows of an export are out."""

    def batches(self: Export, columns: Any = None) -> Iterator[pa.RecordBatch]:
        table = self.dataset().to_table(columns=columns)
        yield from table.slice(0, 20).to_batches()
        stop()
        yield from table.slice(20).to_batches()

    monkeypatch.setattr(Export, "batches", batches)
