"""Runs the service: one process, or a parent that keeps several workers alive."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from recae.errors import ConfigError, check_integer
from recae.serve.app import create_app
from recae.serve.observing import Log, Observed
from recae.serve.settings import TOKEN, Settings
from recae.serve.shelf import Reload, Shelf
from recae.serve.stores import HistoryStore

SIGNALS = (signal.SIGTERM, signal.SIGINT)
BACKLOG, POLL, GRACE = 2048, 1.0, 5
"""Connections that may wait to be accepted; seconds between two looks at the folders; seconds
beyond the timeout of requests that a shutdown may take."""

SLOWEST_RESTART = 8.0
"""Seconds at most until a worker is replaced that ends again and again."""


@dataclass(frozen=True)
class Running:
    """What every worker needs."""

    shelf: Shelf
    store: HistoryStore | None
    settings: Settings
    log: Log
    folder: Path | None = None
    parent: int | None = None


def run(
    shelf: Shelf,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    workers: int = 1,
    store: HistoryStore | None = None,
    settings: Settings | None = None,
    log: int | None = 1,
    started: Callable[[str], object] = print,
) -> int:
    """Serves until SIGTERM or SIGINT. Returns 0, or 1 if requests had to be cut off.

    It takes over this process: its signal handlers, and torch computes with one thread, which is
    fastest for one user. port: 0 takes a free one. log: the file descriptor of the lines of JSON,
    or None. started: called with the address, once the port is open. Models are loaded again within
    a second or two after their folders have changed.

    Raises ConfigError for a port in use, for a host other than loopback without a token, and for
    several workers where processes cannot be forked.
    """
    settings = settings or Settings()
    check_integer("workers", workers)
    check_integer("port", port, 0, 65535)
    if find_spec("prometheus_client") is None:
        raise ConfigError('the service needs prometheus_client: pip install "recae[serve]"')
    if workers > 1 and not hasattr(os, "fork"):
        raise ConfigError("several workers need os.fork, which this system lacks: use one")
    if settings.token is None and not is_loopback(host):
        raise ConfigError(
            f"host {host} can be reached from other machines, and the service has no token: set "
            f"{TOKEN}, or stay at 127.0.0.1 behind a proxy",
            parameter="host",
            value=host,
        )
    torch.set_num_threads(1)
    sockets = listening(host, port, workers)
    where = sockets[0].getsockname()
    address = f"http://{f'[{host}]' if ':' in host else host}:{where[1]}"
    lines = Log(log)
    lines.line("started", address=address, workers=workers, models=shelf.names())
    started(address)
    running = Running(shelf, store, settings, lines)
    if workers == 1:
        code = work(running, sockets[0])
    else:
        folder = Path(tempfile.mkdtemp(prefix="recae-metrics-"))
        try:
            running = Running(shelf, store, settings, lines, folder, os.getpid())
            code = Supervisor(running, sockets).keep()
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    lines.line("stopped", code=code)
    return code


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def listening(host: str, port: int, workers: int) -> list[socket.socket]:
    """One open socket for each worker. Raises ConfigError.

    Where the kernel shares connections out between sockets (Linux) each worker has its own; the
    parent keeps it open, so that connections wait while a worker is replaced.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"host {host!r} is not known: {error}", parameter="host") from None
    family, kind, protocol, _, place = found[0]
    own = workers > 1 and sys.platform == "linux"
    sockets: list[socket.socket] = []
    try:
        # Without SO_REUSEPORT first: it would share the port with another service of this user.
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
            probe.listen(1)
            place = (place[0], probe.getsockname()[1], *place[2:])
        for _ in range(workers if own else 1):
            one = socket.socket(family, kind, protocol)
            sockets.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if own:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            one.bind(place)
            one.listen(BACKLOG)
            one.setblocking(False)
    except OSError as error:
        for one in sockets:
            one.close()
        reason = error.strerror or str(error)
        raise ConfigError(
            f"cannot listen on {host} port {port}: {reason}. Another program may use it: choose "
            "another port, or 0 for a free one",
            parameter="port",
            value=port,
        ) from None
    return sockets if own else sockets * workers


class Server(uvicorn.Server):
    """uvicorn, which refuses new work as soon as a signal comes, and ends without a signal."""

    service: Any = None

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Called for SIGTERM and SIGINT."""
        self.service.closing = True
        self.should_exit = True


def work(running: Running, listener: socket.socket) -> int:
    """One worker: serves on a socket until a signal comes. Returns its exit code."""
    if running.folder is not None:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(running.folder)
    counting: Any = import_module("recae.serve.metrics")  # not before the variable is set

    shelf = running.shelf
    app = create_app(shelf, store=running.store, settings=running.settings)
    service = app.state.service
    metrics = counting.Metrics(shelf, running.folder)

    async def answer(request: Request) -> Response:
        service.admit(request)
        return Response(metrics.text(), media_type=counting.TYPE)

    app.router.routes.append(Route("/metrics", answer, methods=["GET"], include_in_schema=False))

    def reloaded(done: Reload) -> None:
        metrics.reload(done)
        running.log.reload(done)
        if done.served is not None:
            service.titles.of(done.served)  # here, not in a request; and lets go of the old model

    shelf.watchers[:] = [reloaded]
    shelf.refresh()  # the folders may have changed since the parent loaded them
    routes: Any = app.router.routes
    addresses: dict[Any, str] = {}
    for route in routes:  # an endpoint with and without a version is counted under the latter
        addresses.setdefault(getattr(route, "endpoint", None), getattr(route, "path", "other"))
    quiet(running.log)
    graceful = int(running.settings.timeout) + 1
    server = Server(
        uvicorn.Config(
            Observed(app, addresses, metrics, running.log), log_config=None, access_log=False,
            server_header=False, proxy_headers=False, lifespan="on", backlog=BACKLOG,
            timeout_keep_alive=30, timeout_graceful_shutdown=graceful, ws="none",
        )
    )  # fmt: skip
    server.service = service
    ends = threading.Event()
    watch = threading.Thread(
        target=_watch, args=(running, server, ends), name="recae-watch", daemon=True
    )
    watch.start()
    server.run([listener])
    ends.set()
    return 0 if server.started and not server.server_state.tasks else 1


def _watch(running: Running, server: Server, ends: threading.Event) -> None:
    """Looks at the folders of the models every second, and whether the parent is still there."""
    while not ends.wait(POLL):
        if running.parent is not None and os.getppid() != running.parent:
            server.service.closing = server.should_exit = True
            return
        running.shelf.refresh()


def quiet(log: Log) -> None:
    """Has the errors of uvicorn written as lines of JSON, and nothing else of it."""

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.exc_info and record.exc_info[1] is not None:
                log.failure(record.exc_info[1])
            else:
                log.line("server", level=record.levelname, message=record.getMessage())

    for name in ("uvicorn", "uvicorn.error", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], False
        logger.setLevel(logging.WARNING)
    for name in ("uvicorn", "asyncio"):
        logging.getLogger(name).handlers = [Lines()]
    logging.getLogger("uvicorn.error").propagate = True


class Supervisor:
    """The parent of the workers: forks them, replaces those that end, and stops them."""

    def __init__(self, running: Running, sockets: Sequence[socket.socket]) -> None:
        self.running, self.sockets = running, list(sockets)
        self.workers: dict[int, tuple[int, float]] = {}
        self.due: dict[int, float] = dict.fromkeys(range(len(sockets)), 0.0)
        self.waits: dict[int, float] = {}
        self.stopping = 0

    def _signal(self, number: int, frame: Any) -> None:
        self.stopping += 1

    def keep(self) -> int:
        """Keeps the workers alive until a signal comes. Returns the exit code."""
        before = {number: signal.signal(number, self._signal) for number in SIGNALS}
        try:
            while not self.stopping:
                now = time.monotonic()
                for place, due in list(self.due.items()):
                    if now >= due:
                        del self.due[place]
                        self._start(place)
                for pid, code in self._ended():
                    self._replace(pid, code)
                time.sleep(0.05)
            return self._stop()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _start(self, place: int) -> None:
        """Forks a worker, which closes the sockets of the others. Signals are blocked until it has
        handlers of its own."""
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until the child has its own handlers
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                for number in SIGNALS:
                    signal.signal(number, signal.SIG_IGN)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
                for other, one in enumerate(self.sockets):
                    if one is not self.sockets[place] and other != place:
                        one.close()
                code = work(self.running, self.sockets[place])
            except BaseException as error:
                self.running.log.failure(error)
            finally:
                os._exit(code)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        self.workers[pid] = place, time.monotonic()

    def _ended(self) -> list[tuple[int, int]]:
        found = []
        for pid in list(self.workers):
            with contextlib.suppress(ChildProcessError):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    found.append((pid, os.waitstatus_to_exitcode(status)))
        return found

    def _replace(self, pid: int, code: int) -> None:
        place, born = self.workers.pop(pid)
        now = time.monotonic()
        wait = 0.0 if now - born > 10 else min(2 * self.waits.get(place, 0.25), SLOWEST_RESTART)
        self.waits[place] = wait or 0.25
        self.due[place] = now + wait
        self._clear(pid)
        self.running.log.line("worker_ended", code=code, again_in=wait)

    def _clear(self, pid: int) -> None:
        if self.running.folder is not None:
            for path in self.running.folder.glob(f"gauge_live*_{pid}.db"):
                path.unlink(missing_ok=True)

    def _stop(self) -> int:
        """Asks the workers to end after their requests, and kills those that take longer, or all at
        a second signal. Returns the exit code."""
        for one in set(self.sockets):
            one.close()
        for pid in self.workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        last, worst = time.monotonic() + self.running.settings.timeout + GRACE, 0
        asked = self.stopping
        while self.workers and time.monotonic() < last and self.stopping == asked:
            for pid, code in self._ended():
                del self.workers[pid]
                worst = worst or int(code != 0)
            time.sleep(0.02)
        for pid in self.workers:  # too slow, or a second signal
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        return 1 if self.workers else worst
