"""Writing that either happens whole or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recae.errors import StorageError


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Yields a path beside `path` to write to; it takes `path`'s place when the block succeeds.

    A file that was at `path` is replaced then, and stays as it was if the block fails. Raises
    StorageError for a missing folder, a directory in the way, no permission or a full disk.
    """
    target = _target(path)
    if target.is_dir():
        raise StorageError(f"{target} is a directory: name a file to write")
    part = _sibling(target, "part")
    try:
        yield part
        _sync(part)
        os.replace(part, target)
    except OSError as error:
        raise _storage_error(target, error) from error
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: str | Path, *, overwrite: bool, marker: str) -> Iterator[Path]:
    """Yields an empty directory beside `path` that becomes `path` when the block succeeds.

    An existing `path` is only replaced with `overwrite` and if it is a directory that holds a file
    named `marker`, so that nothing foreign is ever deleted; it stays as it was if the block fails.
    Raises StorageError otherwise.
    """
    target = _target(path)
    if target.exists():
        if not (target / marker).is_file():
            raise StorageError(f"{target} exists and holds no {marker}: name another place")
        if not overwrite:
            raise StorageError(f"{target} exists: pass overwrite=True or name another place")
    part = _sibling(target, "part")
    try:
        part.mkdir()
        yield part
        for file in part.iterdir():
            _sync(file)
        if target.exists():
            old = _sibling(target, "old")
            os.replace(target, old)
            os.replace(part, target)
            shutil.rmtree(old)
        else:
            os.replace(part, target)
    except OSError as error:
        raise _storage_error(target, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _target(path: str | Path) -> Path:
    target = Path(path).absolute()
    if not target.parent.is_dir():
        raise StorageError(f"the folder {target.parent} does not exist: create it first")
    return target


def _sibling(target: Path, role: str) -> Path:
    return target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.{role}")


def _sync(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def _storage_error(target: Path, error: OSError) -> StorageError:
    if isinstance(error, StorageError):
        return error
    return StorageError(f"could not write {target}: {error.strerror or error}; nothing was changed")
