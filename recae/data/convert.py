"""Whatever a caller has, as Interactions."""

from __future__ import annotations

from typing import Any

from recae.data.csr import is_sparse
from recae.data.idmap import IdMap
from recae.data.interactions import Interactions
from recae.data.tables.sources import is_table
from recae.errors import DataError


def as_interactions(given: Any, items: IdMap | None = None) -> Interactions:
    """Interactions as given, from a table with the default column names, or from a scipy matrix.

    A matrix must be in the order of `items` (a model's own), if those are given. Raises DataError.
    """
    if isinstance(given, Interactions):
        return given
    if is_table(given):
        return Interactions.from_frame(given)
    if is_sparse(given):
        if items is not None and given.ndim == 2 and given.shape[1] != len(items):
            raise DataError(
                f"history has {given.shape[1]} item columns; this model was fitted on "
                f"{len(items)}; encode it with model.items_, or give a frame or Interactions"
            )
        return Interactions.from_csr(given, items=items)
    raise DataError(
        "expected Interactions, a table (pandas, polars, Arrow) or a scipy sparse matrix, "
        f"not {type(given).__name__}"
    )
