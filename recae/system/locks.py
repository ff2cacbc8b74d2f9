"""A lock that one process holds, and that the system releases when the process ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from recae.errors import StorageError

if sys.platform != "win32":  # there, nothing keeps two processes apart
    import fcntl


@contextmanager
def only_writer(file: Path, what: str) -> Iterator[None]:
    """Holds the lock of a file, which is made, and deleted afterwards.

    what: what is written, for the message. Raises StorageError if another process, or another call
    in this one, holds it, and where the file cannot be made.
    """
    while True:
        try:
            handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise StorageError(f"cannot write to {file.parent}: {error.strerror}") from error
        try:
            if not _taken(handle):
                raise StorageError(f"another process is writing {what}: wait until it has ended")
            if not _same(handle, file):  # its last holder has deleted it meanwhile
                continue
            try:
                yield
            finally:
                with suppress(OSError):  # the folder may have a new name, or be gone
                    if _same(handle, file):
                        file.unlink()
            return
        finally:
            os.close(handle)


def _taken(handle: int) -> bool:
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _same(handle: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(file))
    except OSError:
        return False
