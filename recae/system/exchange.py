"""Two directories change places, in one step where the system can."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
from pathlib import Path

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h
_RENAME_SWAP = 2  # sys/stdio.h of macOS
_UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}


def exchange(first: Path, second: Path) -> None:
    """Swaps two paths of one file system.

    Atomic on Linux and macOS (renameat2, renamex_np). Elsewhere it takes three renames; a process
    that is killed between them leaves `second` under another name, see `undo_exchange`. Raises
    OSError.
    """
    try:
        _system_exchange(os.fsencode(first), os.fsencode(second))
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        _rename_thrice(first, second)


def _system_exchange(first: bytes, second: bytes) -> None:
    """Exchanges two paths by one call of the system. Raises OSError where it has no such call."""
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "darwin":
            failed = library.renamex_np(first, second, _RENAME_SWAP)
        else:
            failed = library.renameat2(_AT_FDCWD, first, _AT_FDCWD, second, _RENAME_EXCHANGE)
    except (AttributeError, TypeError, OSError):  # no such function, or no libc to look into
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS)) from None
    if failed:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def undo_exchange(first: Path, second: Path) -> None:
    """Brings `second` back if a kill between the renames of `exchange` has left it aside.

    Nobody may be exchanging them meanwhile. Raises OSError.
    """
    aside = _aside(first, second)
    if aside.exists() and not second.exists():
        os.rename(aside, second)


def _aside(first: Path, second: Path) -> Path:
    return second.with_name(f"{first.name}.old")


def _rename_thrice(first: Path, second: Path) -> None:
    """Exchanges two paths by three renames, for systems without such a call. A kill in between
    leaves `second` aside, and the next call cleans up."""
    aside = _aside(first, second)
    if aside.exists():  # a kill has left it, after `first` had replaced it
        shutil.rmtree(aside)
    os.replace(second, aside)
    try:
        os.replace(first, second)
    except OSError:
        os.replace(aside, second)
        raise
    os.replace(aside, first)
