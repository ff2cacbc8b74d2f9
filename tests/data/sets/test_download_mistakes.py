"""Fetching that cannot succeed: no server, no place to write, nonsense; one clear error each."""

from __future__ import annotations

import hashlib
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from recae.data.sets import download as module
from recae.data.sets.download import download
from recae.errors import ConfigError, DownloadError, StorageError

CONTENT = bytes(range(256)) * 40  # 10,240 bytes
MD5 = "md5:" + hashlib.md5(CONTENT).hexdigest()
WRITE = module._write


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_nobody_listens(fetch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(DownloadError, match=r"cannot be reached: .*refused"):
        fetch(f"http://127.0.0.1:{port}/file")


def test_an_unknown_host(fetch, monkeypatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(DownloadError, match="cannot be reached: .*Name or service not known"):
        fetch("http://nowhere.invalid/file")


@pytest.mark.parametrize("url", ["ftp://host/file", "file:///etc/passwd", "/etc/passwd", ""])
def test_only_http(fetch, url) -> None:
    with pytest.raises(DownloadError, match="no http or https address"):
        fetch(url)


def test_no_address(fetch) -> None:
    with pytest.raises(DownloadError, match="no address"):
        fetch("http://127.0.0.1/a file")


def test_a_full_disk(site, fetch, tmp_path, monkeypatch) -> None:
    url = site.put("file", CONTENT)
    usage = shutil.disk_usage(tmp_path)._replace(free=100)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: usage)
        with pytest.raises(StorageError, match="10,240 more bytes are needed and 100 are free"):
            fetch(url)
    assert left(tmp_path) == []

    class Full:
        def write(self, _: bytes) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_write", lambda _, data, part: WRITE(Full(), data, part))
    with pytest.raises(StorageError, match="No space left on device"):
        fetch(url)
    assert left(tmp_path) == []


def test_a_folder_that_is_not_there_or_not_writable(site, tmp_path) -> None:
    url = site.put("file", CONTENT)
    with pytest.raises(StorageError, match="does not exist: create it first"):
        download(url, tmp_path / "absent" / "file")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match="is a directory: name a file"):
        download(url, tmp_path / "folder")
    assert site.asked == []


def test_a_checksum_must_be_one(site, fetch) -> None:
    for wrong in ("md5:12", "crc:" + 32 * "0", MD5[4:]):
        with pytest.raises(ConfigError, match="checksum"):
            fetch(f"{site.url}/file", checksum=wrong)
