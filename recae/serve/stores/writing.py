"""Writes interactions into a store, in the layout that `open_store` reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recae.data import Interactions, as_interactions
from recae.errors import ConfigError, check_flag, explained
from recae.serve.stores.protocol import Id
from recae.serve.stores.redis_lists import RedisDriver
from recae.serve.stores.urls import as_store_errors, driver_of, parquet_of, scheme_of
from recae.system.files import TABLES, atomic_file


@explained
def write_histories(store: str, interactions: Any, *, overwrite: bool = False) -> int:
    """Writes interactions into the store of a URL; returns the number of their users.

    store: as in `open_store`. interactions: as in `fit`; weights and times are not written. A
    Parquet file or a table is made, and must not exist unless `overwrite` replaces it. In Redis the
    lists of these users are written, and `overwrite` replaces theirs only. Other contents of a
    database stay.

    Raises ConfigError for the URL and a missing extra, DataError for the interactions, StorageError
    if the store cannot be written or has a table or users of that name.

    >>> recae.serve.write_histories("parquet:likes.parquet", data)
    5
    >>> recae.serve.open_store("parquet:likes.parquet").histories([0])
    {0: [0, 1]}
    """
    scheme, replace = scheme_of(store), check_flag("overwrite", overwrite)
    data = as_interactions(interactions)
    with as_store_errors():
        if scheme == "parquet":
            path, user, item, _ = parquet_of(store)
            with atomic_file(path, overwrite=replace, endings=TABLES) as part:
                pq.write_table(_rows(data).rename_columns([user, item]), part, compression="zstd")
            return data.n_users
        driver, _ = driver_of(store)
        if isinstance(driver, RedisDriver):
            kind = "int" if data.items.kind == "int" else "text"
            if driver.layout.item_ids != kind:
                raise ConfigError(f"the item ids are {kind}: add item_ids={kind} to the URL")
            driver.write(_lists(data), replace)
        else:
            driver.write(_rows(data), replace)
    return data.n_users


def _rows(data: Interactions) -> pa.Table:
    """A row for each interaction, by ascending user: columns user_id and item_id."""
    users = np.repeat(np.arange(data.n_users), np.diff(data.matrix.indptr))
    ids = pa.array(data.users.ids).take(pa.array(users))
    return pa.table(
        {"user_id": ids, "item_id": pa.array(data.items.ids).take(pa.array(data.matrix.indices))}
    )


def _lists(data: Interactions) -> Iterator[tuple[Id, list[Id]]]:
    starts = data.matrix.indptr.tolist()
    for row, user in enumerate(data.users.ids.tolist()):
        if starts[row] < starts[row + 1]:
            yield user, data.items.ids[data.matrix.indices[starts[row] : starts[row + 1]]].tolist()
