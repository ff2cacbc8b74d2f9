"""Several processes that want the same file, and processes that are killed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from recae.data.sets.download import download
from recae.errors import DownloadError

CONTENT = bytes(range(256)) * 40  # 10,240 bytes
MD5 = "md5:" + hashlib.md5(CONTENT).hexdigest()


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_several_at_once_fetch_it_once(site, tmp_path) -> None:
    site.gate = threading.Event()
    url = site.put("file", CONTENT)
    found: list[bytes] = []

    def fetch() -> None:
        found.append(download(url, tmp_path / "file", checksum=MD5).read_bytes())

    threads = [threading.Thread(target=fetch) for _ in range(3)]
    for thread in threads:
        thread.start()
    site.gate.set()
    for thread in threads:
        thread.join()
    assert found == [CONTENT] * 3
    assert len(site.asked) == 1
    assert left(tmp_path) == ["file"]


def test_without_locks_each_has_a_part_of_its_own(site, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("recae.data.sets.partial._lock", lambda handle: False)
    url = site.put("file", CONTENT)
    assert download(url, tmp_path / "file", checksum=MD5).read_bytes() == CONTENT
    site.cut = 4000
    (tmp_path / "file").unlink()
    with pytest.raises(DownloadError):
        download(url, tmp_path / "file", attempts=1)
    assert left(tmp_path) == []
    old, new = tmp_path / ".file.0123abcd.part", tmp_path / ".file.4567cdef.part"
    for part in (old, new):
        part.write_bytes(b"of a process that was killed")
    os.utime(old, (0, 0))
    site.cut = None
    download(url, tmp_path / "file", checksum=MD5)
    assert left(tmp_path) == [new.name, "file"]


def test_a_killed_process_leaves_a_beginning(site, tmp_path) -> None:
    site.cut, site.stall = 4000, 5.0
    url = site.put("file", CONTENT)
    script = f"from recae.data.sets.download import download; download({url!r}, 'file')"
    process = subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path)
    part = tmp_path / ".file.part"
    while not (part.exists() and part.stat().st_size == 4000):
        assert process.poll() is None
        threading.Event().wait(0.02)
    process.kill()
    process.wait()
    assert not (tmp_path / "file").exists()
    site.cut = None
    assert download(url, tmp_path / "file", checksum=MD5).read_bytes() == CONTENT
    assert site.asked == [None, "bytes=4000-"]
