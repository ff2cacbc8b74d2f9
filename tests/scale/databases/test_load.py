"""Exports in real databases: the same rows, all or nothing, and nobody else's table is touched."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import recae
from recae.errors import StorageError
from recae.scale import load_export

from .contents import KINDS, SQL, Place, keys, lasting, loaded, sql, stopping, written


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
    if kind == "redis":
        assert lasting(url) == {"current", "about", keys(url)["current"]}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_with_other_columns_and_types(kind: str, place: Place, tmp_path: Path) -> None:
    """Such as a later step may write it: columns in another order, users as a dictionary."""
    users, items = ["v", "v", "u"], [3, 1, 2]
    columns = {
        "rank": pa.array([1, 2, 1], pa.int32()),
        "item_id": pa.array(items, pa.int64()),
        "score": pa.array([3.0, 2, 1], pa.float32()),
        "user_id": pa.array(users).dictionary_encode(),
    }
    pq.write_table(pa.table(columns), tmp_path / "other.parquet")
    url = place(kind)
    load_export(tmp_path / "other.parquet", url)
    assert loaded(url) == [("u", "2"), ("v", "3"), ("v", "1")]
    columns["user_id"] = pa.array(["v", None, "u"])
    pq.write_table(pa.table(columns), tmp_path / "missing.parquet")
    with pytest.raises(recae.DataError, match="user_id"):
        load_export(tmp_path / "missing.parquet", url, overwrite=True)
    large = {**columns, "user_id": pa.array([1, 2, 2**64 - 1], pa.uint64())}
    pq.write_table(pa.table(large), tmp_path / "large.parquet")
    with pytest.raises(recae.DataError, match="18446744073709551615"):
        load_export(tmp_path / "large.parquet", url, overwrite=True)
    columns |= {"user_id": pa.array(["v", "u", "v"])}
    if kind == "redis":
        for ranks in ([1, 1, 2], [2, 1, 1]):
            columns["rank"] = pa.array(ranks, pa.int32())
            pq.write_table(pa.table(columns), tmp_path / "mixed.parquet")
            with pytest.raises(recae.DataError, match="user_id v"):
                load_export(tmp_path / "mixed.parquet", url, overwrite=True)
    assert loaded(url) == [("u", "2"), ("v", "3"), ("v", "1")]


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
