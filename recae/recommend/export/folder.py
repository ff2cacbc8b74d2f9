"""The folder of an export while it is written: what is done, what is left, and who writes."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recae.errors import ConfigError, DataError, StorageError, check_flag
from recae.recommend.export.manifest import (
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
from recae.system.files import as_path, atomic_file, exchange, remove_directory
from recae.system.locks import only_writer
from recae.system.safely import parsed
from recae.system.threads import in_threads

PARTS = "part-*.parquet"

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
        for name in (JOURNAL, JOB):
            (self.path / name).unlink(missing_ok=True)
        (self.path / SUCCESS).touch()  # last: nothing is left to tidy up behind it
        return manifest

    def begin(self) -> None:
        """Makes it the folder of this job, without any part."""
        for file in [*self.path.glob(PARTS), self.path / JOURNAL, self.path / MANIFEST]:
            file.unlink(missing_ok=True)
        _write(self.path / JOB, json.dumps(self.job.to_json(), indent=1))

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
        _write(self.path / JOURNAL, "".join(lines))


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
    target = check_folder(path, overwrite=overwrite)
    with _made(target), ExitStack() as held:
        held.enter_context(only_writer(target / LOCK, str(target)))
        names = _names(target)
        if not (overwrite and names & {MANIFEST, SUCCESS}):
            folder = Folder(target, job)
            _sweep(target)
            if names & {MANIFEST, SUCCESS}:
                _repair(folder, names)
            else:
                _take_up(folder, names, overwrite)
            with _nothing_left(folder):
                yield folder
            return
        beside = target.with_name(f".{target.name}.new")
        with _made(beside):
            held.enter_context(only_writer(beside / LOCK, str(target)))
            names = _names(beside)
            folder = Folder(beside, job)
            _sweep(beside)
            if MANIFEST in names or SUCCESS in names:  # an old export that was to be deleted
                (beside / SUCCESS).unlink(missing_ok=True)
                folder.begin()
            else:
                _take_up(folder, names, True)
            with _nothing_left(folder):
                yield folder
        try:
            exchange(beside, target)
        except OSError as error:
            raise StorageError(f"could not replace {target}: {error.strerror}") from error
        remove_directory(beside)
        (target / LOCK).unlink(missing_ok=True)


@contextmanager
def _nothing_left(folder: Folder) -> Iterator[None]:
    """Deletes the job of a folder if an error ends it before its first part is complete."""
    try:
        yield
    except BaseException:
        if not folder.entries:
            for name in (JOURNAL, JOB):
                with suppress(OSError):
                    (folder.path / name).unlink(missing_ok=True)
        raise


def check_folder(path: str | Path, *, overwrite: bool) -> Path:
    """The resolved path. Raises the errors of `folder_of` that do not depend on the job."""
    check_flag("overwrite", overwrite)
    target = as_path(path).resolve()
    if target.exists() and not target.is_dir():
        raise StorageError(f"{target} is a file: name a folder, or a file that ends in .parquet")
    if not target.parent.is_dir():
        raise StorageError(f"cannot make the folder {path}: {target.parent} does not exist")
    names = _names(target)
    if MANIFEST in names and SUCCESS in names and not overwrite:
        _refuse_complete(target, read_manifest(target))
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
    """The files of an export in a folder. Raises StorageError if there are others only."""
    try:
        found = {file.name for file in folder.iterdir()} if folder.is_dir() else set()
    except OSError as error:
        raise StorageError(f"cannot read {folder}: {error.strerror}") from error
    found = {name for name in found if name != LOCK and not name.endswith(".part")}
    if found and not found & {JOB, MANIFEST}:
        raise StorageError(f"{folder} holds no export: name an empty or a new folder")
    return found


def _sweep(folder: Path) -> None:
    """Deletes what a killed process was writing. The caller holds the lock."""
    for leftover in folder.glob(".*.part"):
        shutil.rmtree(leftover, ignore_errors=True)


def _take_up(folder: Folder, names: set[str], overwrite: bool) -> None:
    """Begins a job, or resumes it."""
    if JOB not in names:
        folder.begin()
        return
    wanted = folder.job.to_json()
    try:
        differ = differences(read_json(folder.path, JOB), wanted)
    except DataError:
        if not overwrite:
            raise
        differ = [JOB]
    if not differ:
        folder.resume(_journal(folder.path))
    elif overwrite or not any(folder.path.glob(PARTS)):
        folder.begin()
    else:
        raise _other(folder.path, differ)


def _repair(folder: Folder, names: set[str]) -> None:
    """Takes up a complete export of the same job that lacks some parts."""
    manifest = read_manifest(folder.path)
    if SUCCESS in names:
        _refuse_complete(folder.path, manifest)
    differ = differences(manifest, folder.job.to_json())
    if differ:
        raise _other(folder.path, differ)
    _write(folder.path / JOB, json.dumps(folder.job.to_json(), indent=1))
    folder.resume(manifest["parts"])
    for name in (SUCCESS, MANIFEST):
        (folder.path / name).unlink(missing_ok=True)


def _other(path: Path, differ: list[str]) -> ConfigError:
    return ConfigError(
        f"{path} is of another export (other: {', '.join(differ)}); name another folder, or pass "
        "overwrite=True to begin anew"
    )


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
