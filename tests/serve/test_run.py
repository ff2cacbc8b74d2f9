"""`recae serve` as a process: workers, reloads, metrics, logs, and how it ends."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

import recae

for package in ("fastapi", "uvicorn", "prometheus_client"):
    pytest.importorskip(package, reason="the extra serve is not installed")

from recae.errors import ConfigError  # noqa: E402
from recae.serve import Shelf  # noqa: E402
from recae.serve.run import is_loopback, listening, run  # noqa: E402

CLIENT = Path(__file__).parents[2] / "docs" / "deploy" / "client.py"
TOKEN = "a-secret-of-tests"


def fitted(l2: float) -> recae.EASE:
    dense = np.random.default_rng(0).random((60, 40)) < 0.2
    return recae.EASE(l2=l2).fit(
        recae.Interactions.from_csr(sp.csr_matrix(dense, dtype=np.float32))
    )


class Running:
    """A service in a process of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.log = folder / "log"
        environment = {**os.environ, "RECAE_TOKEN": TOKEN, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "recae", "serve", *arguments, "--port", "0", "--quiet"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        line = until(lambda: self.lines("started"))[0]
        self.address = line["address"]
        until(lambda: self.healthy())

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The whole lines of an event; the last one may be half written."""
        written = [line for line in self.log.read_text().split("\n")[:-1] if line.startswith("{")]
        return [line for line in map(json.loads, written) if line["event"] == event]

    def healthy(self) -> bool:
        try:
            return bool(self.ask("/v2/health/ready")[0] == 200)
        except OSError:
            return False

    def ask(self, path: str, body: Any = None) -> tuple[int, bytes]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.address + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def version(self) -> str:
        return str(json.loads(self.ask("/v1/recommend", {"history": [1], "k": 1})[1])["version"])

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


def until(ready: Any, seconds: float = 60) -> Any:
    last = time.monotonic() + seconds
    while not (found := ready()):
        assert time.monotonic() < last, "it did not happen"
        time.sleep(0.05)
    return found


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("serve")
    fitted(1.0).save(folder / "model")
    titles = folder / "titles.csv"
    titles.write_text("item_id,title\n" + "".join(f"{n},Film {n}\n" for n in range(40)))
    arguments = ("--workers", "2", "--titles", str(titles))
    running = Running(folder, f"films={folder / 'model'}", *arguments)
    yield running
    if running.process.poll() is None:
        running.process.kill()
        running.process.wait()


class Begun:
    """A request of which the server has the first half."""

    def __init__(self, address: str, path: str, body: Any) -> None:
        text, host = json.dumps(body).encode(), address.removeprefix("http://")
        self.connection = http.client.HTTPConnection(host, timeout=20)
        self.connection.putrequest("POST", path)
        for name, value in (
            ("Authorization", f"Bearer {TOKEN}"),
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(text))),
        ):
            self.connection.putheader(name, value)
        self.connection.endheaders(text[: len(text) // 2])
        self.rest = text[len(text) // 2 :]

    def end(self) -> tuple[int, Any]:
        """Sends the rest: the status and the answer."""
        self.connection.send(self.rest)
        response = self.connection.getresponse()
        found = response.status, json.loads(response.read())
        self.connection.close()
        return found


def in_flight(service: Running) -> float:
    found = re.findall(rb"\nrecae_requests_in_flight (\S+)", service.ask("/metrics")[1])
    return float(found[0])


def refuses(service: Running) -> bool:
    """Whether a new request gets 503, or no connection."""
    try:
        return bool(service.ask("/v1/models")[0] == 503)
    except OSError:
        return True


def children(process: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@linux
def test_a_service_from_its_start_to_its_end(service: Running) -> None:
    """One service for all steps: a start takes seconds."""
    one, two = fitted(1.0), fitted(9.0)
    assert service.version() == one.fingerprint()

    # The example of a client gets the list of the model.
    ran = subprocess.run(
        [sys.executable, str(CLIENT), service.address, "1", "2"], capture_output=True, text=True,
        env={**os.environ, "RECAE_TOKEN": TOKEN}, check=True,
    )  # fmt: skip
    shown = [int(line.split()[1]) for line in ran.stdout.splitlines()]
    assert shown == one.recommend(history=[1, 2], k=5)["item_id"].tolist()
    found = json.loads(service.ask("/v1/recommend", {"history": [1, 2], "k": 5})[1])["items"]
    assert [item["title"] for item in found] == [f"Film {item}" for item in shown]

    # All workers load a replaced folder; no request fails meanwhile.
    two.save(service.log.parent / "model", overwrite=True)
    wanted, last = two.fingerprint(), time.monotonic() + 30
    while len(service.lines("reload")) < 2:
        assert service.version() in (one.fingerprint(), wanted)
        assert time.monotonic() < last
    assert {line["version"] for line in service.lines("reload")} == {wanted}
    assert {service.version() for _ in range(10)} == {wanted}

    # A damaged folder leaves the model, and is counted.
    config = service.log.parent / "model" / "config.json"
    text = config.read_text()
    config.write_text("{")
    until(lambda: len(service.lines("reload_failed")) >= 2)
    assert service.version() == wanted
    failed = re.findall(rb'recae_reloads_total\{model="films",result="failed"\} (\S+)',
                        service.ask("/metrics")[1])  # fmt: skip
    assert float(failed[0]) >= 2
    config.write_text(text)

    # A worker that dies is replaced.
    before = children(service.process.pid)
    os.kill(before[0], signal.SIGKILL)
    until(lambda: len(set(children(service.process.pid)) - set(before)) == 1)
    assert {service.version() for _ in range(10)} == {wanted}

    # Metrics are those of all workers; neither they nor the log hold ids of users or items.
    asked = {"user": "secret-user", "history": [31, 987654321], "k": 2}
    for _ in range(4):
        assert service.ask("/v1/recommend", asked)[0] == 200
    until(lambda: in_flight(service) == 1)  # this one; others end just after their answers
    metrics = service.ask("/metrics")[1].decode()
    assert float(re.findall(r"\nrecae_unknown_ids_total (\S+)", metrics)[0]) == 4
    assert f'version="{wanted}"' in metrics
    last_line = [line for line in service.lines("request") if "unknown" in line][-1]
    assert (last_line["k"], last_line["history"], last_line["unknown"]) == (2, 2, 1)
    for text in (metrics, service.log.read_text()):
        assert "secret-user" not in text and "987654321" not in text and TOKEN not in text

    # SIGTERM: requests in flight get their answers, new ones do not; then it and its workers end.
    begun = [Begun(service.address, path, body) for path, body in (
        *[("/v1/recommend", {"history": [1, 2], "k": 3})] * 4,
        ("/v1/recommend:batch", {"requests": [{"history": [1, 2], "k": 3}]}),
        ("/v2/models/films/infer", {"inputs": []}),
    )]  # fmt: skip
    until(lambda: in_flight(service) == len(begun) + 1)
    workers = children(service.process.pid)
    service.process.send_signal(signal.SIGTERM)
    until(lambda: refuses(service))
    assert service.process.poll() is None
    alone, batch = [one.end() for one in begun[:4]], begun[4].end()
    lists = [[item["item_id"] for item in answer["items"]] for _, answer in alone]
    assert lists == [two.recommend(history=[1, 2], k=3)["item_id"].tolist()] * 4
    assert (batch[0], batch[1]["answers"][0]) == (200, alone[0][1])
    assert begun[5].end()[0] == 400  # an answer, too
    assert service.process.wait(30) == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert service.lines("stopped")[0]["code"] == 0


@pytest.mark.slow
def test_one_process_ends_after_an_interruption(tmp_path: Path) -> None:
    running = Running(tmp_path, str(fitted(1.0).save(tmp_path / "m")))
    assert running.version() == fitted(1.0).fingerprint()
    assert running.end(signal.SIGINT) == 0


def test_a_port_in_use_is_one_error(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        for workers in (1, 2):
            with pytest.raises(ConfigError) as fault:
                listening("127.0.0.1", other.getsockname()[1], workers)
            assert fault.value.parameter == "port"


def test_other_hosts_need_a_token(tmp_path: Path) -> None:
    shelf = Shelf({"m": fitted(1.0).save(tmp_path / "m")})
    with pytest.raises(ConfigError) as fault:
        run(shelf, host="0.0.0.0", port=0)
    assert fault.value.parameter == "host"


@pytest.mark.parametrize(
    ("host", "near"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True),
     ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("example.org", False)],
)  # fmt: skip
def test_loopback_is_known(host: str, near: bool) -> None:
    assert is_loopback(host) is near
