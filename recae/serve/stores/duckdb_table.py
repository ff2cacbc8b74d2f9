"""Histories in a table of a DuckDB file."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from recae.errors import ConfigError, DataError, StorageError
from recae.serve.stores.guard import Histories, Stale, reason
from recae.serve.stores.protocol import Id
from recae.serve.stores.tables import Place, asked_for, grouped, kind_of, quoted

NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
KINDS = {
    **dict.fromkeys([*NUMBERS, *(f"U{name}" for name in NUMBERS)], "int"),
    **{"VARCHAR": "str", "UUID": "uuid"},
}
AT_A_TIME = 1000


@dataclass(frozen=True)
class _Connection:
    cursor: Any
    kinds: tuple[str, str]
    signature: tuple[int, ...]


class DuckDBDriver:
    """A table or view of a DuckDB file, which is opened read-only.

    DuckDB lets nobody write to a file that is open: write a new file and move it into place
    (`os.replace`), which is noticed at the next call. Queries run on one thread each, and cannot
    read other files or the network.
    """

    def __init__(self, path: Path, place: Place) -> None:
        self.path, self.place = path, place
        self.name = f"the store duckdb:{path}"
        self._duckdb = library()
        self._signature: tuple[int, ...]
        self._root: Any = None
        self.forked()

    def stop(self) -> None:
        with self._lock:
            root, self._root = self._root, None
        if root is not None:
            root.close()

    def forked(self) -> None:
        _ABANDONED.append(self._root)
        self._lock, self._signature = threading.Lock(), ()
        self._root = None

    def connect(self, seconds: float) -> _Connection:
        """A cursor, and the kinds of the two columns. Raises DataError if the file or a column is
        not there."""
        try:
            cursor, signature = self._cursor()
        except OSError as error:
            raise DataError(f"{self.name} cannot be opened: {error.strerror}") from error
        table, user, item = self.place.sql
        try:
            cursor.execute(f"DESCRIBE SELECT {user}, {item} FROM {table}")
            types = [str(column[1]) for column in cursor.fetchall()]
        except self._duckdb.ProgrammingError as error:
            raise DataError(f"{self.name}: {reason(error)}") from error
        names = (self.place.user, self.place.item)
        user_kind, item_kind = (
            kind_of(kind, KINDS, name, self.name) for kind, name in zip(types, names, strict=True)
        )
        return _Connection(cursor, (user_kind, item_kind), signature)

    def write(self, rows: pa.Table, overwrite: bool) -> None:
        """Makes the table of the rows user_id and item_id, sorted by user. Raises StorageError."""
        table, user, item = self.place.sql
        create = "CREATE OR REPLACE TABLE" if overwrite else "CREATE TABLE"
        try:
            with self._duckdb.connect(str(self.path)) as database:
                database.register("recae_rows", rows)
                database.execute(
                    f"{create} {table} AS SELECT user_id AS {user}, item_id AS {item} "
                    "FROM recae_rows"
                )
        except self._duckdb.Error as error:
            raise StorageError(f"cannot write to {self.name}: {reason(error)}") from error

    def read(self, connection: _Connection, users: list[Id]) -> Histories:
        """The histories of some users, AT_A_TIME in a query. Raises Stale if the file was
        replaced."""
        if connection.signature != self._now():
            raise Stale("the file has changed")
        wanted = asked_for(users, connection.kinds[0], self.name)
        table, user, item = self.place.sql
        found: Histories = {}
        for start in range(0, len(wanted), AT_A_TIME):
            part = wanted[start : start + AT_A_TIME]
            places = ", ".join(["?"] * len(part))
            most = self.place.limit * len(part) + 1
            rows = connection.cursor.execute(
                f"SELECT DISTINCT {user}, {item} FROM {table} WHERE {user} IN ({places}) "
                f"LIMIT {most}",
                part,
            ).fetchall()
            found |= grouped(rows, self.place, self.name)
        return found

    def abort(self, connection: _Connection) -> None:
        connection.cursor.interrupt()

    def close(self, connection: _Connection) -> None:
        connection.cursor.close()

    def _now(self) -> tuple[int, ...]:
        found = self.path.stat()
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _cursor(self) -> tuple[Any, tuple[int, ...]]:
        """A cursor of the database of this process, which is opened again if the file is another
        one; and the signature of the file."""
        signature = self._now()
        with self._lock:
            if self._root is None or signature != self._signature:
                self._root = self._opened()
                self._signature = signature
            cursor = self._root.cursor()
        cursor.execute("USE histories")
        return cursor, signature

    def _is_database(self) -> bool:
        """Whether it is a file that begins as DuckDB's do: 8 bytes of a checksum, then DUCK."""
        if not self.path.is_file():
            return False
        with self.path.open("rb") as file:
            return file.read(12)[8:] == b"DUCK"

    def _opened(self) -> Any:
        """A connection that can read this file and nothing else: read-only, no external access,
        settings locked."""
        # Attached to a database in memory: DuckDB keeps one of the same path for all connections.
        config = {"threads": "1", "autoinstall_known_extensions": "false"}
        if not self._is_database():
            raise DataError(f"{self.name} is no database of DuckDB")
        root = self._duckdb.connect(":memory:", config=config)
        try:
            path = str(self.path.resolve()).replace("'", "''")
            root.execute(f"ATTACH '{path}' AS {quoted('histories')} (TYPE duckdb, READ_ONLY)")
            root.execute("SET enable_external_access = false")
            root.execute("SET lock_configuration = true")
        except BaseException:
            root.close()
            raise
        return root


_ABANDONED: list[Any] = []
"""Databases of the process that this one was forked from: closing one would wait for its threads
for ever."""


def library() -> Any:
    """The library DuckDB. Raises ConfigError where it is missing."""
    try:
        import duckdb
    except ImportError as error:
        raise ConfigError(
            'a store in DuckDB needs the library duckdb: pip install "recae[duckdb]"',
            parameter="store",
        ) from error
    return duckdb
