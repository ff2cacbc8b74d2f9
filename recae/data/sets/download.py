"""Downloads the files of named data sets once into the cache and verifies their checksums."""

from __future__ import annotations

import hashlib
import os
import re
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from recae.data.sets.cards import UNPINNED, Card, by_hand
from recae.errors import DataError, DownloadError, StorageError, warn
from recae.system.files import atomic_file
from recae.system.progress import bar

PIN = ".sha256"
"""The ending of the file beside a download that holds the checksum of its first version."""

ATTEMPTS, TIMEOUT, CHUNK = 3, 30.0, 1 << 18
"""Connections tried in all, seconds without a byte that end one, bytes written at a time."""

AGAIN = (408, 429, 500, 502, 503, 504)
"""HTTP statuses after which another attempt may succeed."""


def missing_files(card: Card, folder: Path) -> list[str]:
    """The files of a set that are not in its folder."""
    return [name for name in card["files"] if not (folder / name).is_file()]


def provide_files(card: Card, folder: Path, fetch: bool, progress: bool | None) -> None:
    """Downloads the files of a set that are not in `folder`, and compares all checksums.

    A file without a published checksum is compared with the checksum of the first time it was read.
    Raises DataError if a file is missing and must not or cannot be downloaded, or has another
    checksum; DownloadError and StorageError as `download` does.
    """
    missing = missing_files(card, folder)
    if missing and by_hand(card):
        raise DataError(
            f"{card['name']!r} must be fetched by hand; missing in {folder}: {', '.join(missing)}."
            f"\n{card['steps'].strip()}"
        )
    if missing and not fetch:
        addresses = ", ".join(card["files"][name]["url"] for name in missing)
        raise DataError(
            f"the files of {card['name']!r} are not in {folder} (missing: {', '.join(missing)}); "
            f"pass download=True, or put them there from {addresses}"
        )
    if missing:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"could not make {folder}: {error.strerror or error}") from error
    for name, about in card["files"].items():
        path, checksum = folder / name, about["checksum"]
        pinned = None if checksum == UNPINNED else checksum
        if name in missing:
            download(about["url"], path, checksum=pinned, progress=progress)
        elif pinned is not None:
            _compare(path, pinned, "its card has", "Delete it to have it fetched again")
        if pinned is None and _pin(path).is_file():
            where = f"{_pin(path).name} beside it has, from when it was first read,"
            _compare(path, _pinned(path), where, "Delete both to take what is published now")


def download(
    url: str,
    target: Path,
    *,
    checksum: str | None = None,
    progress: bool | None = None,
    timeout: float = TIMEOUT,
    attempts: int = ATTEMPTS,
    pause: float = 1.0,
) -> None:
    """Downloads a file. It gets the name `target` when it is complete and has the checksum, so
    that several processes may download the same file.

    checksum: "md5:..." or "sha256:...", None for any content. progress: as in `fit`. timeout:
    seconds without a byte; attempts: connections in all, with `pause` seconds before the second
    and more before later ones. Redirections are followed to http(s) only, never from https to http.

    Raises DownloadError, with the address and the reason, for a server that cannot be reached, that
    refuses, stalls or closes the connection early, and for another checksum. Raises StorageError if
    writing fails. Neither leaves a file behind.
    """
    import requests  # with pooch it takes half a second to import

    if not url.lower().startswith(("http://", "https://")):
        raise DownloadError(f"{url!r} is not an http or https address; use one of these")
    with atomic_file(target, overwrite=True) as part:
        for attempt in range(1, attempts + 1):
            try:
                _attempt(url, part, target.name, checksum, progress, timeout)
                break
            except (requests.RequestException, ValueError) as error:
                if attempt == attempts or not _may_pass(error):
                    reason = " ".join(str(error).split()) or type(error).__name__
                    raise DownloadError(
                        f"{url} could not be downloaded ({attempt} attempts): {reason}"
                    ) from error
                time.sleep(pause * attempt)
        found = digest(part, checksum or "md5:")
        if checksum is not None and found != checksum.lower():
            raise DownloadError(
                f"{url} is not the expected file: its checksum is {found} instead of {checksum}; "
                "nothing was kept. The publisher may have replaced it"
            )


def _attempt(
    url: str, part: Path, name: str, checksum: str | None, progress: bool | None, timeout: float
) -> None:
    """One connection. Raises exceptions of requests, and DownloadError for a bad answer."""
    import pooch
    import requests

    length: list[int | None] = [None]  # bytes that the answer announces

    def check(response: requests.Response, **_: Any) -> None:
        """Called with every answer, redirections among them, before its body is read."""
        answers.callback(response.close)  # pooch leaves that to the garbage collector
        headers, trouble = response.headers, ""
        # Some servers call a .gz file an encoding of what is in it: it is kept as it comes.
        response.raw.headers.pop("Content-Encoding", None)
        if response.is_redirect:
            there = urljoin(response.url, headers["Location"])
            schemes = ("https:",) if response.url.startswith("https:") else ("http:", "https:")
            if not there.lower().startswith(schemes):
                trouble = f"redirects to {there}, which is not followed"
        elif response.status_code < 400:
            chunked = "Transfer-Encoding" in headers
            length[0] = None if chunked else int(headers.get("Content-Length", -1))
            if response.status_code != 200:
                trouble = f"answered {response.status_code}"
            elif length[0] == -1 and checksum is None:
                trouble = "does not announce a length, and no checksum could show a cut-off file"
        if trouble:
            raise DownloadError(f"{url} cannot be downloaded: the server {trouble}")

    with ExitStack() as answers, bar(1, f"fetching {name}", "B", progress) as progress_bar:
        pooch.HTTPDownloader(
            progressbar=progress_bar,  # whose total it sets
            chunk_size=CHUNK,
            timeout=timeout,
            headers={"Accept-Encoding": "identity", "User-Agent": "recae"},
            hooks={"response": check},
        )(url, str(part), None)
    announced = length[0]
    if announced not in (None, -1, part.stat().st_size):
        raise requests.exceptions.ChunkedEncodingError(
            f"the connection ended after {part.stat().st_size:,} of {announced:,} bytes"
        )


def _may_pass(error: Exception) -> bool:
    """Whether the next attempt may succeed."""
    from requests import exceptions

    if isinstance(error, exceptions.HTTPError):
        return error.response is not None and error.response.status_code in AGAIN
    passing = (exceptions.ConnectionError, exceptions.Timeout, exceptions.ChunkedEncodingError)
    return isinstance(error, passing)


def digest(path: Path, kind: str) -> str:
    """The checksum of a file, "md5:..." or "sha256:..."; `kind` begins with one of those words."""
    name = kind.partition(":")[0]
    new = partial(hashlib.new, name, usedforsecurity=False)
    with open(path, "rb") as file:
        return f"{name}:{hashlib.file_digest(file, new).hexdigest()}"


def unpinned_files(card: Card, folder: Path) -> list[Path]:
    """The files of which neither the card nor a pin beside them has a checksum."""
    paths = [folder / name for name, file in card["files"].items() if file["checksum"] == UNPINNED]
    return [path for path in paths if not _pin(path).is_file()]


def pin_files(paths: list[Path]) -> None:
    """Writes the checksums of files whose counts agree with their card beside them."""
    for path in paths:
        if os.access(path.parent, os.W_OK):
            found = digest(path, "sha256:")
            with atomic_file(_pin(path), overwrite=True) as part:
                part.write_text(f"{found}\n", encoding="utf-8")
            warn(
                f"no checksum of {path.name} is known to its card; this copy has {found}, which is "
                f"noted in {_pin(path)} and compared from now on"
            )


def _pin(path: Path) -> Path:
    return path.with_name(path.name + PIN)


def _pinned(path: Path) -> str:
    text = _pin(path).read_text(encoding="utf-8", errors="replace").strip()
    if not re.fullmatch("sha256:[0-9a-f]{64}", text):
        raise DataError(
            f"{_pin(path)} does not hold a checksum: delete it to have it written again"
        )
    return text


def _compare(path: Path, wanted: str, where: str, remedy: str) -> None:
    found = digest(path, wanted)
    if found != wanted.lower():
        raise DataError(
            f"{path} is damaged or another file: its checksum is {found}, {where} {wanted}. "
            f"{remedy}"
        )
