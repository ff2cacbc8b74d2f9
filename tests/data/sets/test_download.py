"""Downloads: the file is there, complete and right, or there is one clear error and no file."""

from __future__ import annotations

import gzip
import hashlib
import os
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from recae.data.sets.download import download
from recae.errors import DownloadError, StorageError

CONTENT = bytes(range(256)) * 40  # 10,240 bytes
N = len(CONTENT)
MD5 = "md5:" + hashlib.md5(CONTENT).hexdigest()
SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path):
    """No partial file stays, whatever happened."""
    yield
    assert set(os.listdir(tmp_path)) <= {"file"}


def send(status: int, headers: dict[str, str], body: bytes = b""):
    """An answer of the site."""

    def answer(to: BaseHTTPRequestHandler) -> None:
        to.send_response(status)
        for name, value in headers.items():
            to.send_header(name, value)
        to.end_headers()
        to.wfile.write(body)

    return answer


@pytest.mark.parametrize("checksum", [MD5, SHA256, "md5:" + MD5[4:].upper(), None])
def test_a_complete_file(site, fetch, checksum) -> None:
    assert fetch(site.put("file", CONTENT), checksum=checksum).read_bytes() == CONTENT
    assert site.asked == ["/file"]


def test_an_empty_file(site, fetch) -> None:
    assert fetch(site.put("file", b"")).read_bytes() == b""


def test_a_wrong_checksum_leaves_what_was_there(site, fetch, tmp_path) -> None:
    url = site.put("file", CONTENT + b"!")
    with pytest.raises(DownloadError, match=f"md5:[0-9a-f]{{32}} instead of {MD5}"):
        fetch(url, checksum=MD5)
    assert not (tmp_path / "file").exists()
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(DownloadError):
        fetch(url, checksum=MD5)
    assert (tmp_path / "file").read_bytes() == b"mine"


@pytest.mark.parametrize("checksum", [None, MD5])
def test_a_file_that_is_cut_off(site, fetch, checksum) -> None:
    site.cut = 4000
    with pytest.raises(DownloadError, match="4000|4,000"):
        fetch(site.put("file", CONTENT), checksum=checksum)
    assert len(site.asked) == 2  # the second time may have been better


def test_a_cut_or_busy_server_is_asked_again(site, fetch) -> None:
    site.fail = [503, 500]
    url = site.put("file", CONTENT)
    assert fetch(url, attempts=3, checksum=MD5).read_bytes() == CONTENT
    site.fail = [503, 503]
    with pytest.raises(DownloadError, match="503"):
        fetch(url)


def test_without_a_length_only_a_checksum_shows_the_end(site, fetch) -> None:
    site.answer = send(200, {}, CONTENT)
    assert fetch(f"{site.url}/file", checksum=MD5).read_bytes() == CONTENT
    with pytest.raises(DownloadError, match="length"):
        fetch(f"{site.url}/file")
    site.answer = send(200, {}, CONTENT[:500])
    with pytest.raises(DownloadError, match="checksum"):
        fetch(f"{site.url}/file", checksum=MD5)


@pytest.mark.parametrize("name", ["gzip", "x-gzip"])
def test_a_file_that_the_server_calls_encoded_is_kept_as_it_comes(site, fetch, name) -> None:
    packed = gzip.compress(CONTENT)
    headers = {"Content-Encoding": name, "Content-Length": str(len(packed))}
    site.answer = send(200, headers, packed)
    assert fetch(f"{site.url}/file").read_bytes() == packed


@pytest.mark.parametrize("end", [True, False])
def test_chunks_have_an_end(site, fetch, end) -> None:
    def answer(to: BaseHTTPRequestHandler) -> None:
        to.protocol_version = "HTTP/1.1"
        send(200, {"Transfer-Encoding": "chunked"})(to)
        to.wfile.write(b"%x\r\n%s\r\n" % (N, CONTENT) + (b"0\r\n\r\n" if end else b""))

    site.answer = answer
    if end:
        assert fetch(f"{site.url}/file").read_bytes() == CONTENT
    else:
        with pytest.raises(DownloadError):
            fetch(f"{site.url}/file")


@pytest.mark.parametrize("status", [204, 304, 401, 404])
def test_an_answer_without_a_file(site, fetch, status) -> None:
    site.fail = [status]
    with pytest.raises(DownloadError, match=f"/file .*{status}"):
        fetch(site.put("file", CONTENT))
    assert len(site.asked) == 1  # asking again would not help


@pytest.mark.parametrize("cut", [0, 4000])
def test_a_server_that_stalls(site, fetch, cut) -> None:
    site.cut, site.stall = cut, 0.5
    with pytest.raises(DownloadError, match="timed out"):
        fetch(site.put("file", CONTENT), timeout=0.1, attempts=1)


@pytest.mark.parametrize(
    "there",
    ["file:///etc/passwd", "ftp://127.0.0.1/file", "http://[::1/x", "http://127.0.0.1:99999999/x"],
)
def test_redirections_stay_on_the_web(site, fetch, there) -> None:
    redirect = site.put("redirect", site.put("file", CONTENT).encode())
    assert fetch(redirect, checksum=MD5).read_bytes() == CONTENT
    site.put("redirect", there.encode())
    with pytest.raises(DownloadError) as caught:
        fetch(redirect)
    assert "\n" not in str(caught.value)


def test_endless_redirections_end(site, fetch) -> None:
    with pytest.raises(DownloadError, match="redirect"):
        fetch(site.put("redirect", f"{site.url}/redirect".encode()))


@pytest.mark.parametrize(
    "url",
    ["ftp://host/file", "file:///etc/passwd", "/etc/passwd", "", "http://", "http://[::1/x"]
    + ["http://127.0.0.1:99999/x", f"http://{'a' * 80}.example/x"],
)
def test_addresses_that_are_none(fetch, url) -> None:
    with pytest.raises(DownloadError):
        fetch(url)


def test_nobody_listens_and_an_unknown_host(fetch, monkeypatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(DownloadError, match=rf"{port}.*refused"):
        fetch(f"http://127.0.0.1:{port}/file")

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(DownloadError, match="nowhere.invalid"):
        fetch("http://nowhere.invalid/file")


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\nabc",
        b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"",
    ],
)
def test_any_answer_ends_in_a_download_error(site, fetch, answer) -> None:
    site.answer = lambda to: to.wfile.write(answer)
    with pytest.raises(DownloadError):
        fetch(f"{site.url}/file", timeout=2)


def test_a_full_disk_and_a_folder_that_is_not_there(site, fetch, tmp_path, monkeypatch) -> None:
    url = site.put("file", CONTENT)
    with pytest.raises(StorageError):
        download(url, tmp_path / "absent" / "file")
    assert site.asked == []

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pooch.HTTPDownloader.__call__", full)
    with pytest.raises(StorageError, match="No space"):
        fetch(url)


def test_several_at_once(site, tmp_path) -> None:
    site.gate = threading.Event()
    url = site.put("file", CONTENT)
    fetch = lambda: download(url, tmp_path / "file", checksum=MD5)  # noqa: E731
    threads = [threading.Thread(target=fetch) for _ in range(3)]
    for thread in threads:
        thread.start()
    site.gate.set()
    for thread in threads:
        thread.join()
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_killed_process_leaves_no_file(site, tmp_path) -> None:
    site.cut, site.stall = 4000, 5.0
    url, folder = site.put("file", CONTENT), tmp_path / "file"
    folder.mkdir()
    script = "import pathlib; from recae.data.sets.download import download; "
    script += f"download({url!r}, pathlib.Path('one'))"
    process = subprocess.Popen([sys.executable, "-c", script], cwd=folder)
    while not any(folder.glob(".one.*.part/one")):
        assert process.poll() is None
        threading.Event().wait(0.02)
    process.kill()
    process.wait()
    assert not (folder / "one").exists()
    site.cut, site.stall = None, 0.0
    download(url, folder / "one", checksum=MD5)
    assert (folder / "one").read_bytes() == CONTENT


def test_the_bar_counts_bytes(site, fetch, capsys, monkeypatch) -> None:
    monkeypatch.setattr("recae.system.progress.DELAY", 0)
    fetch(site.put("file", CONTENT), progress=True)
    shown = capsys.readouterr().err
    assert "fetching file: 100%" in shown and "10.2k/10.2k" in shown
    fetch(site.put("file", CONTENT))
    assert capsys.readouterr().err == ""
