"""Histories in a table of PostgreSQL."""

from __future__ import annotations

import math
import socket
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from recae.errors import ConfigError, DataError, StorageError, StoreError
from recae.serve.stores.guard import Histories, Stale, reason
from recae.serve.stores.protocol import Id
from recae.serve.stores.tables import Place, asked_for, grouped, kind_of

KINDS = {
    **dict.fromkeys(["int2", "int4", "int8"], "int"),
    **dict.fromkeys(["text", "varchar"], "str"),
    "uuid": "uuid",
}
NOWHERE = "/nowhere-recae"
CASTS = {"int": "bigint[]", "str": "text[]", "uuid": "uuid[]"}


@dataclass(frozen=True)
class _Connection:
    open: Any
    kind: str


class PostgreSQLDriver:
    """A table or view of PostgreSQL, read with a statement timeout and no right to write."""

    def __init__(self, conninfo: str, name: str, place: Place) -> None:
        self.name, self.place = f"the store {name}", place
        self._psycopg = library()
        try:
            self._conninfo = self._psycopg.conninfo.conninfo_to_dict(conninfo)
        except self._psycopg.Error:  # whose message may have the password
            raise ConfigError(
                f"{self.name} has a wrong URL, or an option that PostgreSQL does not know"
            ) from None
        self._check_options()

    def _check_options(self) -> None:
        """Raises ConfigError for options with values that libpq refuses, such as sslmode=on.

        libpq checks them before it connects. So it is asked to connect to a socket that does not
        exist: a fault that does not name that socket is one of the options.
        """
        hosts = str(self._conninfo.get("host", "")).count(",") + 1
        options = {**self._conninfo, "host": ",".join([NOWHERE] * hosts), "hostaddr": ""}
        wanted = self._psycopg.conninfo.make_conninfo("", **options)
        attempt = self._psycopg.pq.PGconn.connect_start(wanted.encode())
        fault = attempt.get_error_message()
        attempt.finish()
        if NOWHERE not in fault:
            raise ConfigError(f"{self.name} has a wrong option: {reason(fault)}")

    def stop(self) -> None:
        pass

    def forked(self) -> None:
        pass  # psycopg leaves connections of another process alone

    def connect(self, seconds: float) -> _Connection:
        """A read-only connection whose statements the server ends after `seconds`."""
        fixed = {"connect_timeout": max(2, math.ceil(seconds)), "client_encoding": "utf8"}
        connection = self._psycopg.connect(
            **{**self._conninfo, **fixed}, autocommit=True, prepare_threshold=None
        )
        try:
            connection.execute(
                "SELECT set_config('statement_timeout', %s, false), "
                "set_config('default_transaction_read_only', 'on', false)",
                [str(math.ceil(seconds * 1000))],
            )
            return _Connection(connection, self._user_kind(connection))
        except BaseException:
            connection.close()
            raise

    def _user_kind(self, connection: Any) -> str:
        table, user, item = self.place.sql
        try:
            cursor = connection.execute(f"SELECT {user}, {item} FROM {table} LIMIT 0")
        except self._psycopg.ProgrammingError as error:
            raise DataError(f"{self.name}: {reason(error)}") from error
        names = [_type_name(connection, column.type_code) for column in cursor.description]
        kind = kind_of(names[0], KINDS, self.place.user, self.name)
        kind_of(names[1], KINDS, self.place.item, self.name)
        return kind

    def write(self, rows: pa.Table, overwrite: bool) -> None:
        """Makes the table of the rows user_id and item_id, with an index. Raises StorageError."""
        table, user, item = self.place.sql
        kinds = ["bigint" if pa.types.is_integer(kind) else "text" for kind in rows.schema.types]
        try:
            with self._psycopg.connect(**self._conninfo) as connection:
                if overwrite:
                    connection.execute(f"DROP TABLE IF EXISTS {table}")
                connection.execute(
                    f"CREATE TABLE {table} ({user} {kinds[0]} NOT NULL, {item} {kinds[1]} NOT NULL)"
                )
                with connection.cursor().copy(f"COPY {table} FROM STDIN") as copy:
                    for batch in rows.to_batches(max_chunksize=1 << 16):
                        for row in zip(*(column.to_pylist() for column in batch), strict=True):
                            copy.write_row(row)
                connection.execute(f"CREATE INDEX ON {table} ({user})")
        except self._psycopg.Error as error:
            raise StorageError(f"cannot write to {self.name}: {reason(error)}") from error

    def read(self, connection: _Connection, users: list[Id]) -> Histories:
        """The histories of some users in one query. Raises Stale if the table was replaced,
        StoreError for text that cannot be decoded."""
        try:
            wanted = asked_for(users, connection.kind, self.name)
        except DataError:
            if self._user_kind(connection.open) != connection.kind:
                raise Stale("the table is another one now") from None
            raise
        table, user, item = (name.replace("%", "%%") for name in self.place.sql)
        try:
            rows = connection.open.execute(
                f"SELECT DISTINCT {user}, {item} FROM {table} "
                f"WHERE {user} = ANY(%s::{CASTS[connection.kind]}) LIMIT %s",
                [wanted, self.place.limit * len(wanted) + 1],
            ).fetchall()
        except self._psycopg.ProgrammingError as error:  # the table is another one now
            raise Stale(reason(error)) from error
        except (self._psycopg.DataError, UnicodeDecodeError) as error:
            raise StoreError(f"{self.name}: {reason(error)}") from error
        return grouped(rows, self.place, self.name)

    def abort(self, connection: _Connection) -> None:
        with socket.socket(fileno=connection.open.fileno()) as line:
            try:
                line.shutdown(socket.SHUT_RDWR)
            finally:
                line.detach()

    def close(self, connection: _Connection) -> None:
        connection.open.close()


def _type_name(connection: Any, code: int) -> str:
    known = connection.adapters.types.get(code)
    return f"number {code}" if known is None else str(known.name)


def library() -> Any:
    """The library psycopg. Raises ConfigError where it is missing."""
    try:
        import psycopg
        import psycopg.conninfo
        import psycopg.pq
    except ImportError as error:  # also where libpq is missing
        raise ConfigError(
            'a store in PostgreSQL needs the library psycopg: pip install "recae[postgresql]"',
            parameter="store",
        ) from error
    return psycopg
