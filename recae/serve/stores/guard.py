"""Keeps a service alive while its store is slow or down: deadlines, connections, a circuit breaker.

Every call has a deadline, whatever the server sends or does not send: a thread with a connection of
its own makes it, and is cut off when the time is over.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from contextlib import suppress
from typing import Any, Protocol

from recae.errors import DataError, StoreError
from recae.serve.stores.protocol import Id, checked_users, renew_after_fork

CONNECTIONS = 8
"""The most connections of a process; further calls wait for one, within their deadline."""
FAILURES = 5
"""After so many failed calls in a row, calls fail at once."""
PAUSE_SECONDS = 2.0
"""For so long; then one call tries again, and its success ends the pause."""

Histories = dict[Id, list[Id]]


class Stale(Exception):
    """The connection does not fit the store any more; a new one may."""


class Driver(Protocol):
    """What a kind of store does with one of its connections.

    `connect` and `read` may raise anything. DataError of `connect`: the store is not as it must be.
    DataError of `read`: the users are not. StoreError: what is stored is no history. Stale: see
    there. All else means that the store is down.
    """

    name: str

    def connect(self, seconds: float) -> Any:
        """A connection to a store that is as it must be, or an error soon after the seconds."""

    def read(self, connection: Any, users: list[Id]) -> Histories:
        """The histories of distinct users."""

    def abort(self, connection: Any) -> None:
        """Makes a `read` in another thread fail at once."""

    def close(self, connection: Any) -> None:
        """Closes the connection. It may be broken."""

    def stop(self) -> None:
        """Releases what the connections share; they are closed already."""

    def forked(self) -> None:
        """This is a new process, and the connections belong to the other one."""


class GuardedStore:
    """A store of histories behind a driver; `timeout` is the deadline of a call in seconds.

    fault: why it could not be reached when it was opened, or the empty text.
    """

    def __init__(self, driver: Driver, timeout: float) -> None:
        self._driver, self._timeout, self._closed = driver, timeout, False
        self.fault = ""
        self._start()
        renew_after_fork(self)

    def _start(self) -> None:
        self._lock, self._of_thread = threading.Lock(), threading.local()
        self._workers = ThreadPoolExecutor(CONNECTIONS, "recae-store")
        self._open: list[Any] = []
        self._breaker = Breaker(self._driver.name)

    def forked(self) -> None:
        """Threads and connections belong to the other process: nothing of them is touched."""
        _ABANDONED.append((self._workers, self._open, self._of_thread))
        self._driver.forked()
        self._start()

    def check(self) -> None:
        """Raises DataError if the store is not as it must be. A store that is down is not checked,
        for a service may start before its store: `fault` says so."""
        try:
            self._run(_Task(), None)
        except StoreError as error:
            self.fault = str(error)

    def histories(self, users: Sequence[Id]) -> Histories:
        """As in `HistoryStore`."""
        wanted = [*dict.fromkeys(checked_users(users))]
        if self._closed:
            raise StoreError(f"{self._driver.name} is closed")
        if not wanted:
            return {}
        self._breaker.ask(self._timeout)
        try:
            found = self._run(_Task(), wanted)
        except Unavailable as error:
            self._breaker.failed(error)
            raise
        except BaseException:
            self._breaker.answered()
            raise
        self._breaker.answered()
        return found

    def close(self) -> None:
        """Closes all connections; calls in progress raise StoreError."""
        self._closed = True
        self._workers.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            connections, self._open = self._open, []
        for connection in connections:
            with suppress(Exception):
                self._driver.abort(connection)
            with suppress(Exception):
                self._driver.close(connection)
        self._driver.stop()

    def _run(self, task: _Task, users: list[Id] | None) -> Histories:
        """The answer of a worker; it is cut off when the time is over."""
        try:
            work: Future[Histories] = self._workers.submit(self._work, task, users)
            return work.result(self._timeout)
        except Late:
            work.cancel()
            task.abandon(self._driver)
            raise Unavailable(
                f"{self._driver.name} has not answered within {self._timeout:g} seconds"
            ) from None
        except (StoreError, DataError):
            raise
        except Exception as error:  # also of a pool that was closed meanwhile
            raise Unavailable(f"{self._driver.name} does not answer: {reason(error)}") from error

    def _work(self, task: _Task, users: list[Id] | None) -> Histories:
        """Runs in a worker, on the connection of its thread. A connection that was used before may
        be broken because the server was restarted: that is tried once more with a new one."""
        reused = getattr(self._of_thread, "connection", None) is not None
        try:
            return self._read(task, users)
        except (StoreError, DataError):
            raise
        except Exception as error:
            self._drop()
            if not reused or task.abandoned:
                raise self._final(error) from error
        try:
            return self._read(task, users)
        except (StoreError, DataError):
            raise
        except Exception as error:
            self._drop()
            raise self._final(error) from error

    def _final(self, error: Exception) -> Exception:
        if isinstance(error, Stale):
            return StoreError(f"{self._driver.name}: {error}")
        return error

    def _read(self, task: _Task, users: list[Id] | None) -> Histories:
        """Reads on the connection of this thread, which is made at the first read. One that a
        timeout broke off is dropped. users=None only connects."""
        connection = getattr(self._of_thread, "connection", None)
        if connection is None:
            try:
                connection = self._driver.connect(self._timeout)
            except DataError as error:
                if users is None:
                    raise
                raise StoreError(str(error)) from error
            with self._lock:
                self._open.append(connection)
            self._of_thread.connection = connection
        if users is None:
            return {}
        task.start(connection)
        try:
            return self._driver.read(connection, users)
        finally:
            if task.finish():
                self._drop()

    def _drop(self) -> None:
        """Closes the connection of this thread."""
        connection = getattr(self._of_thread, "connection", None)
        if connection is None:
            return
        self._of_thread.connection = None
        with self._lock, suppress(ValueError):
            self._open.remove(connection)
        with suppress(Exception):
            self._driver.close(connection)


_ABANDONED: list[Any] = []
"""What belongs to the process that this one was forked from: destroying it would disturb that."""


class Unavailable(StoreError):
    """The store is down or slow; the circuit breaker counts these."""


class _Task:
    """A call in progress, which its caller may give up."""

    def __init__(self) -> None:
        self.lock, self.abandoned = threading.Lock(), False
        self.connection: Any = None

    def start(self, connection: Any) -> None:
        with self.lock:
            if self.abandoned:
                raise TimeoutError("the caller does not wait any more")
            self.connection = connection

    def finish(self) -> bool:
        """Whether the call was given up, so that its connection is of no use."""
        with self.lock:
            self.connection = None
            return self.abandoned

    def abandon(self, driver: Driver) -> None:
        with self.lock:
            self.abandoned = True
            if self.connection is not None:
                with suppress(Exception):
                    driver.abort(self.connection)


class Breaker:
    """A circuit breaker: lets calls fail at once for a while after several failures in a row."""

    def __init__(self, name: str) -> None:
        self.name, self.lock = name, threading.Lock()
        self.failures, self.closed_until, self.last = 0, 0.0, ""

    def ask(self, timeout: float) -> None:
        """Raises StoreError during the pause. The first call after it is let through, and the
        others wait for its result at most the timeout in seconds."""
        with self.lock:
            if self.failures < FAILURES:
                return
            rest = self.closed_until - time.monotonic()
            if rest > 0:
                raise StoreError(
                    f"{self.name} failed {self.failures} times in a row and is asked again in "
                    f"{rest:.1f} seconds. {self.last}",
                    retry_after=rest,
                )
            self.closed_until = time.monotonic() + timeout

    def answered(self) -> None:
        """The store has answered."""
        with self.lock:
            self.failures, self.closed_until = 0, 0.0

    def failed(self, error: Exception) -> None:
        """The store has not answered."""
        with self.lock:
            self.failures, self.last = self.failures + 1, str(error)
            if self.failures >= FAILURES:
                self.closed_until = time.monotonic() + PAUSE_SECONDS


def reason(error: Exception | str) -> str:
    """The message of an error of a library in one printable line of at most 300 characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:300]
