"""The lists of a model in Spark: a function for `DataFrame.mapInArrow`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recae.errors import DataError, check_option, explained
from recae.recommend.saved import ITEMS
from recae.scale.lists import LISTS
from recae.scale.recommend import Recommend

USER_IDS = {"int": "bigint", "text": "string"}


@explained
def map_in_arrow(
    model_path: str | Path, k: int = 100, *, user_ids: str = "int", **options: Any
) -> MapInArrow:
    """A function for `DataFrame.mapInArrow` that gives the lists of a saved model.

        histories = plays.groupBy("user_id").agg(F.collect_list("item_id").alias("item_id"))
        lists = map_in_arrow("/shared/model", k=100)
        histories.mapInArrow(lists, lists.schema).write.parquet("/shared/lists")

    The frame has a row for each user: user_id, and item_id with a list. user_ids: "int" or "text",
    the kind of the user ids, which the schema needs. model_path, options: as in `Recommend`. Each
    Python worker loads the model once; it must be readable under the path on all machines, and
    recae must be installed on them. Torch computes with as many threads as `spark.task.cpus`.

    Needs pyspark on the cluster (`pip install "recae[spark]"`), and nothing to call this. Raises
    DataError and ConfigError as `Recommend` does.

    >>> path = recae.EASE().fit(data).save("model")
    >>> recae.scale.map_in_arrow(path, k=1).schema
    'user_id bigint, item_id bigint, score float, rank int'
    """
    check_option("user_ids", user_ids, USER_IDS)
    return MapInArrow(Recommend(model_path, k, **options), user_ids)


class MapInArrow:
    """What `map_in_arrow` gives: batches of histories in, batches of lists out; see there.

    schema: the columns of the lists for Spark.
    """

    def __init__(self, recommend: Recommend, user_ids: str) -> None:
        of_items = pq.read_schema(Path(recommend.model_path) / ITEMS).field("item_id").type
        items = USER_IDS["int" if pa.types.is_integer(of_items) else "text"]
        self.recommend, self.user_ids = recommend, user_ids
        self.schema = f"user_id {USER_IDS[user_ids]}, item_id {items}, score float, rank int"

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The lists of each batch of histories. Raises DataError as `Recommend` does."""
        for batch in batches:
            found = self.recommend(batch)
            wanted = pa.int64() if self.user_ids == "int" else pa.string()
            if found.schema.field(LISTS[0]).type != wanted:
                other = "text" if self.user_ids == "int" else "int"
                raise DataError(
                    f"the user ids are {other}, not {self.user_ids}: pass user_ids={other!r}"
                )
            yield from found.to_batches()
