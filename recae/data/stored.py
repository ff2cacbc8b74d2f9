"""Interactions in a Parquet file of our own, written and read a block at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recae.data import csr
from recae.data.idmap import IdMap
from recae.data.interactions import Interactions
from recae.data.readers import ParquetSource
from recae.data.table import DEFAULT_TIME, DEFAULT_WEIGHT, Columns

COLUMNS: Columns = ("user_id", "item_id", DEFAULT_WEIGHT, DEFAULT_TIME)


def write_interactions(data: Interactions, path: Path) -> None:
    """Writes the rows of `data.to_frame()` to a Parquet file, a row group for each block."""
    users, items = pa.array(data.users.ids), pa.array(data.items.ids)
    schema = {"user_id": users.type, "item_id": items.type, DEFAULT_WEIGHT: pa.float32()}
    if data.times is not None:
        schema[DEFAULT_TIME] = pa.int64()
    matrix, indptr = data.matrix, data.matrix.indptr
    with pq.ParquetWriter(path, pa.schema(schema), compression="zstd") as writer:
        for rows in csr.row_blocks(indptr):
            entries = slice(indptr[rows.start], indptr[rows.stop])
            lengths = np.diff(indptr[rows.start : rows.stop + 1])
            user_codes = np.repeat(np.arange(rows.start, rows.stop), lengths)
            columns = [
                users.take(pa.array(user_codes)),
                items.take(pa.array(matrix.indices[entries])),
                pa.array(matrix.data[entries]),
            ]
            if data.times is not None:
                columns.append(pa.array(data.times[entries]))
            writer.write_table(pa.Table.from_arrays(columns, schema=writer.schema))


def read_interactions(path: Path, users: IdMap, items: IdMap) -> Interactions:
    """What `write_interactions` wrote, with these ids. Raises DataError for any other file."""
    source = ParquetSource([path], COLUMNS)
    return Interactions._from_source(source, source.used, "error", None, False, users, items)
