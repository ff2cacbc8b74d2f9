"""Writing that either happens whole or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

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
        _take_place(part, target)
    except OSError as error:
        raise _storage_error(target, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def plain(value: Any) -> Any:
    """Numpy scalars as plain numbers: the `default` of `json.dumps`."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"cannot write {type(value).__name__} as JSON")


def _take_place(part: Path, target: Path) -> None:
    """Renames a directory to `target`; what was there is deleted, or put back if that fails."""
    if not target.exists():
        os.replace(part, target)
        return
    old = _sibling(target, "old")
    os.replace(target, old)
    try:
        os.replace(part, target)
    except OSError:
        os.replace(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _target(path: str | Path) -> Path:
    target = Path(path).resolve()  # a link stays a link, to what is written
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
