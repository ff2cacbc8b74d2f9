"""A service in processes of its own, and the memory they take."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

import recae

PATIENCE = 120


def data(users: int, items: int, each: int = 30) -> recae.Interactions:
    """Random interactions: about `each` a user, popular items first."""
    rng = np.random.default_rng(0)
    columns = (items * rng.random(users * each) ** 2).astype(np.int64)
    rows = np.repeat(np.arange(users), each)
    cells = np.ones(len(rows), np.float32), (rows, columns)
    matrix = sp.csr_matrix(cells, shape=(users, items))
    matrix.data[:] = 1
    return recae.Interactions.from_csr(matrix)


@contextlib.contextmanager
def running(
    command: Sequence[str], port: int, token: str | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that listens on a port; it is ended at the end. token: of the service."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment |= {} if token is None else {"RECAE_TOKEN": token}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment) as process:
        try:
            last = time.monotonic() + PATIENCE
            while True:
                try:
                    ask(port, {"history": [1], "k": 1})
                    break
                except OSError:
                    if process.poll() is not None or time.monotonic() > last:
                        raise RuntimeError(f"{' '.join(command)} did not start") from None
                    time.sleep(0.1)
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def served(path: Path, port: int, workers: int, *more: str, name: str = "model") -> list[str]:
    """The command of `recae serve`."""
    return [
        *(sys.executable, "-m", "recae", "serve", f"{name}={path}", "--port", str(port)),
        *("--workers", str(workers), "--no-log", "--quiet", *more),
    ]


def ask(port: int, body: Any) -> tuple[int, Any]:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        return ask_on(connection, body)
    finally:
        connection.close()


def ask_on(connection: http.client.HTTPConnection, body: Any) -> tuple[int, Any]:
    """One request on an open connection: the status and the answer."""
    headers = {"Content-Type": "application/json"}
    connection.request("POST", "/v1/recommend", json.dumps(body), headers)
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
