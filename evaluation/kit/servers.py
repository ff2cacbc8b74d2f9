"""Real servers for tests and measurements, on the loopback and on free ports; and a proxy that
slows them down."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def until(done: Callable[[], bool], what: str = "it") -> None:
    for _ in range(1500):
        if done():
            return
        time.sleep(0.01)
    raise AssertionError(f"{what} does not happen")


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


class RedisServer:
    """A Redis in a folder; it can be stopped and started again on its port."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        options += ["--save", "", "--appendonly", "no"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(["redis-server", *options], stdout=log, stderr=log)
        until(lambda: listens(self.port), "redis-server listens")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


class PostgreSQLServer:
    """A PostgreSQL in a folder, without passwords; `stop` and `start` keep what it holds."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self.binaries, self.folder, self.port = binaries, folder / "data", free_port()
        self.url = f"postgresql://tester@127.0.0.1:{self.port}/postgres"
        self.owner: list[str] = []
        if os.geteuid() == 0:  # which PostgreSQL refuses
            user = next(name for name in ("postgres", "nobody") if _exists(name))
            group = pwd.getpwnam(user).pw_gid
            self.owner = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups"]
            shutil.chown(folder, user, group)
        settings = ["--no-sync", "-U", "tester", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"]
        self.run("initdb", "-D", self.folder, *settings)
        self.start()

    def run(self, command: str, *arguments: object) -> None:
        line = [*self.owner, str(self.binaries / command), *map(str, arguments)]
        done = subprocess.run(
            line,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert done.returncode == 0, done.stdout.decode()

    def start(self) -> None:
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
            "shared_buffers": "16MB",
        }
        options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        log = self.folder / "log"
        self.run("pg_ctl", "-D", self.folder, "-w", "-s", "-l", log, "-o", options, "start")

    def stop(self) -> None:
        self.run("pg_ctl", "-D", self.folder, "-w", "-s", "-m", "immediate", "stop")


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def postgresql_binaries() -> Path | None:
    """The folder of initdb: on the path, or where Debian keeps it."""
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)


class Proxy:
    """A TCP proxy on the loopback: `how` it treats what the server sends may change at any time.

    "pass": passes it on. "delay": after `seconds`. "drip": a byte every `seconds`. "hole": accepts,
    and never answers. "rubbish": answers with other bytes.
    """

    def __init__(self, port: int, how: str = "pass", seconds: float = 0.0) -> None:
        self.target, self.how, self.seconds = port, how, seconds
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        self.open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                self.open.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.target)) as server:
            self.open.append(server)
            threading.Thread(target=self._answers, args=(server, client), daemon=True).start()
            while data := client.recv(1 << 16):
                if self.how != "hole":
                    server.sendall(data)

    def _answers(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError), client:
            while data := server.recv(1 << 16):
                if self.how == "hole":
                    continue
                if self.how == "rubbish":
                    data = b"HTTP/1.1 400 Bad Request\r\n\r\n"
                if self.how == "delay":
                    time.sleep(self.seconds)
                for part in [data] if self.how != "drip" else [bytes([byte]) for byte in data]:
                    client.sendall(part)
                    time.sleep(self.seconds if self.how == "drip" else 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for one in (self.listener, *self.open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
