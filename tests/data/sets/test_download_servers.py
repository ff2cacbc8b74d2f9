"""Servers that say odd things: one clear error or the whole file, and never half of one."""

from __future__ import annotations

import gzip
import hashlib
import json
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from recae.data.sets.download import download
from recae.errors import ConfigError, DownloadError, RecaeError

CONTENT = bytes(range(256)) * 40  # 10,240 bytes
N = len(CONTENT)
MD5 = "md5:" + hashlib.md5(CONTENT).hexdigest()
Headers = dict[str, str]


def send(to: BaseHTTPRequestHandler, status: int, headers: Headers, body: bytes = b"") -> None:
    to.send_response(status)
    for name, value in headers.items():
        to.send_header(name, value)
    to.end_headers()
    to.wfile.write(body)


def chunks(to: BaseHTTPRequestHandler, headers: Headers, content: bytes, end: bool = True) -> None:
    to.protocol_version = "HTTP/1.1"
    send(to, 200, headers | {"Transfer-Encoding": "chunked"})
    for start in range(0, len(content), 1000):
        part = content[start : start + 1000]
        to.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
    if end:
        to.wfile.write(b"0\r\n\r\n")


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_without_a_length_only_a_checksum_shows_the_end(site, fetch, tmp_path) -> None:
    site.answer = lambda to, n: send(to, 200, {}, CONTENT[:500])
    with pytest.raises(DownloadError, match="does not say how long it is"):
        fetch(f"{site.url}/file")
    with pytest.raises(DownloadError, match="is not the expected file"):
        fetch(f"{site.url}/file", checksum=MD5)
    assert left(tmp_path) == []
    site.answer = lambda to, n: send(to, 200, {}, CONTENT)
    assert fetch(f"{site.url}/file", checksum=MD5).read_bytes() == CONTENT


def test_chunks_have_an_end(site, fetch, tmp_path) -> None:
    site.answer = lambda to, n: chunks(to, {}, CONTENT, end=False)
    with pytest.raises(DownloadError, match="broke off"):
        fetch(f"{site.url}/file", attempts=1)
    assert not (tmp_path / "file").exists()
    site.answer = lambda to, n: chunks(to, {"Content-Length": "7"}, CONTENT)  # chunks count more
    assert fetch(f"{site.url}/file").read_bytes() == CONTENT


@pytest.mark.parametrize("length", ["abc", f"{N}, {N}", "-5", ""])
def test_a_length_that_is_none_counts_as_unknown(site, fetch, length) -> None:
    site.answer = lambda to, n: send(to, 200, {"Content-Length": length}, CONTENT)
    with pytest.raises(DownloadError, match="does not say how long it is"):
        fetch(f"{site.url}/file")
    assert fetch(f"{site.url}/file", checksum=MD5).read_bytes() == CONTENT


def test_what_was_encoded_unasked_is_refused(site, fetch, tmp_path) -> None:
    packed = gzip.compress(CONTENT)
    headers = {"Content-Encoding": "gzip", "Content-Length": str(len(packed))}
    site.answer = lambda to, n: send(to, 200, headers, packed)
    for checksum in (None, MD5):
        with pytest.raises(DownloadError, match="the server sends it as gzip"):
            fetch(f"{site.url}/file", checksum=checksum)
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Range": f"bytes 1000-{N - 1}/{N}"},  # of which file?
        {"Content-Range": f"bytes 1000-{N - 1}/{N}", "ETag": '"two"'},
        {"Content-Range": f"bytes 5-{N - 1}/{N}", "ETag": '"one"'},
        {"Content-Range": "bytes 1000-1999/2000", "ETag": '"one"'},
        {"Content-Range": f"bytes 1000-{N - 1}/*", "ETag": '"one"'},
        {"ETag": '"one"'},
    ],
)
def test_a_part_that_does_not_fit_is_not_joined(site, fetch, tmp_path, headers) -> None:
    (tmp_path / ".file.part").write_bytes(b"x" * 1000)
    noted = {"url": f"{site.url}/file", "version": '"one"', "total": N}
    (tmp_path / ".file.part.json").write_text(json.dumps(noted))

    def answer(to: BaseHTTPRequestHandler, number: int) -> None:
        if number == 1:
            assert to.headers["Range"] == "bytes=1000-"
            send(to, 206, headers, CONTENT[1000:])
        else:
            send(to, 200, {"Content-Length": str(N)}, CONTENT)

    site.answer = answer
    assert fetch(f"{site.url}/file").read_bytes() == CONTENT
    assert site.asked == ["bytes=1000-", None] and left(tmp_path) == ["file"]


def test_attempts_that_bring_something_do_not_count(site, fetch) -> None:
    site.cut = 1000
    assert fetch(site.put("file", CONTENT), attempts=2).read_bytes() == CONTENT
    assert len(site.asked) == 11


def test_a_server_that_goes_away_is_waited_for(site, fetch, monkeypatch) -> None:
    from recae.data.sets import download as opener

    site.cut = 4000
    url, calls, make = site.put("file", CONTENT), iter(range(9)), opener.opener

    class Gone:
        def open(self, *arguments: object, **options: object) -> None:
            raise opener.urllib.error.URLError(ConnectionRefusedError(111, "Connection refused"))

    monkeypatch.setattr(opener, "opener", lambda: Gone() if next(calls) == 1 else make())
    assert fetch(url, attempts=3).read_bytes() == CONTENT
    assert len(site.asked) == 3  # whole in three parts, and once nobody was there


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1/x",
        "http://127.0.0.1/ä.zip",
        f"http://{'a' * 80}.example/x",
        "http://",
        "http://127.0.0.1:99999/x",
        "http://127.0.0.1/a b",
    ],
)
def test_addresses_that_are_none(fetch, url) -> None:
    with pytest.raises(DownloadError, match="is no address|cannot be reached"):
        fetch(url)


@pytest.mark.parametrize("there", ["http://[::1/x", "http://127.0.0.1:99999999/x", "/file"])
def test_redirections_that_lead_nowhere(site, fetch, there) -> None:
    site.answer = lambda to, n: send(to, 302, {"Location": there, "Content-Length": "0"})
    with pytest.raises(DownloadError) as caught:
        fetch(f"{site.url}/file")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("options", [{"attempts": 0}, {"timeout": 0}, {"timeout": -1.0}])
def test_patience_is_a_positive_number(site, fetch, options) -> None:
    with pytest.raises(ConfigError, match="timeout must be > 0 and attempts >= 1"):
        fetch(site.put("file", CONTENT), **options)


@pytest.mark.parametrize("noted", ["", "[]", '{"version": "a\\nb"}', '{"version": 7}', "\0"])
def test_a_damaged_note_begins_anew(site, fetch, tmp_path, noted) -> None:
    url = site.put("file", CONTENT)
    (tmp_path / ".file.part").write_bytes(b"x" * 1000)
    text = noted.replace("{", f'{{"url": "{url}", ')
    (tmp_path / ".file.part.json").write_text(text)
    assert fetch(url).read_bytes() == CONTENT


def test_nothing_foreign_is_raised_by_any_answer(site, tmp_path) -> None:
    lines = [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999\r\n\r\nabc",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
        b'HTTP/1.1 200 OK\r\nETag: "a\r\n b"\r\nContent-Length: 9\r\n\r\nabc',
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"",
    ]
    for line in lines:
        site.answer = lambda to, n, line=line: to.wfile.write(line)
        with pytest.raises(RecaeError):
            download(f"{site.url}/file", tmp_path / "file", attempts=2, backoff=0.01, timeout=2)
        assert not (tmp_path / "file").exists()
