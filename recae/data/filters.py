"""The usual filters: weak interactions, rare items, light users, and the k-core."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from recae.data.csr import column_counts
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
        _check_count(name, value, 0)
    if min_weight is not None:
        if not _is_finite(min_weight):
            raise ConfigError(f"min_weight must be a finite number, not {min_weight!r}")
        data = data.keep(data.matrix.data >= min_weight)
        _require(data, f"min_weight={min_weight:g}")
    per_item = column_counts(data.matrix)
    data = data.keep((per_item >= min_per_item)[data.matrix.indices])
    _require(data, f"min_per_item={min_per_item}")
    per_user = np.diff(data.matrix.indptr)
    data = data.select_users(np.flatnonzero(per_user >= max(min_per_user, 1)))
    _require(data, f"min_per_user={min_per_user}")
    per_item = column_counts(data.matrix)
    data = data.select_items(np.flatnonzero(per_item))
    return data.binarised() if binarise else data


def k_core(data: Interactions, *, min_per_user: int = 5, min_per_item: int = 5) -> Interactions:
    """The largest part in which every user has `min_per_user` and every item `min_per_item`.

    Light users and rare items leave until none is left to leave; the result does not depend on the
    order in which they do (Seidman 1983, for two kinds of nodes). The others keep their order and
    their interactions among each other. Every interaction is looked at a few times in all, however
    long the chain of removals is. Raises ConfigError unless both counts are integers >= 1,
    DataError if nothing is left.
    """
    for name, value in (("min_per_item", min_per_item), ("min_per_user", min_per_user)):
        _check_count(name, value, 1)
    by_user = data.matrix
    # Rows of both are looked up, so that a round costs what leaves in it and not the whole table.
    by_item = by_user.tocsc()
    sides = (
        (by_user.indptr, by_user.indices, np.diff(by_user.indptr).astype(np.int64), min_per_user),
        (by_item.indptr, by_item.indices, np.diff(by_item.indptr).astype(np.int64), min_per_item),
    )
    stays = [np.ones(len(count), dtype=bool) for _, _, count, _ in sides]
    leaving = [np.flatnonzero(count < least) for _, _, count, least in sides]
    for side in (0, 1):
        stays[side][leaving[side]] = False
    while len(leaving[0]) or len(leaving[1]):
        for side, other in ((0, 1), (1, 0)):
            indptr, indices, _, _ = sides[side]
            _, _, count, least = sides[other]
            touched, times = np.unique(indices[_entries(indptr, leaving[side])], return_counts=True)
            count[touched] -= times
            light = touched[stays[other][touched] & (count[touched] < least)]
            stays[other][light] = False
            leaving[side] = leaving[side][:0]
            leaving[other] = np.concatenate([leaving[other], light])
    users, items = (np.flatnonzero(some) for some in stays)
    if not (len(users) and len(items)):
        raise DataError(
            f"no interactions are left in the core of min_per_user={min_per_user} and "
            f"min_per_item={min_per_item}; lower them"
        )
    return data.select_users(users).select_items(items)


def _is_finite(value: object) -> bool:
    return isinstance(value, Real) and bool(np.isfinite(float(value)))


def _check_count(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ConfigError(f"{name} must be an integer >= {least}, not {value!r}")


def _entries(indptr: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Where the entries of these rows lie; unlike `csr.take_rows` it never looks at other rows."""
    starts = indptr[rows].astype(np.int64)
    lengths = indptr[rows + 1] - starts
    ends = np.cumsum(lengths)
    places: np.ndarray = np.arange(lengths.sum()) + np.repeat(starts - (ends - lengths), lengths)
    return places


def _require(data: Interactions, condition: str) -> None:
    if not data.nnz:
        raise DataError(f"no interactions are left after {condition}; lower it")
