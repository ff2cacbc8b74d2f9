"""Where the files of named data sets are, and how they get there."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from recae.data.sets.cards import UNPINNED, Card, by_hand
from recae.data.sets.download import digest, download
from recae.errors import DataError, StorageError, warn
from recae.system.files import atomic_file

PIN = ".sha256"
"""The ending of the file beside a download that keeps the checksum it had at first."""


def cache_folder() -> Path:
    """The folder that holds a folder for each set: RECAE_DATA, else below the user's caches."""
    chosen = os.environ.get("RECAE_DATA")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        caches = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        caches = Path.home() / "Library" / "Caches"
    else:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "recae"


def missing_files(card: Card, folder: Path) -> list[str]:
    """The files of a set that are not in its folder."""
    return [name for name in card["files"] if not (folder / name).is_file()]


def provide_files(card: Card, folder: Path, fetch: bool, progress: bool | None) -> None:
    """All files of a set are in `folder` afterwards, with the right checksums; fetches others.

    A file of which no checksum is published is compared with the one it had when it was first read.
    Raises DataError: a file is missing and must not or cannot be fetched, or is another one;
    DownloadError and StorageError as `download` does.
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
            wanted = _pinned(_pin(path))
            where = f"{_pin(path).name} beside it has, from when it was first read,"
            _compare(path, wanted, where, "Delete both to take what is published now")


def unpinned_files(card: Card, folder: Path) -> list[Path]:
    """The files of which no checksum is known, neither to the card nor from an earlier time."""
    paths = [folder / name for name, file in card["files"].items() if file["checksum"] == UNPINNED]
    return [path for path in paths if not _pin(path).is_file()]


def pin_files(paths: list[Path]) -> None:
    """Notes the checksums of files that have been read and are what their card says."""
    for path in paths:
        if os.access(path.parent, os.W_OK):
            found = digest(path, "sha256:")
            with atomic_file(_pin(path)) as part:
                part.write_text(f"{found}\n", encoding="utf-8")
            warn(
                f"no checksum of {path.name} is known to its card; this copy has {found}, which is "
                f"noted in {_pin(path)} and compared from now on"
            )


def _pin(path: Path) -> Path:
    return path.with_name(path.name + PIN)


def _pinned(pin: Path) -> str:
    text = pin.read_text(encoding="utf-8", errors="replace").strip()
    if not re.fullmatch("sha256:[0-9a-f]{64}", text):
        raise DataError(f"{pin} does not hold a checksum: delete it to have it written anew")
    return text


def _compare(path: Path, wanted: str, where: str, remedy: str) -> None:
    found = digest(path, wanted)
    if found != wanted.lower():
        raise DataError(
            f"{path} is damaged or another file: its checksum is {found}, {where} {wanted}. "
            f"{remedy}"
        )
