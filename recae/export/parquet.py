"""Everybody's top k as a Parquet file, streamed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recae.export.parts import Parts
from recae.files import atomic_file, check_target
from recae.forks import survives_fork
from recae.ranking import TopK, check_k
from recae.recommender import Recommender
from recae.recommender.requests import Request
from recae.training import bar
from recae.version import __version__


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

    >>> recae.export_top_k(recae.Popularity().fit(data), "top.parquet", data, k=1)
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
