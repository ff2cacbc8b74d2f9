"""Everybody's top k as a Parquet file, streamed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recae.files import atomic_file
from recae.forks import survives_fork
from recae.ranking import TopK, check_k
from recae.recommender import Recommender
from recae.training import bar


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
) -> int:
    """Writes the rows of `model.recommend(users, k, history=history, ...)` to a Parquet file.

    Columns: user_id, item_id (int64 or string), score (float32), rank (int32, from 1). The rows are
    the same as `recommend` gives, but only one batch of them is in memory at a time. The file
    appears when it is complete; a file that was there stays until then. Returns the number of rows.
    Raises DataError as `recommend` does and StorageError when the file cannot be written.

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
    written = 0
    with (
        atomic_file(path) as part,
        pq.ParquetWriter(part, schema, compression="zstd") as writer,
        bar(len(request), "exporting", "user", progress) as shown,
    ):
        for rows, top in model._rank(request, most, exclude_seen, allowed, batch_size):
            table = _table(schema, user_ids[rows.start : rows.stop], item_ids, top)
            writer.write_table(table)
            written += len(table)
            shown.update(rows.stop - rows.start)
    return written


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
