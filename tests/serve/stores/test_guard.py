"""A store that is slow, down or talks rubbish is a StoreError in time, and well again later."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from evaluation.kit.servers import PostgreSQLServer, Proxy, RedisServer, free_port, until
from recae import DataError
from recae.data import IdMap
from recae.errors import StoreError
from recae.serve import open_store
from recae.serve.histories import look_up
from recae.serve.stores import guard
from recae.serve.stores.guard import Breaker, GuardedStore

ENOUGH = 30.0
"""Seconds that are far more than any deadline here, also on a busy machine."""


class Planned:
    """A driver that does what it is told: an answer, an exception, or an event to wait for."""

    name = "the store planned:"

    def __init__(self, *plan: Any) -> None:
        self.plan, self.made, self.aborted, self.closed = list(plan), 0, [], []

    def connect(self, seconds: float) -> int:
        if isinstance(self.plan[0], tuple):
            raise self.plan.pop(0)[0]
        self.made += 1
        return self.made

    def read(self, connection: int, users: list[Any]) -> Any:
        step = self.plan.pop(0) if len(self.plan) > 1 else self.plan[0]
        if isinstance(step, threading.Event):
            assert step.wait(ENOUGH)
            raise OSError("cut off")
        if isinstance(step, Exception):
            raise step
        return {user: step for user in users}

    def abort(self, connection: int) -> None:
        self.aborted.append(connection)

    def close(self, connection: int) -> None:
        self.closed.append(connection)

    def stop(self) -> None:
        pass

    def forked(self) -> None:
        pass


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that the circuit breaker sees."""
    now = [1000.0]

    class Clock:
        monotonic = staticmethod(lambda: now[0])

    monkeypatch.setattr(guard, "time", Clock)
    return now


def test_a_late_answer_is_cut_off_and_its_connection_is_not_used_again() -> None:
    hanging = threading.Event()
    driver = Planned(hanging, [7])
    store = GuardedStore(driver, 0.05)
    with pytest.raises(StoreError, match="planned: .* 0.05 "):
        store.histories([1])
    assert driver.aborted == [1]
    hanging.set()
    until(lambda: driver.closed == [1])
    assert store.histories([1]) == {1: [7]} and driver.made == 2
    store.close()
    assert driver.closed == [1, 2]


def test_a_broken_connection_is_replaced_once() -> None:
    driver = Planned([7], OSError("restarted"), [8], [9], OSError("a"), OSError("b"), [5])
    store = GuardedStore(driver, ENOUGH)
    assert [store.histories([1])[1] for _ in range(3)] == [[7], [8], [9]]
    assert driver.made == 2
    with pytest.raises(StoreError, match="b$"):
        store.histories([1])
    assert store.histories([1]) == {1: [5]}
    store.close()


def test_wrong_contents_and_wrong_users_are_no_outage() -> None:
    driver = Planned(*[StoreError("NULL"), DataError("text")] * 10, [7])
    store = GuardedStore(driver, ENOUGH)
    for _ in range(10):
        with pytest.raises(StoreError, match="NULL"):
            store.histories([1])
        with pytest.raises(DataError, match="text"):
            store.histories([1])
    assert store.histories([1]) == {1: [7]} and driver.made == 1
    store.close()


def test_a_store_that_is_not_as_it_must_be_fails_when_opened_and_later_on_use() -> None:
    driver = Planned((DataError("no table"),), (DataError("no table"),), [7])
    store = GuardedStore(driver, ENOUGH)
    with pytest.raises(DataError, match="table"):
        store.check()
    with pytest.raises(StoreError, match="table"):
        store.histories([1])
    assert store.histories([1]) == {1: [7]}
    driver.plan[:0] = [(OSError("down"),)]
    store.check()  # connected already
    other = GuardedStore(Planned((OSError("down"),), [7]), ENOUGH)
    other.check()  # a server that is down may come
    assert other.histories([1]) == {1: [7]}
    store.close()
    other.close()


def test_the_breaker_opens_and_lets_one_call_try(clock: list[float]) -> None:
    breaker = Breaker("it")
    for _ in range(guard.FAILURES - 1):
        breaker.ask(1.0)
        breaker.failed(OSError("down"))
    breaker.ask(1.0)
    breaker.failed(OSError("down"))
    with pytest.raises(StoreError) as caught:
        breaker.ask(1.0)
    assert caught.value.retry_after == guard.PAUSE_SECONDS
    clock[0] += guard.PAUSE_SECONDS + 0.1
    breaker.ask(1.0)  # one tries
    with pytest.raises(StoreError) as caught:
        breaker.ask(1.0)
    assert caught.value.retry_after == 1.0
    breaker.failed(OSError("down"))
    with pytest.raises(StoreError):
        breaker.ask(1.0)
    clock[0] += guard.PAUSE_SECONDS + 0.1
    breaker.ask(1.0)
    breaker.answered()
    for _ in range(3):
        breaker.ask(1.0)


def test_a_store_that_is_down_is_not_asked_during_the_pause(clock: list[float]) -> None:
    driver = Planned(*[(OSError("down"),)] * guard.FAILURES, [7])
    store = GuardedStore(driver, ENOUGH)
    for _ in range(guard.FAILURES + 3):
        with pytest.raises(StoreError, match="down"):
            store.histories([1])
    assert driver.plan == [[7]]  # asked no more often
    clock[0] += guard.PAUSE_SECONDS + 0.1
    assert store.histories([1]) == {1: [7]}
    store.close()


@pytest.fixture(params=["redis", "postgresql"])
def filled(request: pytest.FixtureRequest) -> Iterator[tuple[Any, str]]:
    """A server and the end of its URL, with items 7 and 8 of user 1."""
    if request.param == "redis":
        import redis

        server: RedisServer = request.getfixturevalue("redis_server")
        with redis.Redis.from_url(server.url) as client:
            client.delete("guard:1")
            client.rpush("guard:1", 7, 8)
        yield server, "/0?prefix=guard:"
    else:
        import psycopg

        postgresql: PostgreSQLServer = request.getfixturevalue("postgresql_server")
        with psycopg.connect(postgresql.url) as connection:
            connection.execute("DROP TABLE IF EXISTS guard")
            connection.execute("CREATE TABLE guard AS SELECT 1 AS user_id, 7 AS item_id")
            connection.execute("INSERT INTO guard VALUES (1, 8)")
        yield postgresql, "/postgres?table=guard"


def url_of(server: Any, end: str, port: int) -> str:
    scheme = server.url.partition(":")[0]
    user = "tester@" if scheme == "postgresql" else ""
    return f"{scheme}://{user}127.0.0.1:{port}{end}"


def right(found: dict[Any, list[Any]]) -> bool:
    return {user: sorted(items) for user, items in found.items()} == {1: [7, 8]}


@pytest.mark.parametrize(
    ("how", "seconds"), [("hole", 0), ("rubbish", 0), ("delay", 3), ("drip", 0.2)]
)
def test_a_bad_line_is_an_error_in_time_and_well_again(
    filled: tuple[Any, str], how: str, seconds: float
) -> None:
    server, end = filled
    with Proxy(server.port) as proxy:
        store = open_store(url_of(server, end, proxy.port) + "&timeout=0.3")
        until(lambda: right(answer(store)))
        proxy.how, proxy.seconds = how, seconds
        start = time.monotonic()
        with pytest.raises(StoreError, match=rf"127\.0\.0\.1:{proxy.port}"):
            store.histories([1])
        assert time.monotonic() - start < ENOUGH
        proxy.how = "pass"
        until(lambda: right(answer(store)))
        store.close()


def answer(store: Any) -> dict[Any, list[Any]]:
    try:
        return dict(store.histories([1]))
    except StoreError:
        return {}


@pytest.mark.parametrize("how", ["hole", "rubbish"])
def test_a_store_that_is_bad_from_the_start(filled: tuple[Any, str], how: str) -> None:
    server, end = filled
    with Proxy(server.port, how) as proxy:
        store = open_store(url_of(server, end, proxy.port) + "&timeout=0.2")
        with pytest.raises(StoreError):
            store.histories([1])
        proxy.how = "pass"
        until(lambda: right(answer(store)))
        store.close()


def test_a_server_that_is_killed_and_comes_back(filled: tuple[Any, str]) -> None:
    server, end = filled
    store = open_store(url_of(server, end, server.port))
    assert right(store.histories([1]))
    server.stop()
    try:
        for _ in range(guard.FAILURES + 1):
            with pytest.raises(StoreError):
                store.histories([1])
    finally:
        server.start()
    if "redis" in server.url:  # it kept nothing
        import redis

        with redis.Redis.from_url(server.url) as client:
            client.rpush("guard:1", 7, 8)
    until(lambda: right(answer(store)))
    store.close()


def test_nobody_listens(filled: tuple[Any, str]) -> None:
    server, end = filled
    store = open_store(url_of(server, end, free_port()))
    with pytest.raises(StoreError):
        store.histories([1])
    (found,) = look_up(store, [1], IdMap([7, 8]), on_failure="popular")
    assert found.history == [] and found.notes
    store.close()


def test_a_server_that_is_full_of_waiting_connections(filled: tuple[Any, str]) -> None:
    """Nothing accepts: the connection is never made, as with a firewall that drops packets."""
    server, end = filled
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        store = open_store(url_of(server, end, port) + "&timeout=0.2")
        with pytest.raises(StoreError, match=str(port)):
            store.histories([1])
        store.close()
        for one in waiting:
            one.close()


def test_a_query_that_waits_for_a_lock_is_cut_off(postgresql_server: PostgreSQLServer) -> None:
    import psycopg

    with psycopg.connect(postgresql_server.url) as connection:
        connection.execute("DROP TABLE IF EXISTS locked")
        connection.execute("CREATE TABLE locked AS SELECT 1 AS user_id, 7 AS item_id")
    store = open_store(f"{postgresql_server.url}?table=locked&timeout=0.2")
    with psycopg.connect(postgresql_server.url) as other:
        other.execute("LOCK TABLE locked IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StoreError):
            store.histories([1])
    until(lambda: answer(store) == {1: [7]})
    store.close()
