"""A callable that adds the lists of a saved model to batches of histories, in any process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from recae.data import IdMap, Interactions, as_ids
from recae.errors import check_flag, check_integer, check_option, explained
from recae.ranking.top_k import TopK
from recae.recommend import Recommender
from recae.recommend.requests import UNKNOWN
from recae.recommend.rules import Rules
from recae.recommend.rules.declared import check_rules
from recae.recommend.rules.lists import UNKNOWN_ITEMS
from recae.scale.lists import LISTS, histories_of
from recae.scale.processes import check_version, computing, digest_of, here, loaded
from recae.system.files import as_path
from recae.system.machine import __version__
from recae.system.threads import survives_fork


@explained
class Recommend:
    """The lists of a saved model for Arrow tables of histories: a callable for `map_batches` of
    Ray Data, and for anything else that hands tables to processes.

    It is pickled as the path and the options. Each process loads the model when it is first called,
    and keeps it. The folder must be readable under this path on every machine (shared storage). A
    folder that holds another model than when the object was made, and another version of recae,
    are errors: lists of two models are never mixed.

    model_path: a folder that `save` wrote. k, exclude_seen, items, exclude_items, on_unknown,
    on_unknown_items, rules, batch_size: as in `Recommender.export`. threads: those that torch
    computes with during a call; None leaves their number, which Ray and Spark set to the CPUs of a
    task. Raises DataError for a folder that holds no recommender, and ConfigError for the options.

    >>> import pyarrow as pa
    >>> path = recae.EASE().fit(data).save("model")
    >>> lists = recae.scale.Recommend(path, k=1)
    >>> histories = pa.table({"user_id": [7], "item_id": [[0, 1]]})
    >>> lists(histories).column_names
    ['user_id', 'item_id', 'score', 'rank']
    """

    def __init__(
        self,
        model_path: str | Path,
        k: int = 100,
        *,
        exclude_seen: bool = True,
        items: Any = None,
        exclude_items: Any = None,
        on_unknown: str = "raise",
        on_unknown_items: str = "ignore",
        rules: Rules | None = None,
        batch_size: int | str = "auto",
        threads: int | None = None,
    ) -> None:
        self.model_path = str(as_path(model_path).absolute())
        self.k = check_integer("k", k)
        check_flag("exclude_seen", exclude_seen)
        check_option("on_unknown", on_unknown, UNKNOWN)
        check_option("on_unknown_items", on_unknown_items, UNKNOWN_ITEMS)
        check_rules(rules)
        self.limits = (
            None if items is None else as_ids(items, "item"),
            exclude_items,
            exclude_seen,
            on_unknown_items,
        )
        self.on_unknown, self.rules, self.batch_size = on_unknown, rules, batch_size
        self.threads = None if threads is None else check_integer("threads", threads)
        self.digest, self.recae = digest_of(self.model_path), __version__

    def __call__(self, table: pa.Table) -> pa.Table:
        """The lists of the users of a table: user_id, item_id, score (float32) and rank (int32).

        table: a row for each user, with distinct users in the column user_id, and lists of item ids
        in the column item_id. A column weight may have lists of as many weights. A user without
        items is one without a known history, see `on_unknown`. Lists are in the order of the rows.
        Raises DataError for the table and for a model folder that is gone or another one, and
        ConfigError for a machine with another version of recae.

        >>> import pyarrow as pa
        >>> path = recae.EASE().fit(data).save("ours")
        >>> empty = pa.table({"user_id": [7], "item_id": [[]]})
        >>> recae.scale.Recommend(path, k=2, on_unknown="popular")(empty)["item_id"].to_pylist()
        [0, 1]
        """
        with here(), computing(self.threads):
            model = self.model
            return self._lists(model, histories_of(table, model.items_))

    @property
    def model(self) -> Recommender:
        """The model, loaded once in each process.

        >>> recae.scale.Recommend(recae.EASE().fit(data).save("mine")).model
        EASE()
        """
        check_version(self.recae)
        return loaded(self.model_path, self.digest)

    @survives_fork
    def _lists(self, model: Recommender, histories: Interactions) -> pa.Table:
        ruled = model._ruled(None, histories, self.on_unknown, *self.limits, self.rules)
        users, items = ruled.request.users, model.items_
        most = min(self.k, len(items))
        parts = [
            rows_of(users[rows], items, top) for rows, top in ruled.batches(most, self.batch_size)
        ]
        return pa.concat_tables(parts)


def rows_of(users: np.ndarray, items: IdMap, top: TopK) -> pa.Table:
    """Lists as a table with a row for each of their items. users: (rows,) the ids of the rows."""
    rows, places = np.nonzero(top.items >= 0)
    columns = [
        id_array(users).take(pa.array(rows)),
        id_array(items.ids).take(pa.array(top.items[rows, places])),
        pa.array(top.scores[rows, places]),
        pa.array((places + 1).astype(np.int32)),
    ]
    return pa.Table.from_arrays(columns, names=list(LISTS))


def id_array(ids: np.ndarray) -> pa.Array:
    """Ids as int64 or string, even if there are none."""
    return pa.array(ids, type=pa.string() if ids.dtype == object else pa.int64())
