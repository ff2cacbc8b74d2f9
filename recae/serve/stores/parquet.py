"""Histories in Parquet files, read into memory and read again when the files change."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

from recae.data import Interactions, read_parquet
from recae.data.tables.files import PARQUET
from recae.data.tables.paths import find_files
from recae.errors import DataError, RecaeError, StoreError
from recae.serve.stores.protocol import (
    LIMIT,
    Id,
    checked_limit,
    checked_users,
    renew_after_fork,
)

LOOK_SECONDS = 1.0
"""The files are looked at for a change after this time at the earliest."""

Signature = tuple[tuple[str, int, int, int], ...]


class ParquetHistories:
    """A Parquet file, or a folder of them, with the columns user_id and item_id.

    All of it is in memory: 8 bytes for an interaction, and the ids. Rows that repeat a pair count
    once. When a file changes, it is read again in the background; until then the earlier
    histories are answered. Replace a file atomically (`os.replace`): while the new one cannot be
    read, `histories` raises StoreError. Raises DataError as `recae.read_parquet` does.
    """

    def __init__(
        self, path: Path, *, user: str = "user_id", item: str = "item_id", limit: int = LIMIT
    ) -> None:
        self.path, self.name = path, f"the store parquet:{path}"
        self._columns, self._limit = (user, item), limit
        if not path.is_file() and not path.is_dir():
            raise DataError(f"{self.name} does not exist")
        self._seen = self._signature()
        self._data, self._failure = self._read(), ""
        self._looked = time.monotonic()
        self._reading, self._closed = threading.Lock(), False
        renew_after_fork(self)

    def histories(self, users: Sequence[Id]) -> dict[Id, list[Id]]:
        """As in `HistoryStore`."""
        if self._closed:
            raise StoreError(f"{self.name} is closed")
        self._look()
        if self._failure:
            raise StoreError(self._failure, retry_after=LOOK_SECONDS)
        data, wanted = self._data, checked_users(users)
        matrix, found = data.matrix, {}
        for user, row in zip(wanted, data.users.lookup(wanted).tolist(), strict=True):
            if row >= 0:
                codes = matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]]
                checked_limit(user, codes, self._limit, self.name)
                found[user] = data.items.ids[codes].tolist()
        return found

    def close(self) -> None:
        """Nothing is open; calls from now on raise StoreError."""
        self._closed = True

    def forked(self) -> None:
        """The thread that was reading is not in this process."""
        self._reading = threading.Lock()

    def _look(self) -> None:
        """Reads the files in a new thread if they have changed."""
        if time.monotonic() - self._looked < LOOK_SECONDS or not self._reading.acquire(False):
            return
        self._looked = time.monotonic()
        try:
            changed = self._failure or self._signature() != self._seen
        except (OSError, RecaeError) as error:
            changed, self._failure = "", self._cannot(error)
        if not changed:
            self._reading.release()
            return
        threading.Thread(target=self._reload, args=(self._reading,), daemon=True).start()

    def _reload(self, reading: threading.Lock) -> None:
        try:
            before = self._signature()
            data = self._read()
            if before == self._signature():  # else it changed meanwhile: the next look reads it
                self._data, self._seen, self._failure = data, before, ""
        except Exception as error:
            self._failure = self._cannot(error)
        finally:
            reading.release()

    def _cannot(self, error: Exception) -> str:
        return f"{self.name} has changed and cannot be read: {error}"

    def _signature(self) -> Signature:
        """The names, times, sizes and numbers of the files."""
        stats = [(str(file), file.stat()) for file in find_files(self.path, PARQUET)]
        return tuple((name, s.st_mtime_ns, s.st_size, s.st_ino) for name, s in stats)

    def _read(self) -> Interactions:
        """The file in memory, with its hash table of ids made before several threads need it."""
        user, item = self._columns
        data = read_parquet(
            self.path,
            user=user,
            item=item,
            weight=None,
            time=None,
            duplicates="first",
            progress=False,
        )
        data.users.lookup(data.users.ids[:1])  # makes the hash table before threads ask for it
        return data
