"""Synthetic users as a Parquet file, streamed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recae.data import IdMap, Interactions
from recae.files import atomic_file


def write_batches(path: str | Path, items: IdMap, batches: Iterable[Interactions]) -> int:
    """Writes a row group for each batch, columns user_id (text) and item_id; the number of rows.

    Raises StorageError if the file cannot be written.
    """
    item_ids = pa.array(items.ids, type=pa.string() if items.kind == "str" else pa.int64())
    schema = pa.schema([("user_id", pa.string()), ("item_id", item_ids.type)])
    written = 0
    with atomic_file(path) as part, pq.ParquetWriter(part, schema, compression="zstd") as writer:
        for batch in batches:
            matrix = batch.matrix
            users = pa.array(batch.users.ids, type=pa.string())
            rows = np.repeat(np.arange(batch.n_users), np.diff(matrix.indptr))
            columns = [users.take(pa.array(rows)), item_ids.take(pa.array(matrix.indices))]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
            written += batch.nnz
    return written
