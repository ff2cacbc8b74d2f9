"""Reads two exports side by side: the lists of the same users, in blocks of bounded memory."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from recae.data import as_ids
from recae.data.encoders import NewIds
from recae.errors import StorageError
from recae.recommend.export.blocks import plain_columns, starts_of, whole_lists
from recae.recommend.export.overlap import Codes, Lists

BUCKET_ROWS, MOST_BUCKETS = 1 << 21, 128
"""Rows of a bucket on disk, and the most buckets: they are files open at the same time."""

Batches = Callable[[], Iterable[pa.RecordBatch]]
"""Reads an export: batches of user ids, item ids and ranks, in this order of columns."""

Pairs = Iterator[tuple[np.ndarray, Codes, Codes]]
"""The ids (rows,) of users, and their lists before and after, (rows, k) codes each, -1 after the
end of a list. Codes are those of `Both.items`."""


class Unordered(Exception):
    """The rows of an export are not in ascending order of users and ranks."""


class Both:
    """Two exports that are read side by side. k: the places of a list that are read.

    items: the ids of all items in both; listed: whether each code is in each of them, two arrays;
    alone: the users that only one of them has, two numbers. All are complete when the pairs are.
    """

    def __init__(self, exports: Sequence[Batches], k: int) -> None:
        self.exports, self.k = exports, k
        self.items = NewIds("item")
        self.listed = [np.zeros(1024, dtype=bool) for _ in exports]
        self.alone = [0, 0]

    def in_order(self) -> Pairs:
        """Pairs of two exports whose users ascend. Raises Unordered where they do not."""
        readers = [self._whole_users(side) for side in (0, 1)]
        blocks = [next(reader, None) for reader in readers]
        while True:
            one, two = blocks
            if one is None or two is None:
                break
            last = min(one.users[-1], two.users[-1])
            ends = [int(np.searchsorted(some.users, last, "right")) for some in (one, two)]
            yield self._matched(one.part(0, ends[0]), two.part(0, ends[1]))
            for side, (some, end) in enumerate(zip((one, two), ends, strict=True)):
                left = end < len(some)
                blocks[side] = some.part(end, len(some)) if left else next(readers[side], None)
        for side, block in enumerate(blocks):
            while block is not None:
                self.alone[side] += len(block)
                block = next(readers[side], None)

    def in_buckets(self, rows: int) -> Pairs:
        """Pairs of exports in any order: their rows are first written to temporary files, those of
        a user to the same one. rows: of both together. Raises StorageError for a full disk."""
        count = min(max(-(-rows // BUCKET_ROWS), 1), MOST_BUCKETS)
        try:
            with tempfile.TemporaryDirectory(prefix="recae-compare-") as folder:
                files = [self._spill(side, Path(folder), count) for side in (0, 1)]
                for one, two in zip(*files, strict=True):
                    yield self._matched(_sorted(one), _sorted(two))
        except OSError as error:
            raise StorageError(
                f"cannot sort the exports in {tempfile.gettempdir()}: {error.strerror or error}; "
                "TMPDIR names another folder"
            ) from error

    def _whole_users(self, side: int) -> Iterator[Lists]:
        """The lists of an export in blocks of whole users. Raises Unordered."""
        last: Any = None
        for block in whole_lists(self.exports[side]()):
            users, places, bounds = block.owners, block.places, block.starts
            ascends = (users[1:] > users[:-1]).all() and (last is None or users[0] > last)
            ranks = block.columns[2].to_numpy(zero_copy_only=False)
            if not ascends or not np.array_equal(ranks, places + 1):
                raise Unordered
            last, listed = users[-1], block.columns[1]
            if int(places.max()) >= self.k:
                listed = listed.filter(pa.array(places < self.k))
                bounds = np.append(0, np.cumsum(np.minimum(np.diff(bounds), self.k)))
            yield Lists(users, bounds, self._encode(side, listed))

    def _encode(self, side: int, column: pa.Array) -> Codes:
        codes = self.items.encode(column, 0)
        if self.items.size > len(self.listed[side]):
            more = np.zeros(self.items.size, dtype=bool)  # as long again, so that this is rare
            self.listed[side] = np.append(self.listed[side], more)
        self.listed[side][codes] = True
        return codes

    def _matched(self, one: Lists, two: Lists) -> tuple[np.ndarray, Codes, Codes]:
        """The users that both have; the others are counted. Users ascend in both."""
        at = np.searchsorted(two.users, one.users)
        at[at == len(two)] = 0
        both = one.users == two.users[at] if len(two) else np.zeros(len(one), dtype=bool)
        rows = np.flatnonzero(both)
        self.alone[0] += len(one) - len(rows)
        self.alone[1] += len(two) - len(rows)
        return one.users[rows], one.square(rows, self.k), two.square(at[rows], self.k)

    def _spill(self, side: int, folder: Path, count: int) -> list[Path]:
        """Writes the rows of an export to so many files by a hash of the user."""
        files = [folder / f"{side}-{number}.arrow" for number in range(count)]
        writers: list[Any] = [None] * count
        with ExitStack() as stack:
            for batch in self.exports[side]():
                users, items, ranks = plain_columns(batch.filter(pc.less_equal(batch[2], self.k)))
                codes = pa.array(self._encode(side, items))
                schema = pa.schema(
                    [("user", users.type), ("item", pa.int32()), ("rank", pa.int32())]
                )
                columns = [users, codes, ranks.cast(pa.int32())]
                rows = pa.RecordBatch.from_arrays(columns, schema=schema)
                bucket = _buckets(rows.column(0), count)
                order = np.argsort(bucket, kind="stable")
                ends = np.searchsorted(bucket[order], np.arange(count + 1))
                rows = rows.take(pa.array(order))
                for number in np.unique(bucket):
                    if writers[number] is None:
                        writers[number] = stack.enter_context(
                            pa.ipc.new_file(files[number], schema)
                        )
                    start = ends[number]
                    writers[number].write_batch(rows.slice(start, ends[number + 1] - start))
        return files


def _buckets(users: pa.Array, count: int) -> npt.NDArray[np.int64]:
    """The file of each row, (rows,): equal users have the same one."""
    starts = starts_of(users) if len(users) else np.zeros(0, dtype=np.int64)
    distinct = as_ids(users.take(pa.array(starts)), "user")
    hashes = pd.util.hash_array(distinct, categorize=False) % count
    return np.repeat(hashes.astype(np.int64), np.diff(np.append(starts, len(users))))


def _sorted(file: Path) -> Lists:
    """The lists in a file, users and ranks ascending."""
    if not file.exists():
        nobody = np.empty(0, dtype=np.int64)
        return Lists(nobody, np.zeros(1, dtype=np.int64), nobody.astype(np.int32))
    with pa.ipc.open_file(file) as reader:
        users, items, ranks = plain_columns(reader.read_all())
    encoded = users.dictionary_encode()
    ids = as_ids(encoded.dictionary, "user")
    order = np.argsort(ids, kind="stable")
    place = np.empty(len(ids), dtype=np.int64)
    place[order] = np.arange(len(ids))
    codes = place[encoded.indices.to_numpy()]
    rows = np.lexsort((ranks.to_numpy(), codes))
    starts = np.append(0, np.cumsum(np.bincount(codes, minlength=len(ids))))
    return Lists(ids[order], starts, items.to_numpy()[rows])
