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
            if take_lock(handle) is False:
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


def take_lock(handle: int) -> bool | None:
    """Takes the lock of an open file or directory, without waiting.

    False if another process, or another handle of this one, has it; None where there are no locks:
    on Windows, and on some file systems (on NFS, directories have none).
    """
    if sys.platform == "win32":
        return None
    else:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return None
        return True


def _same(handle: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(file))
    except OSError:
        return False
