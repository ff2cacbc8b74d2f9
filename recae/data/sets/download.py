"""Fetching a file over http(s): resumed after an interruption, checked, and whole or not there."""

from __future__ import annotations

import errno
import hashlib
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO

from recae.data.sets.partial import Partial
from recae.errors import ConfigError, DownloadError, StorageError
from recae.system.progress import bar


def check_address(url: str) -> None:
    """Raises ValueError for a port that is none; connecting would raise something else."""
    urllib.parse.urlsplit(url).port  # noqa: B018


class _Redirect(urllib.request.HTTPRedirectHandler):
    """Follows to http(s) addresses, and never from https to http."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Any,
        url: str,
    ) -> urllib.request.Request | None:
        check_address(url)
        scheme = url.partition(":")[0].lower()
        if scheme not in ("http", "https") or (req.type == "https" and scheme == "http"):
            raise urllib.error.URLError(f"it leads on to {url}, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, url)

    def http_error_302(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any
    ) -> Any:
        try:
            return super().http_error_302(req, fp, code, msg, headers)
        except (ValueError, urllib.error.URLError) as error:
            if not isinstance(error, urllib.error.HTTPError):  # which holds fp, and is closed
                fp.close()
            raise

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def opener() -> urllib.request.OpenerDirector:
    """Opens http and https addresses, by way of the proxies that the environment names."""
    director = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        _Redirect(),
        urllib.request.HTTPErrorProcessor(),
    ):
        director.add_handler(handler)
    return director


if TYPE_CHECKING:  # urllib and what it needs load when something is fetched, not with recae
    from http.client import HTTPResponse

CHUNK = 1 << 18
"""Bytes written at a time."""

TIMEOUT = 30.0
"""Seconds without a byte after which a server counts as stalled."""

ATTEMPTS = 5
"""How often a dying or stalling connection is opened in all."""

BACKOFF = 1.0
"""Seconds before the second attempt; doubled for each further one."""

_AGAIN = (408, 429, 500, 502, 503, 504)


def download(
    url: str,
    target: str | os.PathLike[str],
    *,
    checksum: str | None = None,
    progress: bool | None = None,
    timeout: float = TIMEOUT,
    attempts: int = ATTEMPTS,
    backoff: float = BACKOFF,
) -> Path:
    """The file at an address, under the name `target`, which it takes when it is whole and checked.

    checksum: "md5:..." or "sha256:..." in hexadecimal, or None for any content. A file that is at
    `target` already is kept if it fits. progress: as in `fit`. timeout: seconds without a byte;
    attempts: connections in all, the second `backoff` seconds after the first has died, then twice
    as long each time. What arrived of a file that did not get here whole stays beside `target`, in
    `.NAME.part`, and the next call goes on from there if the server still has the same file (by its
    ETag or date). Two processes that want the same file wait for each other.

    Raises DownloadError, with the address and the reason: no http(s) address, unreachable host,
    refused, missing, stalled or cut off each time, other content than the checksum; StorageError
    where writing fails.
    """
    path = Path(target).resolve()
    _check(url, checksum, timeout, attempts)
    if path.is_dir():
        raise StorageError(f"{path} is a directory: name a file to write")
    if not path.parent.is_dir():
        raise StorageError(f"the folder {path.parent} does not exist: create it first")
    if fits(path, checksum):
        return path
    try:
        with Partial(path, url) as part:
            if fits(path, checksum):  # somebody else fetched it while this process waited
                return path
            fetching = (url, part, progress, timeout, attempts, backoff, checksum is not None)
            resumed = _fetch(*fetching)
            if not _same(part.path, checksum) and resumed:  # the first half may be the wrong one
                part.restart()
                _fetch(*fetching)
            if not _same(part.path, checksum):
                found = digest(part.path, checksum or "sha256:")
                part.discard()
                raise DownloadError(
                    f"{url} is not the expected file: its checksum is {found} instead of "
                    f"{checksum}; nothing was kept. The publisher may have replaced it"
                )
            part.publish()
    except OSError as error:
        if isinstance(error, DownloadError | StorageError):
            raise
        raise StorageError(f"could not write {path}: {error.strerror or error}") from error
    return path


def digest(path: Path, kind: str) -> str:
    """The checksum of a file, "md5:..." or "sha256:..."; `kind` begins with one of those words."""
    name = kind.partition(":")[0]
    with open(path, "rb") as file:
        return f"{name}:{hashlib.file_digest(file, lambda: _hash(name)).hexdigest()}"


def fits(path: Path, checksum: str | None) -> bool:
    """Whether there is a file with this checksum, or any file where there is none to compare."""
    return path.is_file() and _same(path, checksum)


def _same(path: Path, checksum: str | None) -> bool:
    return checksum is None or digest(path, checksum) == checksum.lower()


def _hash(name: str) -> hashlib._Hash:
    return hashlib.new(name, usedforsecurity=False)


def _check(url: str, checksum: str | None, timeout: float, attempts: int) -> None:
    if not timeout > 0 or not attempts >= 1:
        raise ConfigError(f"timeout must be > 0 and attempts >= 1, not {timeout} and {attempts}")
    if not url.lower().startswith(("http://", "https://")):
        raise DownloadError(f"{url!r} is no http or https address; nothing else is fetched")
    if checksum is not None:
        name, _, digits = checksum.partition(":")
        if {"md5": 32, "sha256": 64}.get(name) != len(digits):
            raise ConfigError(f"a checksum is md5: and 32 or sha256: and 64 digits, not {checksum}")


def _fetch(
    url: str,
    part: Partial,
    progress: bool | None,
    timeout: float,
    attempts: int,
    backoff: float,
    checked: bool,
) -> bool:
    """Writes the file to `part`; True if the beginning of it was there before. An attempt that has
    brought something does not count. checked: a checksum will show whether it is whole."""
    import http.client

    resumed, failed = part.size > 0, 0
    while failed < attempts:
        before = part.size
        try:
            if _attempt(url, part, progress, timeout, checked):
                return resumed
            trouble = f"it ended after {part.size:,} bytes, before its announced end"
        except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
            trouble = f"{_reason(error, timeout)} after {part.size:,} bytes"
        failed = 1 if part.size > before else failed + 1
        if failed < attempts:
            time.sleep(backoff * 2 ** (failed - 1))
    raise DownloadError(
        f"{url} could not be fetched in {attempts} attempts; the last time {trouble}. Call again "
        "to go on from there"
    )


def _attempt(url: str, part: Partial, progress: bool | None, timeout: float, checked: bool) -> bool:
    """One connection; True if the file is whole then. Raises what ends the connection early."""
    import http.client
    import urllib.error

    pass

    try:
        check_address(url)
        response: HTTPResponse = opener().open(part.request(), timeout=timeout)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416:  # there is nothing behind what is here
                return part.is_whole(error.headers)
            if error.code in _AGAIN:
                raise ConnectionError(f"the server answered {error.code} {error.reason}") from None
            raise DownloadError(
                f"{url} cannot be fetched: the server answered {error.code} "
                + " ".join(str(error.reason).split())
            ) from None
    except (http.client.InvalidURL, ValueError) as error:  # UnicodeError is a ValueError
        raise DownloadError(f"{url} is no address, or leads to none: {error}") from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError | ConnectionResetError | ConnectionAbortedError):
            raise error.reason from None
        if part.size and isinstance(error.reason, OSError):  # it was there a moment ago
            raise ConnectionError(f"it cannot be reached: {error.reason}") from None
        raise DownloadError(f"{url} cannot be reached: {error.reason}") from None
    with response:
        total = part.begin(response.status, response.headers)
        if total is None and not checked and not response.headers.get("Transfer-Encoding"):
            raise DownloadError(
                f"{url} cannot be fetched: the server does not say how long it is, and without a "
                "checksum nothing would tell if it were cut off"
            )
        part.check_space(total)
        what = f"fetching {part.target.name}"
        with (
            part.open() as file,
            bar(total, what, "B", progress, initial=part.size) as shown,
        ):
            while data := _read(response):
                _write(file, data, part)
                shown.update(len(data))
            os.fsync(file.fileno())
    return total is None or part.size == total


def _read(response: HTTPResponse) -> bytes:
    try:
        return response.read1(CHUNK)
    except (TimeoutError, ConnectionError):
        raise
    except OSError as error:  # such as those of TLS; not to be taken for trouble with the disk
        raise ConnectionError(str(error)) from error


def _write(file: BinaryIO, data: bytes, part: Partial) -> None:
    try:
        file.write(data)
        file.flush()  # so that a killed process loses nothing of it
    except OSError as error:
        if error.errno == errno.ENOSPC:  # a full disk is not helped by half a file
            part.discard()
        raise StorageError(
            f"could not write {part.target}: {error.strerror or error}; nothing was changed"
        ) from error


def _reason(error: Exception, timeout: float) -> str:
    if isinstance(error, TimeoutError):
        return f"the server sent nothing for {timeout:g} seconds"
    return f"the connection broke off ({' '.join(str(error).split()) or type(error).__name__})"
