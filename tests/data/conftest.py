"""A web server on the loopback that misbehaves as it is told, and a data set published there."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from recae.data.sets import cards
from recae.data.sets.download import download


@dataclass
class Site:
    """What the server says; a test sets it up. `asked` are the Range headers of the requests."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    cut: int | None = None  # bytes sent of each answer before the connection is closed
    stall: float = 0.0  # seconds of silence after `cut` bytes instead of closing
    fail: list[int] = field(default_factory=list)  # statuses to answer with first
    asked: list[str] = field(default_factory=list)  # the paths of the requests
    gate: threading.Event | None = None  # answers wait for it
    answer: Callable[[BaseHTTPRequestHandler], None] | None = None  # in place of all the above

    def put(self, name: str, content: bytes) -> str:
        """Publishes a file; returns its address."""
        self.files[name] = content
        return f"{self.url}/{name}"


class Handler(BaseHTTPRequestHandler):
    site: Site

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        site = self.site
        site.asked.append(self.path)
        if site.gate is not None:
            site.gate.wait(10)
        if site.answer is not None:
            self.close_connection = True
            site.answer(self)
            return
        body = site.files.get(self.path[1:])
        if site.fail or body is None or self.path == "/redirect":
            status = site.fail.pop(0) if site.fail else 404 if body is None else 302
            self.send_response(status)
            if status == 302:
                self.send_header("Location", body.decode() if body else "")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if site.cut is not None and len(body) > site.cut:
            self.wfile.write(body[: site.cut])
            self.wfile.flush()
            time.sleep(site.stall)
            self.close_connection = True
            return
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        pass  # a client that hung up, which is what some tests are about


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    site = Site()
    handler = type("OwnHandler", (Handler,), {"site": site})
    with Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        site.url = f"http://127.0.0.1:{server.server_port}"
        yield site
        server.shutdown()
        thread.join()


@pytest.fixture
def fetch(tmp_path: Path) -> Any:
    """Downloads to tmp_path/file without long waits."""

    def fetch(url: str, **options: Any) -> Path:
        download(url, tmp_path / "file", **({"pause": 0.01, "attempts": 2} | options))
        return tmp_path / "file"

    return fetch


Publish = Callable[..., None]


@pytest.fixture
def publish(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Publishes files, and the card of a set named "tiny", which is the only one known then."""
    monkeypatch.setenv("RECAE_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr(cards, "CHECKOUT", tmp_path / "absent")
    monkeypatch.setattr(cards, "INSTALLED", tmp_path / "cards")
    (tmp_path / "cards").mkdir()
    basics = {"name": "tiny", "title": "Tiny", "licence": "None.", "licence_short": "none"}
    basics |= {"citation": "Nobody. 2026.", "sources": {"counts": "arithmetic"}}

    def publish(files: dict[str, bytes], *, pinned: bool = True, **card: Any) -> None:
        about = {}
        for name, content in files.items():
            checksum = "md5:" + hashlib.md5(content).hexdigest() if pinned else "unpinned"
            about[name] = {"url": site.put(name, content), "checksum": checksum}
        text = toml(basics | {"url": site.url, "files": about} | card)
        (tmp_path / "cards" / "tiny.toml").write_text(text, encoding="utf-8")

    return publish


def toml(table: dict[str, Any]) -> str:
    """A table as TOML, dicts in it as inline tables. JSON strings are TOML strings."""
    return "\n".join(f"{json.dumps(key)} = {inline(value)}" for key, value in table.items())


def inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {inline(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, value)) + "]"
    return json.dumps(value)
