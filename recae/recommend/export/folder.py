"""The folder of an export while it is written: what is done, what is left, and who writes."""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recae.errors import ConfigError, DataError, StorageError, check_flag
from recae.recommend.export.manifest import (
    DIGESTS,
    JOB,
    JOURNAL,
    LOCK,
    MANIFEST,
    SUCCESS,
    Job,
    differences,
    part_name,
    read_json,
    read_manifest,
    sound_entry,
)
from recae.system.digests import sha256
from recae.system.exchange import exchange, undo_exchange
from recae.system.files import atomic_file, remove_directory, resolved
from recae.system.locks import only_writer
from recae.system.safely import parsed
from recae.system.threads import in_threads

PART = re.compile(r"part-[0-9]{5,}\.parquet")
TEMPORARY = re.compile(r"\.((part-|_).*\.)?[^.]+\.part")
"""A folder in which a file of an export is written, or, on a cluster, many of them."""

OWN = {JOB, JOURNAL, MANIFEST, SUCCESS, DIGESTS}

Beside = Callable[[Path], Mapping[str, Any]]
"""Writes another file to a folder of parts; what the manifest says of it."""


class Folder:
    """Parts of one job, some of which may be complete: `entries` describes those, by number."""

    def __init__(self, path: Path, job: Job) -> None:
        self.path, self.job = path, job
        self.entries: dict[int, dict[str, Any]] = {}
        self.adding = threading.Lock()

    @property
    def users_done(self) -> int:
        """The users in complete parts."""
        return sum(entry["users"] for entry in self.entries.values())

    @property
    def todo(self) -> list[int]:
        """The parts that are not complete, ascending."""
        return [part for part in range(self.job.parts) if part not in self.entries]

    def file(self, part: int) -> Path:
        """The file of a part."""
        return self.path / part_name(part)

    def add(self, part: int, counts: Mapping[str, int], digest: str | None = None) -> None:
        """Notes in the journal that the file of a part is complete. Threads may call it.

        digest: its SHA-256, where the process that wrote it has computed it.
        """
        file = self.file(part)
        entry = {
            "file": file.name,
            "first_user": self.job.bounds(part)[0],
            **counts,
            "bytes": file.stat().st_size,
            "sha256": digest or sha256(file),
        }
        with self.adding:
            try:
                with open(self.path / JOURNAL, "a", encoding="utf-8") as journal:
                    journal.write(json.dumps(entry) + "\n")
                    journal.flush()
                    os.fsync(journal.fileno())
            except OSError as error:
                raise StorageError(
                    f"could not write {self.path / JOURNAL}: {error.strerror}"
                ) from error
            self.entries[part] = entry

    def finish(self, beside: Beside | None = None) -> dict[str, Any]:
        """Writes the manifest and `_SUCCESS`; returns the manifest. beside: writes before them."""
        more = {} if beside is None else beside(self.path)
        parts = [self.entries[part] for part in range(self.job.parts)]
        manifest = self.job.to_json() | {
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "rows": sum(entry["rows"] for entry in parts),
            "users_without_rows": sum(entry["users_without_rows"] for entry in parts),
            **more,
            "parts": parts,
        }
        _write(self.path / MANIFEST, json.dumps(manifest, indent=1))
        self._delete(JOURNAL, JOB)
        (self.path / SUCCESS).touch()  # last: nothing is left to tidy up behind it
        return manifest

    def begin(self) -> None:
        """Makes it the folder of this job, without any part."""
        self._delete(SUCCESS, JOURNAL, DIGESTS, *_parts(self.path))
        self._write_job()  # a job or a manifest is there all the time: it is known as an export
        self._delete(MANIFEST)

    def resume(self, entries: list[Any]) -> None:
        """Takes the parts that are as described, and forgets the others."""
        sound = [entry for entry in entries if sound_entry(entry)]
        names = {part_name(part): part for part in range(self.job.parts)}
        sound = [entry for entry in sound if entry["file"] in names]
        whole = in_threads(lambda entry: _is_whole(self.path, entry), sound)
        for entry, good in zip(sound, whole, strict=True):
            if good:
                self.entries[names[entry["file"]]] = entry
        lines = [json.dumps(self.entries[part]) + "\n" for part in sorted(self.entries)]
        self._delete(SUCCESS)
        _write(self.path / JOURNAL, "".join(lines))
        self._write_job()
        self._delete(MANIFEST)

    def clear(self) -> None:
        """Deletes everything of the job."""
        self._delete(SUCCESS, JOURNAL, DIGESTS, *_parts(self.path), MANIFEST, JOB)

    def _delete(self, *names: str) -> None:
        for name in names:
            (self.path / name).unlink(missing_ok=True)

    def _write_job(self) -> None:
        _write(self.path / JOB, json.dumps(self.job.to_json(), indent=1))


@contextmanager
def folder_of(path: str | Path, job: Job, *, overwrite: bool) -> Iterator[Folder]:
    """The folder to write the parts of a job to, which no other process writes to meanwhile.

    It is new, or it holds some complete parts of the same job. overwrite: whether a complete export
    may be replaced; it stays until the new one, written beside it, is complete. Parts of an
    incomplete export of another job are deleted with it.

    Raises StorageError for a place that cannot be written, that holds something else, or a complete
    export without `overwrite`, and where another process writes; ConfigError for an incomplete
    export of another job, naming what differs.
    """
    _restore(resolved(path))
    target = check_folder(path, overwrite=overwrite)
    with _made(target), ExitStack() as held:
        held.enter_context(only_writer(target / LOCK, str(target)))
        if not (overwrite and _is_complete(_names(target))):
            with _taken_up(target, job, overwrite) as folder:
                yield folder
            return
        beside = _beside(target)
        with _made(beside):
            held.enter_context(only_writer(beside / LOCK, str(target)))
            with _taken_up(beside, job, True) as folder:
                yield folder
        _names(target)  # raises if something else has come into it meanwhile
        try:
            exchange(beside, target)
        except OSError as error:
            raise StorageError(
                f"could not replace {target}: {error.strerror}; the new export is in {beside}"
            ) from error
        remove_directory(beside)
        (target / LOCK).unlink(missing_ok=True)


@contextmanager
def _taken_up(path: Path, job: Job, overwrite: bool) -> Iterator[Folder]:
    """A locked folder, of which the sound parts of the same job are kept, and others are deleted.

    If an error ends the block before a part is complete, nothing of the job is left.
    """
    names, folder = _names(path), Folder(path, job)
    for leftover in path.glob(".*.part"):  # of a killed process: this one holds the lock
        if TEMPORARY.fullmatch(leftover.name):
            shutil.rmtree(leftover, ignore_errors=True)
    about, entries = _known(path, names, overwrite)
    if _is_complete(names) and not overwrite:
        _refuse_complete(path, about)
    differ = differences(about, job.to_json())
    if not differ:
        folder.resume(entries)
    elif overwrite or not _parts(path):
        folder.begin()
    else:
        raise ConfigError(
            f"{path} is of another export (other: {', '.join(differ)}); name another folder, or "
            "pass overwrite=True to begin anew"
        )
    try:
        yield folder
    except BaseException:
        if not folder.entries:
            with suppress(OSError):
                folder.clear()
        raise


def _known(path: Path, names: set[str], overwrite: bool) -> tuple[Mapping[str, Any], list[Any]]:
    """The job of the parts in a folder, and what is said of each. With `overwrite` a job that
    cannot be read is none; else this raises DataError."""
    try:
        if MANIFEST in names:
            manifest = read_manifest(path)
            return manifest, manifest["parts"]
        return (read_json(path, JOB), _journal(path)) if JOB in names else ({}, [])
    except DataError as error:
        if overwrite:
            return {}, []
        raise DataError(f"{error}; or pass overwrite=True to begin anew") from error


def check_folder(path: str | Path, *, overwrite: bool) -> Path:
    """The resolved path. Raises the errors of `folder_of` that do not depend on the job."""
    check_flag("overwrite", overwrite)
    target = resolved(path)
    if target.exists() and not target.is_dir():
        raise StorageError(f"{target} is a file: name a folder, or a file that ends in .parquet")
    if not target.parent.is_dir():
        raise StorageError(f"cannot make the folder {path}: {target.parent} does not exist")
    if not _is_complete(_names(target)):
        return target
    if not overwrite:
        _refuse_complete(target, read_manifest(target))
    elif os.path.ismount(target):
        raise StorageError(
            f"{target} is a mount point, which cannot be replaced: name a folder in it"
        )
    return target


def _refuse_complete(path: Path, manifest: Mapping[str, Any]) -> None:
    """Raises StorageError for a complete export that lacks nothing."""
    if all(_has_size(path, entry) for entry in manifest["parts"]):
        raise StorageError(
            f"{path} is a complete export: pass overwrite=True to replace it, or name another "
            "folder",
            parameter="overwrite",
            value=False,
        )


def _beside(target: Path) -> Path:
    """Where the export is written that replaces a complete one."""
    return target.with_name(f".{target.name}.new")


def _restore(target: Path) -> None:
    """Brings a complete export back that a kill has left under another name: see `exchange`."""
    if not target.exists() and (beside := _beside(target)).is_dir():
        with only_writer(beside / LOCK, str(target)):
            undo_exchange(beside, target)


@contextmanager
def _made(path: Path) -> Iterator[None]:
    """Makes a folder. It is deleted again if nothing is written to it."""
    new = not path.exists()
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make the folder {path}: {error.strerror}") from error
    try:
        yield
    finally:
        if new:
            with suppress(OSError):
                path.rmdir()


def _names(folder: Path) -> set[str]:
    """The files of an export in a folder.

    Raises StorageError if there is anything else that a reader would see, which must not be deleted
    with the export, or if it is no export.
    """
    try:
        found = list(os.scandir(folder)) if folder.is_dir() else []
        others = sorted(entry.name for entry in found if _is_foreign(entry))
    except OSError as error:
        raise StorageError(f"cannot read {folder}: {error.strerror}") from error
    if others:
        raise StorageError(
            f"{folder} holds {others[0]}, which is of no export: name an empty or a new folder"
        )
    names = {entry.name for entry in found if entry.name in OWN or PART.fullmatch(entry.name)}
    if names and not names & {JOB, MANIFEST}:
        raise StorageError(f"{folder} holds no export: name an empty or a new folder")
    return names


def _is_foreign(entry: os.DirEntry[str]) -> bool:
    """Whether it is no file of an export, and none that readers skip, such as .DS_Store."""
    if entry.is_dir():
        return not TEMPORARY.fullmatch(entry.name)
    return entry.name[0] not in "._" and not PART.fullmatch(entry.name)


def _is_complete(names: set[str]) -> bool:
    return {MANIFEST, SUCCESS} <= names


def _parts(folder: Path) -> list[str]:
    """The files of parts in a folder."""
    return [file.name for file in folder.iterdir() if PART.fullmatch(file.name)]


def _journal(folder: Path) -> list[Any]:
    """The entries of the journal; a line that a kill cut short is left out."""
    try:
        lines = (folder / JOURNAL).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        with suppress(ValueError, RecursionError):
            found.append(parsed(line))
    return found


def _has_size(folder: Path, entry: Mapping[str, Any]) -> bool:
    try:
        return bool((folder / entry["file"]).stat().st_size == entry["bytes"])
    except OSError:
        return False


def _is_whole(folder: Path, entry: Mapping[str, Any]) -> bool:
    """Whether the file of a part is there with the bytes that were written."""
    try:
        return _has_size(folder, entry) and sha256(folder / entry["file"]) == entry["sha256"]
    except OSError:
        return False


def _write(file: Path, text: str) -> None:
    with atomic_file(file, overwrite=True) as part:
        part.write_text(text, encoding="utf-8")
