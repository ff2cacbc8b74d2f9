"""Lists in a table of a DuckDB file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from recae.errors import StorageError
from recae.scale.databases.tables import UNCHANGED, check_found, text_literal
from recae.serve.stores.duckdb_table import library
from recae.serve.stores.guard import reason
from recae.serve.stores.tables import Place, quoted


class DuckDBTables:
    """A table of a DuckDB file, which is made if it does not exist. Everything is one transaction.

    There is no index: the rows lie in the order of the users, so that DuckDB skips all row groups
    but one or two when it looks up a user, and an index would have to fit in memory.
    """

    def __init__(self, path: Path, place: Place) -> None:
        self.path, self.place = path, place
        self.name = f"the database duckdb:{path}"
        self._duckdb = library()

    def check(self, owner: str, overwrite: bool) -> None:
        """As in `Database`."""
        new = not self.path.exists()
        if not new and not self.path.is_file():
            raise StorageError(f"{self.name} is no file")
        database = self._connected()
        try:
            with database:
                self._find(database, overwrite)
        except self._duckdb.Error as error:
            raise self._failed(error) from error
        finally:
            if new:
                self.path.unlink(missing_ok=True)

    def load(self, rows: Any, about: dict[str, Any], overwrite: bool) -> None:
        """As in `Database`."""
        new, done = not self.path.exists(), False
        database, table = self._connected(), self.place.sql[0]
        try:
            with database:
                database.execute("BEGIN")
                if self._find(database, overwrite):
                    database.execute(f"DROP TABLE {table}")
                database.register("recae_rows", rows.reader())
                database.execute(f"CREATE TABLE {table} AS SELECT * FROM recae_rows")
                database.unregister("recae_rows")
                rows.compare(self.name, *self._counted(database, rows.owner))
                said = text_literal(f"recae {json.dumps(about)}")
                database.execute(f"COMMENT ON TABLE {table} IS {said}")
                database.execute("COMMIT")
                done = True
        except self._duckdb.Error as error:
            if rows.error is not None:
                raise rows.error from None
            raise self._failed(error) from error
        finally:
            if new and not done:
                for file in (self.path, Path(f"{self.path}.wal")):
                    file.unlink(missing_ok=True)

    def _connected(self) -> Any:
        try:
            return self._duckdb.connect(str(self.path))
        except self._duckdb.Error as error:
            raise self._failed(error) from error

    def _find(self, database: Any, overwrite: bool) -> bool:
        """Whether there is a table of that name, which may be replaced. Raises StorageError."""
        schema, name = ["", *self.place.parts][-2:]
        where = "lower(schema_name) = lower(?)" if schema else "schema_name = current_schema()"
        found = database.execute(
            "SELECT comment, 'table' FROM duckdb_tables() WHERE database_name = current_database() "
            f"AND {where} AND lower(table_name) = lower(?) UNION ALL "
            "SELECT comment, 'view' FROM duckdb_views() WHERE database_name = current_database() "
            f"AND {where} AND lower(view_name) = lower(?)",
            [*([schema] if schema else []), name] * 2,
        ).fetchone()
        return check_found(self.name, self.place, found, overwrite)

    def _counted(self, database: Any, owner: str) -> tuple[int, int]:
        found: tuple[int, int] = database.execute(
            f"SELECT count(*), count(DISTINCT {quoted(owner)}) FROM {self.place.sql[0]}"
        ).fetchone()
        return found

    def _failed(self, error: Exception) -> StorageError:
        said = reason(error)
        if "lock on file" in said:
            said = said.partition(". ")[0] + (
                ". Another process has the file open, and DuckDB lets only one write: close it, or "
                "load into a new file and move that into place"
            )
        return StorageError(f"{self.name}: {said}. {UNCHANGED}")
