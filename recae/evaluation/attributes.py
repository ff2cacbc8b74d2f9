"""Aligns item vectors and item categories with the items of a fold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from recae.data import IdMap, ItemTable
from recae.data.ids import show
from recae.data.tables.sources import is_table
from recae.errors import ConfigError, DataError
from recae.evaluation.external import Lists, Scorer
from recae.recommend.base import Recommender
from recae.system.digests import sha256_of_arrays

REMEDY = (
    "pass item_vectors=, such as a fitted recae.PureSVD, a pair (ids, array) or a frame with the "
    "item ids as its index"
)


def vectors_for(
    given: Any, model: Recommender | Lists | Scorer, items: IdMap, metric: object
) -> tuple[np.ndarray, str]:
    """Vectors of a fold's items, (n_items, d), zeros for items without one, and their source.

    given: a fitted model, a pair (ids, array (n, d)) or a frame (index: ids); None for the vectors
    of `model` itself. Raises ConfigError if that has none, DataError if the vectors are no finite
    numbers or lack an item that the model can recommend.
    """
    own = model.items_ if isinstance(model, Recommender) else model.items
    if given is None:
        try:
            given, source = (own.ids, _vectors_of(model)), "of the model"
        except ConfigError as error:
            name = type(model).__name__
            raise ConfigError(
                f"{metric} needs vectors of the items, and {name} has none: {REMEDY}"
            ) from error
    else:
        source = repr(given) if isinstance(given, Recommender) else "given"
    ids, array = _pair(given)
    known = ids.lookup(items.ids)  # where each item of the fold is among them, -1 if nowhere
    lacking = (known < 0) & (own.lookup(items.ids) >= 0)
    if lacking.any():
        raise DataError(
            f"item_vectors lack {int(lacking.sum()):,} of the {len(items):,} items, the first "
            f"{show(items.ids[int(lacking.argmax())])}: give every item a vector"
        )
    # The added row of zeros is that of an item without a vector, at -1.
    vectors = np.concatenate([array, np.zeros((1, array.shape[1]), dtype=array.dtype)])[known]
    return vectors, f"{source}, {sha256_of_arrays(vectors)[:16]}"


def _vectors_of(model: Recommender | Lists | Scorer) -> np.ndarray:
    if isinstance(model, Recommender):
        return model.item_embeddings_
    raise ConfigError("lists and scorers have no vectors of items")


def _pair(given: Any) -> tuple[IdMap, np.ndarray]:
    """The ids and the vectors of `item_vectors`: of a fitted model, of a frame, or of a pair.
    Raises DataError for other types and for numbers that are not finite."""
    if isinstance(given, Recommender):
        return given.items_, given.item_embeddings_
    ids: Any
    if isinstance(given, pd.DataFrame):
        ids, array = given.index, given.to_numpy()
    elif isinstance(given, tuple) and len(given) == 2:
        ids, array = given[0], np.asarray(given[1])
    else:
        raise DataError(f"item_vectors cannot be {type(given).__name__}: {REMEDY}")
    known = ids if isinstance(ids, IdMap) else IdMap(ids, "item")
    if array.ndim != 2 or len(array) != len(known) or array.dtype.kind not in "fiu":
        raise DataError(
            f"item_vectors must have a row of numbers for each of {len(known):,} ids; found "
            f"{array.dtype} of shape {array.shape}"
        )
    if not np.isfinite(array).all():
        bad = ~np.isfinite(array).all(axis=1)
        raise DataError(
            f"item_vectors hold NaN or infinite numbers for {int(bad.sum()):,} items, the first "
            f"{show(known.ids[int(bad.argmax())])}"
        )
    return known, array


def categories_for(given: Any, items: IdMap) -> tuple[Any, str]:
    """Categories of a fold's items, csr (n_items, n_categories) of ones, and where they are from.

    given: a table with the columns item_id and category, a row for each category of an item, where
    items that the fold does not have are ignored; None for groups of popularity, which follow from
    the counts. Items without a category are counted in a RecaeWarning. Raises DataError for another
    type, missing columns or values, or if no item has a category.
    """
    if given is None:
        return None, "head, middle and tail"
    if not is_table(given):
        raise DataError(
            "item_categories must be a table with the columns item_id and category, not "
            f"{type(given).__name__}",
            parameter="item_categories",
        )
    _, matrix = ItemTable(given).categories(items)
    return matrix, f"given, {sha256_of_arrays(matrix.indptr, matrix.indices)[:16]}"
