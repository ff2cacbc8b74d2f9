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
       quote_ident(pg_get_userbyid(c.relowner)), pg_has_role(c.relowner, 'USAGE'), c.relrowsecurity,
       (SELECT min(pg_describe_object(d.classid, d.objid, d.objsubid)) FROM pg_depend d
        WHERE d.deptype = 'n' AND ((d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid)
                                OR (d.refclassid = 'pg_type'::regclass AND d.refobjid = c.reltype)))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = {schema} AND c.relname = {table}
"""

RIGHTS = """
WITH old AS (SELECT c.oid, c.relowner, c.relacl FROM pg_class c
             JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = {schema} AND c.relname = {table}),
     new AS (SELECT c.oid, c.relowner, c.relacl FROM pg_class c
             JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = {schema} AND c.relname = {fresh}),
     rights AS (
         SELECT 1 AS step, 'REVOKE ALL ON TABLE %s FROM %s' AS command, '' AS columns,
                relowner, (aclexplode(relacl)).* FROM new
         UNION ALL
         SELECT 2, 'GRANT %3$s%4$s ON TABLE %1$s TO %2$s%5$s', '', relowner, (aclexplode(relacl)).*
         FROM old
         UNION ALL
         SELECT 2, 'GRANT %3$s%4$s ON TABLE %1$s TO %2$s%5$s', format(' (%I)', one.attname),
                old.relowner, (aclexplode(one.attacl)).*
         FROM old JOIN pg_attribute one ON one.attrelid = old.oid
         JOIN new ON true JOIN pg_attribute two ON two.attrelid = new.oid
         WHERE two.attname = one.attname AND NOT one.attisdropped)
SELECT format(command, {new},
              CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
              privilege_type, columns, CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
FROM rights WHERE grantee <> relowner ORDER BY step
"""
"""Takes the rights away that the new table has by default, and grants those of the old one."""


class PostgreSQLTables:
    """A table of PostgreSQL. Everything is one transaction: a new table is filled and counted, and
    takes the name of the old one at its end, with its owner and the rights in it."""

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

    def check(self, overwrite: bool) -> None:
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
        """Fills a new table and gives it the place, the owner and the rights of the old one in one
        transaction, so that readers see one or the other."""
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
        if self._find(cursor, schema, overwrite) is not None:
            cursor.execute(f"LOCK TABLE {old} IN ACCESS EXCLUSIVE MODE")
            owner = self._find(cursor, schema, overwrite)  # it may be another one since then
            cursor.execute(f"ALTER TABLE {new} OWNER TO {owner}")
            names = {"schema": schema, "table": name, "fresh": fresh, "new": new}
            of = {key: text_literal(text) for key, text in names.items()}
            for (right,) in self._rows(cursor, RIGHTS.format(**of)):
                cursor.execute(right)
            cursor.execute(f"DROP TABLE {old}")
        cursor.execute(f"ALTER TABLE {new} RENAME TO {quoted(name)}")
        cursor.connection.commit()

    def _find(self, cursor: Any, schema: str, overwrite: bool) -> str | None:
        """The owner, in SQL, of the table of that name, which may be replaced; None if there is
        none. Raises StorageError."""
        of = {"schema": text_literal(schema), "table": text_literal(self.place.parts[-1])}
        found = self._rows(cursor, FOUND.format(**of))
        if not check_found(self.name, self.place, found[0][:2] if found else None, overwrite):
            return None
        _, _, owner, ours, secured, dependent = found[0]
        faults = {
            f"the role {owner} owns it": not ours,
            f"{dependent} depends on it": dependent is not None,
            "it has row security, which the new table would not have": secured,
        }
        for fault in (fault for fault, holds in faults.items() if holds):
            raise StorageError(
                f"{self.name}: the table {self.place.table} cannot be replaced: {fault}"
            )
        return str(owner)

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
