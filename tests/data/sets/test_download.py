"""Fetching over http: a file is there whole and right, or not at all."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest

from recae.errors import DownloadError

CONTENT = bytes(range(256)) * 40  # 10,240 bytes
MD5 = "md5:" + hashlib.md5(CONTENT).hexdigest()


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_whole_file(site, fetch, tmp_path) -> None:
    url = site.put("file", CONTENT)
    assert fetch(url, checksum=MD5).read_bytes() == CONTENT
    assert left(tmp_path) == ["file"]
    sha = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
    assert fetch(url, checksum=sha).read_bytes() == CONTENT
    assert len(site.asked) == 1  # what is there and fits is not fetched again
    other = site.put("other", b"other")
    fetch(other, checksum="md5:" + hashlib.md5(b"other").hexdigest())
    assert (tmp_path / "file").read_bytes() == b"other"


def test_an_empty_file(site, fetch, tmp_path) -> None:
    assert fetch(site.put("file", b"")).read_bytes() == b""
    assert left(tmp_path) == ["file"]


def test_a_cut_connection_is_resumed(site, fetch, tmp_path) -> None:
    site.cut = 4000
    assert fetch(site.put("file", CONTENT), checksum=MD5, attempts=3).read_bytes() == CONTENT
    assert site.asked == [None, "bytes=4000-", "bytes=8000-"]
    assert left(tmp_path) == ["file"]


def test_the_next_call_goes_on(site, fetch, tmp_path) -> None:
    site.cut = 4000
    url = site.put("file", CONTENT)
    with pytest.raises(DownloadError, match=r"1 attempts.*ended after 4,000 bytes"):
        fetch(url, attempts=1)
    assert not (tmp_path / "file").exists()
    site.cut = None
    assert fetch(url, checksum=MD5).read_bytes() == CONTENT
    assert site.asked == [None, "bytes=4000-"]
    assert left(tmp_path) == ["file"]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_file_that_changed_meanwhile_starts_anew(site, fetch, ranges) -> None:
    site.cut = 4000
    url = site.put("file", CONTENT)
    with pytest.raises(DownloadError):
        fetch(url, attempts=1)
    changed = CONTENT[::-1]
    site.put("file", changed)
    site.cut, site.etag, site.ranges = None, '"two"', ranges
    assert fetch(url).read_bytes() == changed
    assert site.asked == [None, "bytes=4000-"]


def test_another_address_starts_anew(site, fetch) -> None:
    site.cut = 4000
    with pytest.raises(DownloadError):
        fetch(site.put("file", CONTENT), attempts=1)
    site.cut = None
    assert fetch(site.put("mirror", CONTENT[::-1])).read_bytes() == CONTENT[::-1]
    assert site.asked == [None, None]


@pytest.mark.parametrize("how", ["no ranges", "no version", "weak version"])
def test_a_server_that_cannot_resume_is_asked_for_everything(site, fetch, how) -> None:
    site.cut, site.ranges = 4000, how != "no ranges"
    site.etag = {"no version": None, "weak version": 'W/"one"'}.get(how, site.etag)
    url = site.put("file", CONTENT)
    with pytest.raises(DownloadError, match="4,000 bytes"):
        fetch(url)
    site.cut = None
    assert fetch(url, checksum=MD5).read_bytes() == CONTENT
    assert set(site.asked) <= ({None, "bytes=4000-"} if how == "no ranges" else {None})


def test_a_date_serves_as_version(site, fetch) -> None:
    site.cut, site.etag = 6000, None
    site.headers = {"Last-Modified": "Mon, 23 Nov 2026 10:00:00 GMT"}
    url = site.put("file", CONTENT)
    with pytest.raises(DownloadError):
        fetch(url, attempts=1)
    assert fetch(url, attempts=1).read_bytes() == CONTENT
    assert site.asked == [None, "bytes=6000-"]
    fetch(url).unlink()
    with pytest.raises(DownloadError):
        fetch(url, attempts=1)
    site.files["file"], site.cut = CONTENT[::-1], None
    site.headers = {"Last-Modified": "Tue, 24 Nov 2026 10:00:00 GMT"}
    assert fetch(url, attempts=1).read_bytes() == CONTENT[::-1]  # all of the new one


def test_all_but_the_end_had_arrived(site, fetch, tmp_path) -> None:
    site.cut = len(CONTENT) - 1
    url = site.put("file", CONTENT)
    with pytest.raises(DownloadError):
        fetch(url, attempts=1)
    with open(tmp_path / ".file.part", "ab") as part:
        part.write(CONTENT[-1:])  # as if the process had been killed right before the end
    assert fetch(url, checksum=MD5).read_bytes() == CONTENT
    assert site.asked == [None, f"bytes={len(CONTENT)}-"]


def test_a_wrong_beginning_is_fetched_again(site, fetch, tmp_path) -> None:
    site.cut = 4000
    url = site.put("file", CONTENT)
    with pytest.raises(DownloadError):
        fetch(url, attempts=1)
    part = tmp_path / ".file.part"
    part.write_bytes(b"\0" * part.stat().st_size)  # as after a loss of power
    site.cut = None
    assert fetch(url, checksum=MD5).read_bytes() == CONTENT


def test_a_wrong_checksum_leaves_nothing(site, fetch, tmp_path) -> None:
    url = site.put("file", CONTENT + b"!")
    with pytest.raises(DownloadError, match=f"checksum is md5:[0-9a-f]{{32}} instead of {MD5}"):
        fetch(url, checksum=MD5)
    assert left(tmp_path) == []
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(DownloadError):
        fetch(url, checksum=MD5)
    assert (tmp_path / "file").read_bytes() == b"mine"


def test_a_stalled_server_is_left(site, fetch) -> None:
    site.cut, site.stall = 4000, 0.6
    with pytest.raises(DownloadError, match=r"sent nothing for 0\.1 seconds after 4,000 bytes"):
        fetch(site.put("file", CONTENT), timeout=0.1, attempts=1)


def test_a_server_that_never_answers_is_left(site, fetch) -> None:
    site.gate = threading.Event()
    with pytest.raises(DownloadError, match=r"sent nothing for 0\.1 seconds after 0 bytes"):
        fetch(site.put("file", CONTENT), timeout=0.1)
    site.gate.set()


def test_trouble_of_the_server_is_waited_for(site, fetch) -> None:
    site.fail = [503, 500]
    url = site.put("file", CONTENT)
    assert fetch(url, attempts=3, checksum=MD5).read_bytes() == CONTENT
    site.fail = [503, 503]
    with pytest.raises(DownloadError, match="answered 503"):
        fetch(url, checksum="md5:" + 32 * "0")


def test_what_is_not_there_is_not_asked_for_again(site, fetch, tmp_path) -> None:
    with pytest.raises(DownloadError, match=r"/absent cannot be fetched: .*answered 404 Not Found"):
        fetch(f"{site.url}/absent")
    assert len(site.asked) == 1
    assert left(tmp_path) == []


def test_an_answer_without_a_file(site, fetch, tmp_path) -> None:
    site.fail = [204]
    with pytest.raises(DownloadError, match="the server answered 204"):
        fetch(site.put("file", CONTENT))
    assert left(tmp_path) == []


def test_redirections_stay_on_the_web(site, fetch) -> None:
    target = site.put("file", CONTENT)
    redirect = site.put("redirect", target.encode())
    site.cut = 4000
    assert fetch(redirect, checksum=MD5, attempts=3).read_bytes() == CONTENT
    assert [asked for asked in site.asked if asked] == 2 * ["bytes=4000-"] + 2 * ["bytes=8000-"]
    for elsewhere in (b"file:///etc/passwd", b"ftp://127.0.0.1/file"):
        site.put("redirect", elsewhere)
        with pytest.raises(DownloadError, match="not allowed|leads on to ftp"):
            fetch(redirect, checksum="md5:" + 32 * "0")


def test_the_bar_counts_bytes(site, fetch, capsys, monkeypatch) -> None:
    monkeypatch.setattr("recae.system.progress.DELAY", 0)
    fetch(site.put("file", CONTENT), progress=True)
    said = capsys.readouterr().err
    assert "fetching file: 100%" in said and "10.2k/10.2k" in said
