"""What each user's list depends on, as 64 bits: the file `_users.digests` of an export."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from recae.data import IdMap, as_ids
from recae.data.csr import row_blocks
from recae.errors import DataError
from recae.ranking.batches import Request
from recae.ranking.top_k import TopK
from recae.recommend.export.manifest import DIGESTS
from recae.recommend.selected import Selected
from recae.system.digests import sha256
from recae.system.files import atomic_file
from recae.system.safely import check_file

ROWS = 1 << 18
"""Rows of a row group."""

USERS = 1 << 14
"""Users whose digests are computed at a time."""

STRANGER = np.uint64(0x9E3779B97F4A7C15)
"""Is added to the digest of somebody of whom nothing is known, and who gets popular items."""

Digests = npt.NDArray[np.uint64]

Rank = Callable[[npt.NDArray[np.int64], int], Iterable[tuple[slice, TopK]]]
"""Ranks some of the users, so many at a time, in their order."""


@dataclass(frozen=True)
class Inputs:
    """What the lists of the users of an export depend on.

    users: their ids, (n,). items: those of the lists. k: rows of a user, at most. rank: ranks some
    of the users. make: makes their digests, see `digests`.
    """

    users: np.ndarray
    items: IdMap
    k: int
    rank: Rank
    make: Callable[[], Digests]

    @cached_property
    def digests(self) -> Digests:
        """A digest for each user, (n,)."""
        return self.make()

    def write(self, folder: Path) -> dict[str, Any]:
        """Writes the digests to a folder; what its manifest says of them."""
        return {"histories": write_digests(folder, self.users, self.digests)}


def digests(request: Request, only: tuple[np.ndarray, Any] | None, weighted: bool) -> Digests:
    """64 bits for each row of a request, (rows,), whatever the order of the rows.

    They change with the items of a history and, if `weighted`, with their weights; with the items
    that this user alone may not be given, and with those that they may be given alone. only: as in
    `Ruled`.
    """
    found = np.empty(len(request), dtype=np.uint64)
    for start in range(0, len(found), USERS):
        some = slice(start, min(start + USERS, len(found)))
        limits = None if only is None else (only[0][some], only[1][some])
        found[some] = _of_some(request.part(some), limits, weighted)
        if isinstance(request.matrix, Selected):
            request.matrix.release()
    return found


def _of_some(request: Request, only: tuple[np.ndarray, Any] | None, weighted: bool) -> Digests:
    """A digest for each user of the history and of all else that decides the list; a user whose
    digest stays the same need not be ranked again."""
    exclude = request.exclude
    own = exclude is None or exclude is request.matrix
    rows = _of_rows(request.matrix, weighted)
    found = _mixed(rows)
    if weighted or not own:
        rows = _of_rows(request.matrix if own else exclude, False)
    found += _mixed(rows + np.uint64(1))
    if only is not None:
        limited = only[0].astype(np.uint64)
        found += np.where(only[0], _mixed(_of_rows(only[1], False) + limited), np.uint64(0))
    if request.popularity is not None:
        found += np.where(request.known, np.uint64(0), STRANGER)
    return found


def _of_rows(matrix: Any, weighted: bool) -> Digests:
    """The sum of a hash of each stored cell, over each row of a CSR, modulo 2^64; 0 for an empty
    row."""
    found = np.zeros(matrix.shape[0], dtype=np.uint64)
    for block in row_blocks(matrix.indptr):
        part = matrix[block]
        hashes = _mixed(part.indices.astype(np.uint64) + np.uint64(1))
        values = np.asarray(part.data, dtype=np.float32)
        if weighted:
            hashes = _mixed(hashes + values.view(np.uint32))
        hashes[values == 0] = 0
        sums = np.append(np.uint64(0), np.cumsum(hashes, dtype=np.uint64))
        found[block] = sums[part.indptr[1:]] - sums[part.indptr[:-1]]
    return found


def _mixed(values: Digests) -> Digests:
    """The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): every bit of a number
    changes half of the bits of the result."""
    found: Digests = values ^ (values >> np.uint64(30))
    found = found * np.uint64(0xBF58476D1CE4E5B9)
    found ^= found >> np.uint64(27)
    found = found * np.uint64(0x94D049BB133111EB)
    found ^= found >> np.uint64(31)
    return found


def write_digests(folder: Path, users: np.ndarray, found: Digests) -> dict[str, Any]:
    """Writes the ids and the digests of users; what the manifest says of the file."""
    kind = pa.string() if users.dtype == object else pa.int64()
    schema = pa.schema([("user_id", kind), ("digest", pa.uint64())])
    with (
        atomic_file(folder / DIGESTS, overwrite=True) as part,
        pq.ParquetWriter(part, schema, compression="zstd", use_dictionary=False) as writer,
    ):
        for start in range(0, len(users), ROWS):
            some = slice(start, start + ROWS)
            columns = [pa.array(users[some], type=kind), pa.array(found[some])]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
    size = (folder / DIGESTS).stat().st_size
    return {"file": DIGESTS, "bytes": size, "sha256": sha256(folder / DIGESTS)}


def read_digests(folder: Path, about: Any) -> tuple[np.ndarray, Digests]:
    """The ids of the users of an export, in their order, and their digests.

    about: what the manifest says of the file. Raises DataError for a file that is damaged or gone.
    """
    check_digests_file(folder, about)
    try:
        table = pq.read_table(folder / DIGESTS)
        users = as_ids(table["user_id"], "user")
        found = table["digest"].to_numpy()
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise _damaged(folder, error) from error
    return users, found


def check_digests_file(folder: Path, about: Any) -> None:
    """Raises DataError unless the file is as it was written, as the manifest says."""
    try:
        size = check_file(folder, DIGESTS)
        if size != about["bytes"] or sha256(folder / DIGESTS) != about["sha256"]:
            raise ValueError("other bytes than were written")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, error) from error


def _damaged(folder: Path, error: Exception) -> DataError:
    return DataError(f"{folder / DIGESTS} is damaged ({error}): make the export again")
