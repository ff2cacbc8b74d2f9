"""The beginning of a file that is being fetched, kept from one attempt to the next."""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO

from recae.errors import DownloadError, StorageError
from recae.system.machine import __version__

if sys.platform != "win32":  # there, every process fetches into a file of its own
    import fcntl

if TYPE_CHECKING:
    import urllib.request
    from email.message import Message


ABANDONED_SECONDS = 24 * 3600
"""After so long without a byte, a part that cannot be locked is taken for a dead process's."""


class Partial:
    """`.NAME.part` beside NAME, locked; and `.NAME.part.json`, which says of which file it is.

    Who finds it locked waits, and then looks again: the other process may have been successful.
    Where files cannot be locked, each process has a part of its own, which is not resumed.
    """

    def __init__(self, target: Path, url: str) -> None:
        self.target, self.url = target, url
        self.path = target.with_name(f".{target.name}.part")
        self.shared = True
        self._handle: int = -1

    def __enter__(self) -> Partial:
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
        while True:
            self._handle = os.open(self.path, flags, 0o666)
            self.shared = _lock(self._handle)
            if not self.shared:
                if not self.size:
                    self.path.unlink(missing_ok=True)
                os.close(self._handle)
                self._delete_abandoned()
                self.path = self.path.with_name(f".{self.target.name}.{uuid.uuid4().hex[:8]}.part")
                self._handle = os.open(self.path, flags | os.O_EXCL, 0o666)
                return self
            if self._is_current():
                return self
            os.close(self._handle)  # it was moved to its final name, or deleted, meanwhile

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._handle < 0:
            return
        if self._is_current() and not (self.shared and self.size):
            self.discard()  # nothing in it, or nobody would go on from it
        os.close(self._handle)

    @property
    def tag(self) -> Path:
        """Where the address and the version (ETag or date) of the file are noted."""
        return self.path.with_name(f"{self.path.name}.json")

    @property
    def size(self) -> int:
        """The bytes that are here."""
        return os.fstat(self._handle).st_size

    def request(self) -> urllib.request.Request:
        """A request for what is missing; for everything where nothing of use is here."""
        import urllib.request

        headers = {"User-Agent": f"recae/{__version__}", "Accept-Encoding": "identity"}
        version = self._noted().get("version")
        if self.size and version:
            headers |= {"Range": f"bytes={self.size}-", "If-Range": version}
        else:
            self.restart()
        return urllib.request.Request(self.url, headers=headers)

    def begin(self, status: int, headers: Message) -> int | None:
        """Makes ready for the body of an answer; returns the bytes of the whole file, if known."""
        if status not in (200, 206):
            raise DownloadError(f"{self.url} cannot be fetched: the server answered {status}")
        encoding = headers.get("Content-Encoding") or "identity"
        if encoding.lower() != "identity":  # which was not asked for
            raise DownloadError(
                f"{self.url} cannot be fetched: the server sends it as {encoding}, not as it is"
            )
        if status == 206:
            noted = self._noted()
            place = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", headers.get("Content-Range") or "")
            same = _version(headers) == noted.get("version")
            if place is None or int(place[1]) != self.size or not same:
                self.restart()
                raise ConnectionError("the server sent another part than it was asked for")
            if noted.get("total") not in (None, int(place[2])):
                self.restart()
                raise ConnectionError("the server has a file of another length now")
            return int(place[2])
        # All of it: that was asked for, the file has changed, or the server knows no parts.
        self.restart()
        total = _length(headers)
        self._note(_version(headers), total)
        return total

    def is_whole(self, headers: Message) -> bool:
        """Whether the length that a server names when it has no more to send is what is here."""
        if headers.get("Content-Range") == f"bytes */{self.size}":
            return True
        self.restart()
        return False

    def check_space(self, total: int | None) -> None:
        """Raises StorageError if the rest of the file does not fit on the disk."""
        missing = (total or 0) - self.size
        free = shutil.disk_usage(self.target.parent).free
        if missing > free:
            raise StorageError(
                f"could not write {self.target}: {missing:,} more bytes are needed and {free:,} "
                "are free; nothing was changed"
            )

    def open(self) -> BinaryIO:
        """The file, to append to."""
        os.lseek(self._handle, 0, os.SEEK_END)
        return os.fdopen(os.dup(self._handle), "wb")

    def restart(self) -> None:
        """Forgets what is here."""
        os.ftruncate(self._handle, 0)
        self.tag.unlink(missing_ok=True)

    def discard(self) -> None:
        """Deletes what is here."""
        self.restart()
        self.path.unlink(missing_ok=True)

    def publish(self) -> None:
        """Gives the file its final name. Nothing can be done with this object afterwards."""
        if not self.shared:  # some systems do not move open files
            os.close(self._handle)
            self._handle = -1
        os.replace(self.path, self.target)
        self.tag.unlink(missing_ok=True)

    def _delete_abandoned(self) -> None:
        """Deletes the parts that killed processes left where there are no locks."""
        for part in self.target.parent.glob(f".{glob.escape(self.target.name)}.????????.part"):
            with suppress(OSError):
                if time.time() - part.stat().st_mtime > ABANDONED_SECONDS:
                    part.unlink()

    def _is_current(self) -> bool:
        with suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(self._handle), os.stat(self.path))
        return False

    def _note(self, version: str | None, total: int | None) -> None:
        if version and self.shared:
            text = json.dumps({"url": self.url, "version": version, "total": total})
            self.tag.write_text(text, encoding="utf-8")

    def _noted(self) -> dict[str, Any]:
        """What was noted of this file; nothing if that cannot be read or is of another address."""
        with suppress(OSError, ValueError):
            noted = json.loads(self.tag.read_text(encoding="utf-8"))
            if isinstance(noted, dict) and noted.get("url") == self.url:
                return noted if str(noted.get("version")).isprintable() else {}
        return {}


def _length(headers: Message) -> int | None:
    """The bytes that an answer announces, None if it does not."""
    announced = headers.get("Content-Length") or ""
    chunked = headers.get("Transfer-Encoding")  # which counts more (RFC 9112, section 6.3)
    return int(announced) if announced.isdecimal() and not chunked else None


def _version(headers: Message) -> str | None:
    """What tells a changed file: a strong ETag, else the date of the last change."""
    etag = headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else headers.get("Last-Modified")


def _lock(handle: int) -> bool:
    """Waits for the lock of an open file; False where there are no locks."""
    if sys.platform == "win32":
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError:  # a file system without locks
        return False
    return True
