"""Digests of files and of JSON, stored beside them and verified on reading."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from recae.errors import RecaeError
from recae.system.files import plain
from recae.system.machine import cores
from recae.system.safely import check_file

LANES = 4099
"""Sums of a part of a file: a prime, so that they change if pages change places."""

PART = 256 * LANES * 8
"""Bytes of such a part, 8 MB."""


TEXTS = 1 << 16
"""Texts that are hashed at a time."""


def sha256(content: bytes | Path) -> str:
    """The SHA-256 of bytes or of a file, 64 hexadecimal digits. Raises OSError.

    >>> sha256(b"recae")[:8]
    'acea4bde'
    """
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    with open(content, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def sha256_of_json(content: Any) -> str:
    """The SHA-256 of a value as JSON with sorted keys. White space in a file does not change it."""
    return sha256(json.dumps(content, sort_keys=True, default=plain).encode())


def sha256_of_arrays(*arrays: np.ndarray) -> str:
    """The SHA-256 of numpy arrays, with their dtypes and shapes; object arrays hold text."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{array.dtype} {array.shape} ".encode())
        if array.dtype == object:  # text of any length, as the repr of one list
            found.update(b"[")
            for start in range(0, len(array), TEXTS):
                texts = repr(array[start : start + TEXTS].tolist())[1:-1]
                found.update((", " if start else "").encode() + texts.encode())
            found.update(b"]")
        else:
            found.update(np.ascontiguousarray(array).view(np.uint8).data)
    return found.hexdigest()


def checksum(path: Path) -> str:
    """64 hexadecimal digits that change with any byte of a file, ten times as fast as SHA-256.

    A part of the file is a table of 64-bit words, LANES wide. This is the SHA-256 of the sums of
    its columns, modulo 2^64, of all parts, and of the number of bytes. It finds damage; somebody
    who wants to can make other bytes with the same checksum. Raises OSError.
    """
    size = path.stat().st_size

    def sums_of(start: int) -> bytes:
        return _sums(np.fromfile(path, np.uint8, PART, offset=start))

    with ThreadPoolExecutor(cores(), "recae-checksum") as threads:
        sums = list(threads.map(sums_of, range(0, size, PART)))
    return sha256(b"".join(sums) + str(size).encode())


def _sums(part: np.ndarray) -> bytes:
    whole = len(part) // (LANES * 8) * (LANES * 8)
    rest = np.zeros(LANES * 8, dtype=np.uint8)
    rest[: len(part) - whole] = part[whole:]
    table = part[:whole].view("<u8").reshape(-1, LANES)
    sums: bytes = (np.add.reduce(table, axis=0) + rest.view("<u8")).astype("<u8").tobytes()
    return sums


def digests(folder: Path) -> dict[str, str]:
    """File name -> SHA-256 of all files of a folder."""
    return {file.name: sha256(file) for file in sorted(folder.iterdir())}


def check_digests(folder: Path, expected: Mapping[str, str]) -> None:
    """Compares the files of a folder with their stored digests.

    All files are looked at before the first is read. Raises ValueError for a name or a link that
    leads out of the folder, for what is no regular file, for a file that is missing and for one
    with another digest.
    """
    for name in sorted(expected):
        check_file(folder, name)
    for name, digest in sorted(expected.items()):
        if sha256(folder / name) != digest:
            raise ValueError(f"{name} is not what was saved: cut short, altered or of another save")


def reason(error: Exception) -> str:
    """The reason of a read error on one line, with the type of errors that are not recae's own."""
    text = " ".join(str(error).split())
    ours = isinstance(error, RecaeError) or type(error) is ValueError
    return text if ours else f"{type(error).__name__}: {text}"
