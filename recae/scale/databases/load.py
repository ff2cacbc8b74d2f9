"""Loads an export into a database: checked first, visible when it is complete."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from recae.errors import DataError, StorageError, check_flag, explained
from recae.recommend.export import Export, open_export
from recae.recommend.export.blocks import plain_columns
from recae.recommend.export.manifest import LISTED, OWNERS
from recae.scale.databases.targets import database_of
from recae.system.progress import bar, check_progress


class Database(Protocol):
    """A place in a database that lists are loaded into.

    `check` and `load` raise StorageError for anything that the database or its server refuses.
    """

    name: str

    def check(self, overwrite: bool) -> None:
        """Raises StorageError if `load` cannot succeed: no connection, or something else there."""

    def load(self, rows: Rows, about: dict[str, Any], overwrite: bool) -> None:
        """Loads the rows beside what is there, compares the counts, and puts them in its place.

        about: the provenance, kept with the rows as JSON where the database can.
        """


class Rows:
    """The rows of an export, which are read once, and what they must amount to.

    total: the number of rows. owner, listed: the columns of those who have a list, and of what is
    listed. owners: how many have a list, or None if it is not known.
    """

    def __init__(self, export: Export, progress: bool | None) -> None:
        self.export, self.progress = export, progress
        self.schema = pa.schema([pa.field(one.name, _plain(one.type)) for one in export.schema])
        self.owner = OWNERS[export.manifest["kind"]]
        self.listed = LISTED[self.owner]
        self.total = export.rows
        without = export.manifest["users_without_rows"]
        self.owners = None if without is None else export.users - without
        self.error: BaseException | None = None

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows in their order. An error is kept, for a database that makes another of it."""
        try:
            with bar(self.total, "loading", "row", self.progress) as shown:
                for batch in self.export.batches():
                    plain_columns(batch.select([self.owner, self.listed, "score", "rank"]))
                    columns = [*map(pa.Array.cast, batch.columns, self.schema.types)]
                    yield pa.RecordBatch.from_arrays(columns, schema=self.schema)
                    shown.update(len(batch))
        except pa.ArrowInvalid as error:
            self.error = DataError(f"{self.export.path} holds too large integers: {error}")
            raise self.error from None
        except BaseException as error:
            self.error = error
            raise

    def reader(self) -> pa.RecordBatchReader:
        """The same as a stream of Arrow."""
        return pa.RecordBatchReader.from_batches(self.schema, self.batches())

    def compare(self, name: str, rows: int, owners: int) -> None:
        """Raises StorageError unless the database has counted what the export has."""
        wanted = self.owners if self.owners is not None else owners
        if (rows, owners) != (self.total, wanted):
            raise StorageError(
                f"{name} has counted {rows:,} rows with {owners:,} distinct {self.owner}, not "
                f"{self.total:,} with {wanted:,}: nothing was changed. Load the export again"
            )


def _plain(kind: pa.DataType) -> pa.DataType:
    """The type of a column in a database, where only integers and text are ids."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_unsigned_integer(kind):  # ADBC writes 2^64 - 1 as -1
        return pa.int64()
    return pa.string() if pa.types.is_large_string(kind) else kind


@explained
def load_export(
    export: str | Path | Export,
    target: str,
    *,
    overwrite: bool = False,
    progress: bool | None = None,
) -> int:
    """Loads what `Recommender.export` wrote into a database; returns the number of rows.

        duckdb:shop.duckdb?table=lists                extra `duckdb`
        postgresql://user@host/shop?table=lists       extra `postgresql`
        redis://:password@host:6379/0                 extra `redis`; keys `recae:lists:...`

    The export is verified first. Its rows are loaded beside those of an earlier load, counted, and
    put in their place at once; a call that fails or is killed changes nothing. A table gets the
    columns of the export and a comment with the provenance; in PostgreSQL also a primary key of
    user_id and rank, and the owner and rights of the table it replaces. Redis gets a list of item
    ids for each user, the best first: `GET recae:lists:current` gives the generation, and `LRANGE
    recae:lists:GENERATION:USER 0 9` ten items. The keys of the generation before expire a minute
    later. prefix= in the URL names other keys. docs/databases.md has more.

    export: a path, or what `open_export` gives. overwrite: replace the lists of an earlier load; a
    table that recae did not write is never replaced. progress: True, False, or None to ask the
    terminal. Raises ConfigError for the URL and a missing extra, DataError for a damaged export,
    and StorageError if the database refuses or cannot be reached.

    >>> rows = recae.Popularity().fit(data).export("lists", data, k=2)
    >>> recae.scale.load_export("lists", "duckdb:shop.duckdb?table=lists") == rows
    True
    """
    replace, shown = check_flag("overwrite", overwrite), check_progress(progress)
    database: Database = database_of(target)
    opened = export if isinstance(export, Export) else open_export(export)
    rows = Rows(opened, shown)
    database.check(replace)
    opened.verify()
    database.load(rows, _provenance(opened), replace)
    return rows.total


def _provenance(export: Export) -> dict[str, Any]:
    """What is kept beside the rows: the model, the data, the time and the counts."""
    names = ("kind", "model", "data", "created", "recae", "users", "rows")
    return {name: export.manifest[name] for name in names if name in export.manifest}
