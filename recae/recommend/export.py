"""Writes ranked lists to a Parquet file batch by batch, with a checkpoint to resume from."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recae.errors import ConfigError, DataError, StorageError
from recae.ranking.batches import Request
from recae.ranking.top_k import TopK
from recae.system.digests import sha256_of_arrays, sha256_of_json
from recae.system.files import (
    TABLES,
    as_path,
    atomic_file,
    check_apart,
    check_target,
    plain,
    remove_directory,
)
from recae.system.machine import __version__
from recae.system.progress import bar, say

COLUMNS = ("user_id", "item_id", "score", "rank")
JOB = "export.json"
NUMBER = "[0-9]" * 12
SECONDS, ROWS = 10.0, 1 << 20
"""A part is written after this many seconds, or when it has this many rows."""


class Parts:
    """The checkpoint of an export: a folder with a Parquet file for each range of users.

    folder: made if it does not exist (its parent must); job: everything that the result depends on,
    ready for JSON. Parts of another job are never used nor overwritten. Before anything is ranked,
    raises StorageError for a folder that cannot be written to or holds something else, DataError
    for a damaged part, and ConfigError for another job, naming what differs.
    """

    def __init__(self, folder: str | Path, job: Mapping[str, Any]) -> None:
        self.folder = as_path(folder)
        self.job: dict[str, Any] = json.loads(json.dumps(job, default=plain))
        self.files: list[Path] = []
        self.done, self.waiting, self.written = 0, list[pa.Table](), time.perf_counter()
        if self.folder.is_file():
            raise StorageError(f"the checkpoint {folder} is a file: name a folder")
        if self.folder.is_dir() and any(self.folder.iterdir()):
            self._resume()
            return
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise StorageError(f"cannot make the folder {folder}: {error.strerror}") from error
        with atomic_file(self.folder / JOB, overwrite=True) as part:
            part.write_text(json.dumps(self.job, indent=2), encoding="utf-8")

    def add(self, table: pa.Table, users: int) -> None:
        """Adds the rows of the next users; they are written in larger parts."""
        self.waiting.append(table)
        self.done += users
        rows = sum(map(len, self.waiting))
        if rows >= ROWS or time.perf_counter() - self.written >= SECONDS:
            self.write()

    def write(self) -> None:
        """Writes the waiting rows. A part is named after the users in it: FIRST-END."""
        if not self.waiting:
            return
        file = self.folder / f"{_end(self.files):012d}-{self.done:012d}.parquet"
        with (
            atomic_file(file, overwrite=True) as part,
            pq.ParquetWriter(part, self.waiting[0].schema, compression="zstd") as writer,
        ):
            for table in self.waiting:
                writer.write_table(table)
        self.files.append(file)
        self.waiting, self.written = [], time.perf_counter()

    def tables(self) -> Iterator[pa.Table]:
        """Everything written, one row group at a time."""
        for file in self.files:
            with pq.ParquetFile(file) as parquet:
                for group in range(parquet.num_row_groups):
                    yield parquet.read_row_group(group)

    def remove(self) -> None:
        """Deletes the folder, once the export is complete."""
        remove_directory(self.folder)

    def _resume(self) -> None:
        try:
            found = json.loads((self.folder / JOB).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StorageError(
                f"{self.folder} holds no checkpoint of an export: name an empty or a new folder"
            ) from error
        differ = [name for name in self.job if found.get(name) != self.job[name]]
        if differ:
            raise ConfigError(
                f"the checkpoint {self.folder} is of another export (other: {', '.join(differ)}); "
                "name another folder, or delete this one to begin anew"
            )
        self.files = sorted(self.folder.glob(f"{NUMBER}-{NUMBER}.parquet"))
        for before, file in enumerate(self.files):
            first = _end(self.files[:before])
            if int(file.stem.partition("-")[0]) != first:
                raise DataError(
                    f"{self.folder}: users from {first} on are missing: delete it to begin anew"
                )
            try:
                pq.read_metadata(file)
            except (OSError, pa.ArrowException) as error:
                raise DataError(
                    f"{file} is damaged ({error}): delete {self.folder} to begin anew"
                ) from error
        self.done = _end(self.files)


def _end(files: list[Path]) -> int:
    """The number of users in some parts."""
    return int(files[-1].stem.partition("-")[2]) if files else 0


def write_lists(
    path: str | Path,
    request: Request,
    item_ids: np.ndarray,
    ranked: Callable[[int], Iterable[tuple[slice, TopK]]],
    job: Callable[[], Mapping[str, Any]],
    *,
    progress: bool | None,
    checkpoint: str | Path | None,
    overwrite: bool,
    titles: Sequence[str | None] | None = None,
) -> int:
    """Writes the lists of the users of a request to a Parquet file; returns the number of rows.

    Columns: user_id, item_id (int64 or string), score (float32), rank (int32, from 1). Only one
    batch of lists is in memory at a time. The file appears when it is complete.

    item_ids: the ids of the items in the lists; ranked: called with the number of the first user,
    gives the lists batch by batch with the rows (from 0) of their users; job: everything else that
    the rows depend on, called with a checkpoint only. progress, checkpoint, overwrite: as in
    `Recommender.export`. titles: of the items in the lists, which become the column title (string).
    """
    user_ids, listed_ids = _ids(request.users), _ids(item_ids)
    types = user_ids.type, listed_ids.type, pa.float32(), pa.int32()
    schema = pa.schema(list(zip(COLUMNS, types, strict=True)))
    listed = [listed_ids]
    if titles is not None:
        listed.append(pa.array(titles, type=pa.string()))
        schema = schema.append(pa.field("title", pa.string()))

    def tables(first: int) -> Iterator[tuple[pa.Table, int]]:
        """The lists of the users from `first` on, and the number of users."""
        with bar(len(request), "exporting", "user", progress, initial=first) as shown:
            for rows, top in ranked(first):
                users = user_ids.slice(first + rows.start, rows.stop - rows.start)
                yield _table(schema, users, listed, top), len(users)
                shown.update(len(users))

    if checkpoint is None:
        return _write(path, schema, (table for table, _ in tables(0)), overwrite)
    # before hours of ranking
    check_target(path, overwrite=overwrite, endings=TABLES)
    check_apart([path, checkpoint], [])
    matrix = request.matrix
    about = {
        "recae": __version__,
        "users": sha256_of_arrays(request.users, request.known),
        "histories": sha256_of_arrays(matrix.indptr, matrix.indices, matrix.data),
        "titles": None if titles is None else sha256_of_json(list(titles)),
    }
    parts = Parts(checkpoint, {**job(), **about})
    if parts.done:
        say(
            f"exporting: resumed after user {parts.done:,} of {len(request):,}, {parts.folder}",
            progress,
        )
    if not parts.files or parts.done < len(request):
        for table, users in tables(parts.done):
            parts.add(table, users)
        parts.write()
    written = _write(path, schema, parts.tables(), overwrite)
    parts.remove()
    return written


def _write(path: str | Path, schema: pa.Schema, tables: Iterable[pa.Table], overwrite: bool) -> int:
    """Writes a row group for each table; the number of rows."""
    written = 0
    with (
        atomic_file(path, overwrite=overwrite, endings=TABLES) as part,
        pq.ParquetWriter(part, schema, compression="zstd") as writer,
    ):
        for table in tables:
            writer.write_table(table)
            written += len(table)
    return written


def _ids(ids: np.ndarray) -> pa.Array:
    """Ids as int64 or string, even if there are none."""
    return pa.array(ids, type=pa.string() if ids.dtype == object else pa.int64())


def _table(schema: pa.Schema, user_ids: pa.Array, listed: list[pa.Array], top: TopK) -> pa.Table:
    """A row for each item of the lists; listed: what is written of the items, their ids first."""
    rows, places = np.nonzero(top.items >= 0)
    ids, *titles = (column.take(pa.array(top.items[rows, places])) for column in listed)
    columns = [
        user_ids.take(pa.array(rows)),
        ids,
        pa.array(top.scores[rows, places]),
        pa.array((places + 1).astype(np.int32)),
        *titles,
    ]
    return pa.Table.from_arrays(columns, schema=schema)
