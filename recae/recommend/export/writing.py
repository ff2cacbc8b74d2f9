"""Writes Parquet files in threads of their own, while the next lists are ranked."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from recae.system.files import atomic_file

GROUP_ROWS = 1 << 20
"""Rows of a row group, about: 4 to 8 MB in the file, some 30 MB in memory."""

ITEMS = 1
"""The place of the column of listed items."""

DEPTH = 4
"""Batches that wait for a writer, at most."""


@dataclass(frozen=True)
class Rows:
    """The rows of some users, in the order of the users and of the ranks.

    users: how many users these are; users_without_rows: how many of them have no row.
    """

    table: pa.Table
    users: int
    users_without_rows: int


Batch = Callable[[], Rows]
"""Makes the rows of a batch of users, in the thread that writes them."""

Made = Callable[[int, int], Iterator[tuple[Batch, int]]]
"""Ranks the users from a number to another one, batch by batch, and counts each batch's users."""


def parquet_writer(file: Path, schema: pa.Schema) -> Any:
    """A writer of a part, with settings that every reader of Parquet knows.

    A dictionary costs time and bytes where values differ (scores), or run in order (ranks, and the
    integer ids of users), which zstd alone makes small. Spark cannot read every better encoding of
    floats, such as BYTE_STREAM_SPLIT.
    """
    repeated = [
        field.name
        for place, field in enumerate(schema)
        if pa.types.is_string(field.type) or place == ITEMS
    ]
    return pq.ParquetWriter(
        file, schema, compression="zstd", use_dictionary=repeated, write_page_checksum=True
    )


class _Cancelled(Exception):
    """The caller wants no more of it."""


class PartWriter(threading.Thread):
    """Writes one file, atomically, from batches that are put into a short queue.

    group_users: a row group is written when it has the rows of so many users, or a few more.
    written: called in this thread with the counts of the file, once it is complete. endings: as
    in `atomic_file`.
    """

    def __init__(
        self,
        file: Path,
        schema: pa.Schema,
        group_users: int,
        written: Callable[[dict[str, int]], None] = lambda counts: None,
        overwrite: bool = True,
        endings: Sequence[str] = (),
    ) -> None:
        super().__init__(name="recae export", daemon=True)
        self.file, self.schema, self.group_users, self.written = file, schema, group_users, written
        self.overwrite, self.endings = overwrite, endings
        self.batches: queue.Queue[Batch | None] = queue.Queue(DEPTH)
        self.counts = {"users": 0, "rows": 0, "users_without_rows": 0}
        self.error: BaseException | None = None
        self.cancelled = self.ended = False

    def run(self) -> None:
        """Writes batches until None comes, in its own thread. An error is kept for the caller, and
        the queue is emptied so that nobody waits for ever."""
        try:
            with (
                atomic_file(self.file, overwrite=self.overwrite, endings=self.endings) as part,
                parquet_writer(part, self.schema) as writer,
            ):
                for table in self._groups():
                    writer.write_table(table, row_group_size=GROUP_ROWS)
            self.written(self.counts)
        except BaseException as error:  # told to the caller, see `Writers.put`
            self.error = error
            with suppress(queue.Empty):  # whoever waits to put a batch need not wait
                while True:
                    self.batches.get_nowait()

    def _groups(self) -> Iterator[pa.Table]:
        """The rows of each row group."""
        waiting: list[pa.Table] = []
        users = 0
        while (batch := self.batches.get()) is not None:
            if self.cancelled:
                break
            rows = batch()
            waiting.append(rows.table)
            users += rows.users
            self.counts["users"] += rows.users
            self.counts["rows"] += len(rows.table)
            self.counts["users_without_rows"] += rows.users_without_rows
            if users >= self.group_users:
                yield pa.concat_tables(waiting).combine_chunks()
                waiting, users = [], 0
        if self.cancelled:
            raise _Cancelled
        if waiting:
            yield pa.concat_tables(waiting).combine_chunks()


class Writers:
    """Some `PartWriter`s at a time. The first error of any of them is raised in the caller.

    Leaving the block waits for the files whose last batch was put; if it is left by an error, the
    others are given up, and nothing of them stays.
    """

    def __init__(self) -> None:
        self.most = 2 + torch.get_num_threads() // 8
        self.running: list[PartWriter] = []

    def __enter__(self) -> Writers:
        return self

    def __exit__(self, *error: object) -> None:
        try:
            while error[0] is None and self.running:
                self._wait_for(self.running[0])
        finally:  # also if one of them fails at the end, or Ctrl-C ends the wait
            self._give_up()

    def _give_up(self) -> None:
        """Ends those that lack batches, and waits for all that are left."""
        for writer in self.running:
            writer.cancelled = not writer.ended
            if writer.cancelled:
                with suppress(queue.Empty):
                    while True:
                        writer.batches.get_nowait()
                with suppress(queue.Full):
                    writer.batches.put_nowait(None)
        for writer in self.running:
            writer.join()

    def begin(self, writer: PartWriter) -> None:
        """Starts it, once there is a place for it."""
        while len(self.running) >= self.most:
            self._wait_for(self.running[0])
        writer.start()
        self.running.append(writer)

    def put(self, writer: PartWriter, batch: Batch | None) -> None:
        """Hands over a batch; None after the last."""
        while True:
            self._check()
            try:
                writer.batches.put(batch, timeout=0.1)
                break
            except queue.Full:
                continue
        writer.ended = batch is None

    def _wait_for(self, writer: PartWriter) -> None:
        while writer.is_alive():
            self._check()
            writer.join(0.1)
        self._check()
        self.running.remove(writer)

    def _check(self) -> None:
        for writer in self.running:
            if writer.error is not None:
                raise writer.error
