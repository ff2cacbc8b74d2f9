"""Lists in a table of a DuckDB file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recae.errors import StorageError
from recae.scale.databases.tables import UNCHANGED, check_found, text_literal
from recae.serve.stores.duckdb_table import library
from recae.serve.stores.guard import reason
from recae.serve.stores.tables import Place, quoted
from recae.system.files import atomic_file, check_target


class DuckDBTables:
    """A table of a DuckDB file. Everything is one transaction; a new file is made beside its place.

    There is no index: the rows lie in the order of the users, so that DuckDB skips all row groups
    but one or two when it looks up a user, and an index would have to fit in memory.
    """

    def __init__(self, path: Path, place: Place) -> None:
        self.path, self.place = path, place
        self.name = f"the database duckdb:{path}"
        self._duckdb = library()

    def check(self, overwrite: bool) -> None:
        """As in `Database`."""
        if not self.path.exists():
            check_target(self.path, overwrite=False)
            if not os.access(self.path.resolve().parent, os.W_OK):
                raise StorageError(f"{self.name} cannot be made: there is no right to write there")
            return
        if not self.path.is_file():
            raise StorageError(f"{self.name} is no file")
        with self._connected(self.path) as database:
            self._find(database, overwrite)

    def load(self, rows: Any, about: dict[str, Any], overwrite: bool) -> None:
        """As in `Database`."""
        if self.path.exists():
            self._load(self.path, rows, about, overwrite)
            return
        with atomic_file(self.path, overwrite=False) as part:
            self._load(part, rows, about, overwrite)
            with self._connected(part) as database:
                database.execute("CHECKPOINT")  # a log beside the file would stay behind

    def _load(self, file: Path, rows: Any, about: dict[str, Any], overwrite: bool) -> None:
        """Replaces the table in one transaction, after the counts of the new rows are compared with
        the export."""
        try:
            with self._connected(file) as database:
                database.execute("BEGIN")
                table, found = self._find(database, overwrite)
                if found:
                    database.execute(f"DROP TABLE {table}")
                database.register("recae_rows", rows.reader())
                database.execute(f"CREATE TABLE {table} AS SELECT * FROM recae_rows")
                database.unregister("recae_rows")
                counted = f"SELECT count(*), count(*) FILTER (WHERE rank = 1) FROM {table}"
                rows.compare(self.name, *database.execute(counted).fetchone())
                said = text_literal(f"recae {json.dumps(about)}")
                database.execute(f"COMMENT ON TABLE {table} IS {said}")
                database.execute("COMMIT")
        except StorageError:
            if rows.error is not None:
                raise rows.error from None
            raise

    @contextmanager
    def _connected(self, file: Path) -> Iterator[Any]:
        try:
            with self._duckdb.connect(str(file)) as database:
                yield database
        except self._duckdb.Error as error:
            raise self._failed(error) from error

    def _find(self, database: Any, overwrite: bool) -> tuple[str, bool]:
        """The table in SQL, and whether there is one, which may be replaced. Raises StorageError.

        The name of the file comes first: DuckDB would take a schema of that name for the file.
        """
        query = "SELECT current_database(), current_schema()"
        here: tuple[str, str] = database.execute(query).fetchone()
        file, schema, name = here[0], [here[1], *self.place.parts][-2], self.place.parts[-1]
        rows = database.execute(
            "SELECT comment, 'table' FROM duckdb_tables() WHERE database_name = $1 "
            "AND lower(schema_name) = lower($2) AND lower(table_name) = lower($3) UNION ALL "
            "SELECT comment, 'view' FROM duckdb_views() WHERE database_name = $1 "
            "AND lower(schema_name) = lower($2) AND lower(view_name) = lower($3)",
            [file, schema, name],
        )
        found = check_found(self.name, self.place, rows.fetchone(), overwrite)
        return ".".join(map(quoted, (file, schema, name))), found

    def _failed(self, error: Exception) -> StorageError:
        said = reason(error)
        if "lock on file" in said:
            said = said.partition(". ")[0] + (
                ". Another process has the file open, and DuckDB lets only one write: close it, or "
                "load into a new file and move that into place"
            )
        return StorageError(f"{self.name}: {said}. {UNCHANGED}")
