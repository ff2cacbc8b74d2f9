"""Arrow tables with a row for each user and a list of items, as histories of a model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp

from recae.data import IdMap, Interactions
from recae.errors import DataError

LISTS = ("user_id", "item_id", "score", "rank")
"""The columns of lists."""

GROUPED = (
    "In Spark: df.groupBy('user_id').agg(F.collect_list('item_id').alias('item_id')); in DuckDB: "
    "SELECT user_id, list(item_id) AS item_id ... GROUP BY user_id"
)


def histories_of(table: Any, items: IdMap) -> Interactions:
    """The histories of a table with the columns user_id, and item_id with lists of item ids; rows
    as in the table. A column weight may have lists of weights. Raises DataError for anything else.

    items: those of the model; items that it does not know are left to its warning.
    """
    if isinstance(table, pa.RecordBatch):
        table = pa.Table.from_batches([table])
    if not isinstance(table, pa.Table):
        raise DataError(
            "a batch must be an Arrow table (batch_format='pyarrow' of Ray), not "
            f"{type(table).__name__}"
        )
    for name in ("user_id", "item_id"):
        if table.column_names.count(name) != 1:
            raise DataError(
                f"a batch needs one column {name}; its columns are "
                f"{', '.join(table.column_names) or 'none'}"
            )
    users = IdMap(table["user_id"], "user")
    owners, values = _flat(table["item_id"], "item_id")
    columns = {"user_id": pa.array(users.ids).take(owners), "item_id": values}
    if "weight" in table.column_names:
        of_weights, weights = _flat(table["weight"], "weight")
        if not of_weights.equals(owners):
            raise DataError("the lists of item_id and weight differ in length")
        columns["weight"] = weights
    if not len(owners):
        none = np.zeros(0, np.float32), np.zeros(0, np.int32), np.zeros(len(users) + 1, np.int64)
        nothing = sp.csr_matrix(none, shape=(len(users), len(items)))
        return Interactions.from_csr(nothing, users=users, items=items)
    return Interactions.from_frame(pa.table(columns), users=users)


def _flat(column: pa.ChunkedArray, name: str) -> tuple[pa.Array, pa.Array]:
    """The row of each element of a column of lists, and the elements."""
    kind = column.type
    if str(kind).startswith(("list_view", "large_list_view")):
        column = column.cast(pa.large_list(kind.value_type))
    elif not any(
        test(kind)
        for test in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    ):
        raise DataError(
            f"the column {name} must have a list for each user, not {kind}: a user whose rows were "
            f"spread over batches would get several lists. {GROUPED}"
        )
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.chunks else pa.array([], column.type)
    return pc.list_parent_indices(array), pc.list_flatten(array)
