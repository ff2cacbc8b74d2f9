"""The usual filters: weak interactions, rare items, light users."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recae.errors import ConfigError, DataError

if TYPE_CHECKING:  # Interactions.filter calls this function
    from recae.data.interactions import Interactions


def filter_interactions(
    data: Interactions,
    *,
    min_weight: float | None = None,
    min_per_item: int = 0,
    min_per_user: int = 0,
    binarise: bool = False,
) -> Interactions:
    """The interactions that pass, each filter applied once, in this order (Liang et al. 2018):

    1. interactions with weight >= `min_weight` stay;
    2. items with at least `min_per_item` of those stay;
    3. users with at least `min_per_user` of what is left stay;
    4. with `binarise`, all weights become 1.

    Not iterated: the third step can leave an item with fewer than `min_per_item` interactions.
    Users and items left without interactions leave the id maps; the others keep their order.
    Raises DataError, naming the filter, if nothing is left; ConfigError for a negative count.
    """
    for name, value in (("min_per_item", min_per_item), ("min_per_user", min_per_user)):
        if value < 0:
            raise ConfigError(f"{name} must be >= 0, not {value}")
    if min_weight is not None:
        data = data.keep(data.matrix.data >= min_weight)
        _require(data, f"min_weight={min_weight:g}")
    per_item = np.bincount(data.matrix.indices, minlength=data.n_items)
    data = data.keep((per_item >= min_per_item)[data.matrix.indices])
    _require(data, f"min_per_item={min_per_item}")
    per_user = np.diff(data.matrix.indptr)
    data = data.select_users(np.flatnonzero(per_user >= max(min_per_user, 1)))
    _require(data, f"min_per_user={min_per_user}")
    per_item = np.bincount(data.matrix.indices, minlength=data.n_items)
    data = data.select_items(np.flatnonzero(per_item))
    return data.binarised() if binarise else data


def _require(data: Interactions, condition: str) -> None:
    if not data.nnz:
        raise DataError(f"no interactions are left after {condition}; lower it")
