"""URLs that are no target, databases that do not answer, and extras that are not there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import recae
from evaluation.kit.servers import PostgreSQLServer, RedisServer
from recae.errors import StorageError
from recae.scale import load_export


def test_secrets_are_never_shown(
    exports: dict[str, Path], redis_server: RedisServer, postgresql_server: PostgreSQLServer
) -> None:
    pytest.importorskip("adbc_driver_postgresql")
    redis, postgresql = redis_server.port, postgresql_server.port
    for url in (
        f"redis://me:s3cret@127.0.0.1:{redis}/0",
        "redis://:s3cret@127.0.0.1:1/0",
        "redis://:s3cret@host:port/0",
        "redis://:s3cret@127.0.0.1/zero",
        f"postgresql://nobody:s3cret@127.0.0.1:{postgresql}/postgres?table=t",
        f"postgresql://tester:s3cret@127.0.0.1:{postgresql}/nowhere?table=t",
        "postgresql://tester:s3cret@127.0.0.1:1/postgres?table=t",
        "postgresql://tester:s3cret%zz@127.0.0.1/postgres?table=t",
        "postgresql://tester:s3cret@127.0.0.1/postgres?table=t&password=s3cret&sslmode=no",
        "postgresql://tester:s3cret@127.0.0.1/postgres?table=t&pass=s3cret",
    ):
        with pytest.raises((StorageError, recae.ConfigError)) as caught:
            load_export(exports["int"], url)
        error: BaseException | None = caught.value
        while error is not None:
            assert "s3cret" not in str(error)
            error = error.__cause__


def test_what_is_no_target(exports: dict[str, Path], tmp_path: Path) -> None:
    for target in ("parquet:x.parquet", "mysql://host/shop", "lists", "", 7, "redis://h/0?table=x"):
        with pytest.raises(recae.ConfigError) as caught:
            load_export(exports["int"], target)  # type: ignore[arg-type]
        assert caught.value.parameter == "target"
    pytest.importorskip("duckdb")
    (tmp_path / "rows.txt").write_text("no database" * 99)
    for path in ("rows.txt", "", "nowhere/x.duckdb"):
        with pytest.raises(StorageError):
            load_export(exports["int"], f"duckdb:{tmp_path}/{path}?table=lists")
    assert (tmp_path / "rows.txt").read_text().startswith("no database")


def test_a_missing_extra_is_named(
    exports: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, extra, url in (
        ("duckdb", "duckdb", "duckdb:a.duckdb?table=t"),
        ("redis", "redis", "redis://h/0"),
        ("adbc_driver_postgresql.dbapi", "postgresql", "postgresql://h/d?table=t"),
    ):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(recae.ConfigError, match=rf"recae\[{extra}\]"):
            load_export(exports["int"], url)
