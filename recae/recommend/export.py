"""Everybody's top k as a Parquet file, streamed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recae.errors import ConfigError, DataError, StorageError
from recae.ranking.batches import Request
from recae.ranking.top_k import TopK, check_k
from recae.recommend.base import Recommender
from recae.system.files import as_path, atomic_file, check_target, plain, remove_directory
from recae.system.forks import survives_fork
from recae.system.machine import __version__
from recae.system.progress import bar

JOB = "export.json"
NUMBER = "[0-9]" * 12
SECONDS, ROWS = 10.0, 1 << 20
"""A part is written after so long, or when it has so many rows of lists."""


class Parts:
    """The tables of an export so far, a Parquet file for each stretch of users.

    folder: made if it is not there (its parent must be); job: what decides the result, ready for
    JSON. Parts of another job are never used nor overwritten. Raises StorageError for a folder that
    cannot be written to or holds something else, DataError for a damaged part, and ConfigError for
    another job, naming what differs; all before anything is ranked.
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
        with atomic_file(self.folder / JOB) as part:
            part.write_text(json.dumps(self.job, indent=2), encoding="utf-8")

    def add(self, table: pa.Table, users: int) -> None:
        """The rows of the next users; they are on disk a little later."""
        self.waiting.append(table)
        self.done += users
        rows = sum(map(len, self.waiting))
        if rows >= ROWS or time.perf_counter() - self.written >= SECONDS:
            self.write()

    def write(self) -> None:
        """Writes what waits. The name of a part says which users are in it: FIRST-END."""
        if not self.waiting:
            return
        file = self.folder / f"{_end(self.files):012d}-{self.done:012d}.parquet"
        with (
            atomic_file(file) as part,
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
        """Deletes the parts, which the export now holds."""
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
    """How many users some parts hold."""
    return int(files[-1].stem.partition("-")[2]) if files else 0


@survives_fork
def export_top_k(
    model: Recommender,
    path: str | Path,
    history: Any = None,
    k: int = 100,
    *,
    users: Any = None,
    exclude_seen: bool = True,
    items: Any = None,
    exclude_items: Any = None,
    on_unknown: str = "raise",
    batch_size: int | str = "auto",
    progress: bool | None = None,
    checkpoint: str | Path | None = None,
) -> int:
    """Writes the rows of `model.recommend(users, k, history=history, ...)` to a Parquet file.

    Columns: user_id, item_id (int64 or string), score (float32), rank (int32, from 1). The rows are
    the same as `recommend` gives, but only one batch of them is in memory at a time. The file
    appears when it is complete; a file that was there stays until then. Returns the number of rows.

    checkpoint: a folder, new or empty, that keeps what is ranked so far; the same call finds it
    after a kill and goes on to the same file, and deletes it then. Costs a second writing.

    Raises DataError as `recommend` does, StorageError when the file cannot be written, and
    ConfigError for a checkpoint of another model, other histories or other options.

    >>> recae.recommend.export_top_k(recae.Popularity().fit(data), "top.parquet", data, k=1)
    5
    """
    request, allowed = model._request(users, history, items, exclude_items, on_unknown)
    most = min(check_k(k), len(model.items_))
    user_ids, item_ids = _ids(request.users), _ids(model.items_.ids)
    schema = pa.schema(
        [
            ("user_id", user_ids.type),
            ("item_id", item_ids.type),
            ("score", pa.float32()),
            ("rank", pa.int32()),
        ]
    )

    def ranked(first: int) -> Iterator[tuple[pa.Table, int]]:
        """The lists of the users from `first` on, batch by batch, and the number of users."""
        rest = request.part(slice(first, None)) if first else request  # a part is a copy
        with bar(len(request), "exporting", "user", progress, initial=first) as shown:
            for rows, top in model._rank(rest, most, exclude_seen, allowed, batch_size):
                users = user_ids.slice(first + rows.start, rows.stop - rows.start)
                yield _table(schema, users, item_ids, top), len(users)
                shown.update(len(users))

    if checkpoint is None:
        return _write(path, schema, (table for table, _ in ranked(0)))
    check_target(path)  # before hours of ranking
    parts = Parts(checkpoint, _job(model, request, most, exclude_seen, allowed))
    if not parts.files or parts.done < len(request):
        for table, users in ranked(parts.done):
            parts.add(table, users)
        parts.write()
    written = _write(path, schema, parts.tables())
    parts.remove()
    return written


def _write(path: str | Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> int:
    """Writes a row group for each table; the number of rows."""
    written = 0
    with atomic_file(path) as part, pq.ParquetWriter(part, schema, compression="zstd") as writer:
        for table in tables:
            writer.write_table(table)
            written += len(table)
    return written


def _job(
    model: Recommender, request: Request, k: int, exclude_seen: bool, allowed: np.ndarray | None
) -> dict[str, Any]:
    """What decides the rows of an export."""
    parts = {name: array.detach().cpu().numpy() for name, array in model._arrays().items()}
    matrix = request.matrix
    return {
        "recae": __version__,
        "model": model.name,
        "hyperparameters": model.get_params(),
        "weights": _digest(model.items_.ids, model.item_counts_, *parts.values()),
        "users": _digest(request.users, request.known),
        "histories": _digest(matrix.indptr, matrix.indices, matrix.data),
        "k": k,
        "exclude_seen": exclude_seen,
        "allowed items": None if allowed is None else _digest(allowed),
    }


def _digest(*arrays: np.ndarray) -> str:
    found = sha256()
    for array in arrays:
        found.update(f"{array.dtype} {array.shape} ".encode())
        if array.dtype == object:  # text of any length
            found.update(repr(array.tolist()).encode())
        else:
            found.update(np.ascontiguousarray(array).view(np.uint8).data)
    return found.hexdigest()


def _ids(ids: np.ndarray) -> pa.Array:
    """Ids as int64 or string, also when there are none to tell it by."""
    return pa.array(ids, type=pa.string() if ids.dtype == object else pa.int64())


def _table(schema: pa.Schema, user_ids: pa.Array, item_ids: pa.Array, top: TopK) -> pa.Table:
    rows, places = np.nonzero(top.items >= 0)
    columns = [
        user_ids.take(pa.array(rows)),
        item_ids.take(pa.array(top.items[rows, places])),
        pa.array(top.scores[rows, places]),
        pa.array((places + 1).astype(np.int32)),
    ]
    return pa.Table.from_arrays(columns, schema=schema)
