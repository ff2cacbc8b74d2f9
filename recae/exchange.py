"""Two directories change places in one step."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from pathlib import Path

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h
_RENAME_SWAP = 2  # sys/stdio.h of macOS
_UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}


def exchange(first: Path, second: Path) -> None:
    """Gives each of two paths of one file system what the other one holds.

    One step on Linux and macOS (renameat2, renamex_np): whoever looks sees both paths, before or
    after. Where the system or the file system has no such call it is three renames, and a process
    killed between them leaves `second` under a hidden name beside it. Raises OSError.
    """
    try:
        _system_exchange(os.fsencode(first), os.fsencode(second))
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        _rename_thrice(first, second)


def _system_exchange(first: bytes, second: bytes) -> None:
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


def _rename_thrice(first: Path, second: Path) -> None:
    aside = second.with_name(f"{first.name}.old")
    os.replace(second, aside)
    try:
        os.replace(first, second)
    except OSError:
        os.replace(aside, second)
        raise
    os.replace(aside, first)
