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
    etag: str | None = '"one"'
    ranges: bool = True  # whether Range is understood
    cut: int | None = None  # bytes sent of each answer before the connection is closed
    stall: float = 0.0  # seconds of silence after `cut` bytes instead of closing
    fail: list[int] = field(default_factory=list)  # statuses to answer with first
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[str | None] = field(default_factory=list)
    gate: threading.Event | None = None  # answers wait for it
    answer: Callable[[BaseHTTPRequestHandler, int], None] | None = None  # in place of all the above

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
        site.asked.append(self.headers.get("Range"))
        if site.gate is not None:
            site.gate.wait(10)
        if site.answer is not None:
            self.close_connection = True
            site.answer(self, len(site.asked))
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
        start, total = 0, len(body)
        same = self.headers.get("If-Range") in (
            None,
            site.etag,
            site.headers.get("Last-Modified", ""),
        )
        if site.ranges and same and (wanted := self.headers.get("Range")):
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= total:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{total}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        else:
            self.send_response(200)
        headers = {"Content-Length": str(total - start)} | site.headers
        for name, value in (headers | ({"ETag": site.etag} if site.etag else {})).items():
            self.send_header(name, value)
        self.end_headers()
        sent = body[start:]
        if site.cut is not None and len(sent) > site.cut:
            self.wfile.write(sent[: site.cut])
            self.wfile.flush()
            time.sleep(site.stall)
            self.close_connection = True
            return
        self.wfile.write(sent)


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
        return download(url, tmp_path / "file", **({"backoff": 0.01, "attempts": 2} | options))

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
