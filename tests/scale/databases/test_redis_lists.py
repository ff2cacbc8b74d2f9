"""Generations of lists in Redis: which of them count, expire and are deleted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import recae
from evaluation.kit.servers import RedisServer
from recae.errors import StorageError
from recae.recommend.export import blocks
from recae.scale import load_export
from recae.scale.databases.redis_lists import RedisLists
from recae.serve import open_store

from .contents import Place, keys, lasting, loaded, stopping, written


def taking_over(url: str, generation: str) -> None:
    """Another load takes the lock, as if this one had stood still for a minute."""
    import redis

    base, _, prefix = url.partition("?prefix=")
    with redis.Redis.from_url(base) as client:
        client.set(prefix + "loading", generation)
        client.rpush(f"{prefix}{generation}:107", 1)


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
        client.rpush(f"{prefix}of-another-program:7", 1)
    assert lasting(url) == {"current", "about", now, "of-another-program"}
    load_export(exports["one"], url, overwrite=True)
    found = keys(url)
    assert lasting(url) == {"current", "about", found["current"], "of-another-program"}
    assert f"{before}:100" in found and f"{now}:100" in found  # somebody may still read them
    store = open_store(f"{base}?prefix={prefix}{keys(url)['current']}:")
    assert len(store.histories([107])[107]) == 3
    store.close()


def test_a_load_that_has_lost_its_lock_leaves_the_lists_of_the_next_one(
    place: Place, exports: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import redis

    url = place("redis")
    base, _, prefix = url.partition("?prefix=")
    load_export(exports["int"], url)
    with monkeypatch.context() as patch:
        stopping(patch, lambda: taking_over(url, "b" * 12))
        patch.setattr(blocks, "ROWS", 8)
        with pytest.raises(StorageError, match="lock"):
            load_export(exports["other"], url, overwrite=True)
    assert loaded(url) == written(exports["int"])
    assert lasting(url) == {"current", "about", keys(url)["current"], "b" * 12}
    with redis.Redis.from_url(base) as client:
        client.delete(prefix + "loading")
    switch = RedisLists._switch

    def late(self: RedisLists, *arguments: Any) -> None:
        switch(self, *arguments)
        taking_over(url, "c" * 12)

    with monkeypatch.context() as patch, pytest.warns(recae.RecaeWarning, match="lock"):
        patch.setattr(RedisLists, "_switch", late)
        load_export(exports["other"], url, overwrite=True)
    assert loaded(url) == written(exports["other"]) and "c" * 12 in lasting(url)


def test_lists_that_count_stay_if_the_answer_of_redis_is_lost(
    place: Place, exports: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import redis

    url, switch = place("redis"), RedisLists._switch

    def lost(self: RedisLists, *arguments: Any) -> None:
        switch(self, *arguments)
        raise redis.ConnectionError("reset by peer")

    monkeypatch.setattr(RedisLists, "_switch", lost)
    with pytest.raises(StorageError, match="reset"):
        load_export(exports["int"], url)
    assert loaded(url) == written(exports["int"])


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
            assert lasting(url) == {"current", "about", keys(url)["current"]}
        finally:
            client.config_set("maxmemory", "0")
    assert loaded(url) == written(exports["one"])


def test_a_server_that_deletes_keys_while_lists_are_loaded_is_named(
    place: Place, exports: dict[str, Path], redis_server: RedisServer, tmp_path: Path
) -> None:
    import redis

    url = place("redis")
    with redis.Redis.from_url(redis_server.url) as client:
        others = [f"{tmp_path.name}{number}" for number in range(500)]
        client.mset(dict.fromkeys(others, "x" * 1000))
        client.config_set("maxmemory-policy", "allkeys-lfu")
        used = client.info("memory")["used_memory"]
        client.config_set("maxmemory", used)
        try:
            with pytest.raises(StorageError, match="maxmemory|lock"):  # it may delete any key
                load_export(exports["int"], url)
        finally:
            client.config_set("maxmemory", "0")
            client.config_set("maxmemory-policy", "noeviction")
            client.delete(*others)
    assert loaded(url) == []
