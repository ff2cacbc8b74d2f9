"""Atomic writes of files and directories: an interrupted call leaves the old or the new state."""

from __future__ import annotations

import glob
import os
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from recae.errors import ConfigError, RecaeError, StorageError, check_flag
from recae.system.exchange import exchange
from recae.system.locks import take_lock

PICTURES, PAGES, TABLES = (".png",), (".html", ".htm"), (".parquet", ".pq")
"""The endings of the files that are written in more than one place."""
STALE_SECONDS = 60
"""Temporary folders of killed writers are deleted by the next writer when they are older."""


@contextmanager
def atomic_file(
    path: str | Path, *, overwrite: bool, endings: Sequence[str] = ()
) -> Iterator[Path]:
    """Yields a path to write to, in a hidden folder beside `path`; the file then becomes `path`.

    overwrite, endings: as in `check_target`, which is asked before the block and after it. If the
    block fails, `path` is unchanged. (A folder, because some writers leave temporary files in it
    when they are killed.) The file has the permissions of the umask. Raises StorageError also for
    no permission or a full disk.
    """
    check_target(path, overwrite=overwrite, endings=endings)
    with atomic_files([path], overwrite=overwrite) as (file,):
        yield file


@contextmanager
def atomic_files(paths: Sequence[str | Path], *, overwrite: bool) -> Iterator[list[Path]]:
    """`atomic_file` for several files of one folder, which appear in their order, one by one.

    All are written before the first appears. Yields the paths to write to, in one hidden folder.
    """
    targets = [check_target(path, overwrite=overwrite) for path in paths]
    with _beside(targets[-1]) as part:
        files = [part / target.name for target in targets]
        yield files
        for path, file in zip(paths, files, strict=True):
            _sync(file)
            check_target(path, overwrite=overwrite)  # something may have appeared meanwhile
        for file, target in zip(files, targets, strict=True):
            os.replace(file, target)


@contextmanager
def atomic_directory(path: str | Path, *, overwrite: bool, marker: str) -> Iterator[Path]:
    """Yields an empty directory beside `path` that becomes `path` when the block succeeds.

    An existing `path` is replaced if it is an empty directory, or with `overwrite` if it is a
    directory with a file named `marker`: foreign directories are never deleted. If the block fails,
    `path` stays as it was. Raises StorageError for every other path, no permission or a full disk.
    """
    target = _target(path)
    _check_replaceable(target, overwrite, marker)
    with _beside(target) as part:
        yield part
        for file in part.iterdir():
            _sync(file)
        if target.exists():
            exchange(part, target)  # the old directory is now at `part` and is deleted
        else:
            os.replace(part, target)


@contextmanager
def resumable_directory(
    path: str | os.PathLike[str], *, overwrite: bool, marker: str
) -> Iterator[Path]:
    """As `atomic_directory`, for work of hours: a killed or interrupted block leaves its directory,
    and the next call finds what is in it.

    Yields a hidden directory beside `path`, always of the same name and locked; the block fills its
    subdirectory "done", which becomes `path`. An error of the block deletes the directory. Raises
    StorageError also where another process has the lock.
    """
    target = _target(path)
    _check_replaceable(target, overwrite, marker)
    work = target.with_name(f".{target.name}.unfinished.part")
    handle = None
    try:
        handle = _locked_directory(work)
        if handle is None:
            raise StorageError(
                f"another process is writing {target}: wait for it, or name another place"
            )
        _check_replaceable(target, overwrite, marker)  # it may have been written meanwhile
        try:
            (work / "done").mkdir(exist_ok=True)
            yield work
            for file in (work / "done").iterdir():
                _sync(file)
            _check_replaceable(target, overwrite, marker)
            if target.exists():
                exchange(work / "done", target)
            else:
                os.replace(work / "done", target)
        except Exception:
            _discard(work, target)
            raise
        _discard(work, target)
        _settle(target)
    except OSError as error:
        if isinstance(error, RecaeError):
            raise
        reason = error.strerror or error
        raise StorageError(f"could not write {target}: {reason}; nothing was changed") from error
    finally:
        if handle is not None:
            os.close(handle)


def _locked_directory(work: Path) -> int | None:
    """A directory, made if it does not exist, open and locked; None where another process has it.
    The system releases the lock of a killed process."""
    while True:
        work.mkdir(exist_ok=True)
        try:
            handle = os.open(work, os.O_RDONLY)
        except FileNotFoundError:  # another process has just finished
            continue
        try:
            if take_lock(handle) is False:
                os.close(handle)
                return None
            if os.path.samestat(os.fstat(handle), os.stat(work)):
                return handle
        except FileNotFoundError:
            pass
        os.close(handle)


def _check_replaceable(target: Path, overwrite: bool, marker: str) -> None:
    """Raises StorageError for a path that is neither free, nor an empty directory, nor, with
    `overwrite`, a directory with a file named `marker`."""
    check_flag("overwrite", overwrite)
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not (target / marker).is_file():
        raise StorageError(f"{target} exists and holds no {marker}: name another place")
    if not overwrite:
        raise StorageError(
            f"{target} exists: pass overwrite=True to replace it, or name another place",
            parameter="overwrite",
            value=overwrite,
        )


def remove_directory(path: Path) -> None:
    """Deletes a directory atomically: it is first renamed to a hidden name."""
    _discard(path, path)
    _settle(path)


def _discard(directory: Path, target: Path) -> None:
    """Deletes a directory atomically, under a hidden name beside a target. Never fails."""
    aside = _sibling(target)
    with suppress(OSError):
        os.rename(directory, aside)
    shutil.rmtree(aside, ignore_errors=True)


def plain(value: Any) -> Any:
    """Numpy scalars as plain numbers: the `default` of `json.dumps`."""
    numpy = sys.modules.get("numpy")  # not imported here: the command line starts without it
    if numpy is not None and isinstance(value, numpy.generic):
        return value.item()
    raise TypeError(f"cannot write {type(value).__name__} as JSON")


def as_path(path: object) -> Path:
    """The value as a Path. Raises ConfigError for anything but a path."""
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else ""
    with suppress(UnicodeEncodeError):  # half of a surrogate pair
        if isinstance(text, str) and "\0" not in text and os.fsencode(text):
            return Path(text)
    raise ConfigError(f"a path is needed, not {path!r}")


def resolved(path: object) -> Path:
    """The absolute path of something to write, whose links are followed.

    Raises ConfigError for anything but a path; StorageError for a circle of links, a name that is
    too long, and a folder that may not be looked into.
    """
    given = as_path(path)
    try:
        found = given.resolve()
        with suppress(FileNotFoundError, NotADirectoryError):
            found.stat()  # raises for a path that no file can have; exists() does not in 3.14
    except (OSError, RuntimeError) as error:  # RuntimeError: a circle, before Python 3.13
        raise StorageError(
            f"cannot write {given}: {getattr(error, 'strerror', None) or error}: name another place"
        ) from error
    return found


def check_target(path: str | Path, *, overwrite: bool, endings: Sequence[str] = ()) -> Path:
    """The resolved path of a file to write. Everything that writes a file asks this first.

    overwrite: whether a file that is there may be replaced. endings: those of the format, such as
    (".parquet", ".pq"), in any case of letters; "" allows a name without one. Raises ConfigError
    for another ending, and StorageError for a file that is there (without `overwrite`), a directory
    or a device in the way, and a folder that is missing or cannot be written to.
    """
    check_flag("overwrite", overwrite)
    target = _target(path)
    if target.is_dir():
        raise StorageError(f"{target} is a directory: name a file to write")
    if endings and as_path(path).suffix.lower() not in endings:
        wanted = " or ".join(ending or "have no ending" for ending in endings)
        raise ConfigError(f"the file {path} must end in {wanted}", parameter="path", value=path)
    if target.exists() and not target.is_file():
        raise StorageError(f"{target} is a device or a pipe: name a file to write")
    if target.exists() and not overwrite:
        raise StorageError(
            f"{target} exists: pass overwrite=True to replace it, or name another file",
            parameter="overwrite",
            value=overwrite,
        )
    check_writable(target.parent)
    return target


def check_writable(folder: Path) -> None:
    """Raises StorageError for a folder in which no file can be made. It leaves none there."""
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be written to ({error.strerror}): name another place"
        ) from None


def check_apart(
    outputs: Iterable[str | os.PathLike[str]], inputs: Iterable[str | os.PathLike[str]]
) -> None:
    """Raises StorageError if a file to write is one to read, or lies in a folder to read.

    Links are followed, and a hard link is the same file. `overwrite` does not allow it: the data
    would be lost, or the result would be read as data the next time. Two outputs must differ too.
    """
    read, written = [as_path(path) for path in inputs], list[Path]()
    for path in map(as_path, outputs):
        target = resolved(path)
        for source in read:
            if _same(target, source):
                raise StorageError(f"{path} is read here: name another place to write to")
            if os.path.isdir(source) and source.resolve() in target.parents:
                raise StorageError(
                    f"{path} lies in {source}, which is read here: name a place outside it"
                )
        if target in written:
            raise StorageError(f"{path} would be written twice: name two places")
        written.append(target)


def _same(target: Path, source: Path) -> bool:
    with suppress(OSError):
        if os.path.samefile(target, source):
            return True
    with suppress(OSError, RuntimeError):  # a circle of links; whoever reads it says so
        return target == source.resolve()
    return False


def _target(path: str | os.PathLike[str]) -> Path:
    target = resolved(path)  # a link stays a link, to the written file
    if not target.parent.is_dir():
        raise StorageError(
            f"cannot write {path}: the folder {target.parent} does not exist: create it first"
        )
    return target


def _sibling(target: Path) -> Path:
    return target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A hidden folder beside the target to write in, deleted afterwards; OSErrors become
    StorageErrors. It is locked meanwhile, and the system releases the lock of a killed writer."""
    part = _sibling(target)
    try:
        part.mkdir()
        handle = os.open(part, os.O_RDONLY)
        try:
            take_lock(handle)
            yield part
        finally:
            os.close(handle)
        _settle(target)
    except OSError as error:
        if isinstance(error, RecaeError):
            raise
        reason = error.strerror or error
        raise StorageError(f"could not write {target}: {reason}; nothing was changed") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _settle(target: Path) -> None:
    """After a rename: syncs the folder to disk and deletes old leftovers. Never fails."""
    with suppress(OSError):
        _sync(target.parent)
    _delete_leftovers(target)


def _delete_leftovers(target: Path) -> None:
    """Deletes temporary folders of killed writers of the same target, unless their lock is held.
    Where there are no locks, they stay."""
    for part in target.parent.glob(f".{glob.escape(target.name)}.????????.part"):
        with suppress(OSError):
            handle = os.open(part, os.O_RDONLY)
            try:
                abandoned = take_lock(handle) and time.time() - part.stat().st_mtime > STALE_SECONDS
            finally:
                os.close(handle)
            if abandoned:
                shutil.rmtree(part) if part.is_dir() else part.unlink()


def _sync(path: Path) -> None:
    """Waits until a file or folder is on the disk, with the permissions that the umask gives.

    Some writers, such as safetensors, keep their files from everybody else. The folder that
    `_beside` made has the bits that the umask leaves.
    """
    if path.is_file():
        path.chmod(path.parent.stat().st_mode & 0o666)
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
