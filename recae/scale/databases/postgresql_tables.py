"""Lists in a table of PostgreSQL, copied by ADBC."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from recae.errors import ConfigError, StorageError
from recae.scale.databases.tables import UNCHANGED, check_found, text_literal
from recae.serve.stores.guard import reason
from recae.serve.stores.postgresql import PostgreSQLDriver
from recae.serve.stores.tables import Place, quoted

LONGEST = 63
"""Bytes of a name in PostgreSQL; it cuts longer ones."""

LOCK_SECONDS = 60
"""How long the new table waits for those who read the old one."""

FOUND = """
SELECT obj_description(c.oid, 'pg_class'),
       CASE WHEN c.relkind = 'r' THEN 'table' ELSE 'view or other relation' END,
       pg_has_role(c.relowner, 'USAGE'),
       (SELECT min(r.ev_class::regclass::text) FROM pg_depend d
        JOIN pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
        WHERE d.refobjid = c.oid AND r.ev_class <> c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = {schema} AND c.relname = {table}
"""

GRANTS = """
SELECT format('GRANT %s ON TABLE {new} TO %s%s', privilege_type,
              CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
              CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl)
WHERE n.nspname = {schema} AND c.relname = {table} AND grantee <> c.relowner
"""


class PostgreSQLTables:
    """A table of PostgreSQL. Everything is one transaction: a new table is filled and counted, and
    takes the name of the old one at its end, with the rights that roles have in the old one."""

    def __init__(self, conninfo: str, name: str, place: Place) -> None:
        for part in place.parts:
            if len(part.encode()) > LONGEST:
                raise ConfigError(
                    f"the name {part!r} has {len(part.encode())} bytes; PostgreSQL takes {LONGEST}",
                    parameter="table",
                    value=part,
                )
        PostgreSQLDriver(conninfo, name, place)  # a wrong URL or option is an error now
        self.name, self.place, self._conninfo = f"the database {name}", place, conninfo
        self._adbc = library()

    def check(self, owner: str, overwrite: bool) -> None:
        """As in `Database`."""
        with self._cursor() as cursor:
            self._find(cursor, self._schema(cursor), overwrite)

    def load(self, rows: Any, about: dict[str, Any], overwrite: bool) -> None:
        """As in `Database`."""
        try:
            with self._cursor() as cursor:
                self._load(cursor, rows, about, overwrite)
        except StorageError:
            if rows.error is not None:
                raise rows.error from None
            raise

    def _load(self, cursor: Any, rows: Any, about: dict[str, Any], overwrite: bool) -> None:
        schema, name = self._schema(cursor), self.place.parts[-1]
        fresh = f"recae_{uuid.uuid4().hex[:12]}"
        old, new = f"{quoted(schema)}.{quoted(name)}", f"{quoted(schema)}.{quoted(fresh)}"
        cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
        cursor.adbc_ingest(fresh, rows.reader(), mode="create", db_schema_name=schema)
        counted = f"SELECT count(*), count(*) FILTER (WHERE rank = 1) FROM {new}"
        rows.compare(self.name, *self._rows(cursor, counted)[0])
        # Unique, and the index of lookups by user, in the order of the ranks.
        cursor.execute(f"ALTER TABLE {new} ADD PRIMARY KEY ({quoted(rows.owner)}, rank)")
        cursor.execute(f"COMMENT ON TABLE {new} IS {text_literal('recae ' + json.dumps(about))}")
        cursor.execute(f"ANALYZE {new}")
        if self._find(cursor, schema, overwrite):
            of = {"schema": text_literal(schema), "table": text_literal(name)}
            grants = GRANTS.format(**of, new=new.replace("%", "%%").replace("'", "''"))
            for (grant,) in self._rows(cursor, grants):
                cursor.execute(grant)
            cursor.execute(f"DROP TABLE {old}")
        cursor.execute(f"ALTER TABLE {new} RENAME TO {quoted(name)}")
        cursor.connection.commit()

    def _find(self, cursor: Any, schema: str, overwrite: bool) -> bool:
        """Whether there is a table of that name, which may be replaced. Raises StorageError."""
        of = {"schema": text_literal(schema), "table": text_literal(self.place.parts[-1])}
        found = self._rows(cursor, FOUND.format(**of))
        if not check_found(self.name, self.place, found[0][:2] if found else None, overwrite):
            return False
        _, _, owned, view = found[0]
        if not owned or view is not None:
            fault = "another role owns it" if not owned else f"the view {view} depends on it"
            raise StorageError(
                f"{self.name}: the table {self.place.table} cannot be replaced: {fault}"
            )
        return True

    def _schema(self, cursor: Any) -> str:
        """The schema of the table."""
        if len(self.place.parts) == 2:
            return self.place.parts[0]
        found = self._rows(cursor, "SELECT current_schema()")[0][0]
        if found is None:
            raise StorageError(f"{self.name} has no schema to make a table in: name SCHEMA.TABLE")
        return str(found)

    @staticmethod
    def _rows(cursor: Any, query: str) -> list[Any]:
        cursor.execute(query)
        return list(cursor.fetchall())

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        """A cursor in a transaction, which is undone unless it is committed in the block."""
        try:
            with self._adbc.connect(self._conninfo) as connection, connection.cursor() as cursor:
                yield cursor
        except self._adbc.Error as error:
            raise StorageError(f"{self.name}: {reason(error)}. {UNCHANGED}") from None


def library() -> Any:
    """The library ADBC for PostgreSQL. Raises ConfigError where it is missing."""
    try:
        import adbc_driver_postgresql.dbapi as adbc
    except ImportError as error:
        raise ConfigError(
            "to load lists into PostgreSQL needs the library adbc-driver-postgresql: pip install "
            '"recae[postgresql]"',
            parameter="target",
        ) from error
    return adbc
