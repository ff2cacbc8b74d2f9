"""The usual filters of interactions (thresholds, rare items, light users, k-core) as masks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recae.data import csr
from recae.errors import DataError, check_integer, check_number

Mask = npt.NDArray[np.bool_]


def passing(
    matrix: csr.Matrix, min_weight: float | None, min_per_item: int, min_per_user: int
) -> Mask:
    """The entries of a CSR that pass all filters, (nnz,) bool. Each is applied once, in this order:
    the weight of an entry, the entries of its column, the entries of its row. Each counts the
    entries that pass the filters before it.

    Raises DataError, naming the filter, if nothing is left; ConfigError for a negative count or a
    weight that is no finite number.
    """
    check_integer("min_per_item", min_per_item, 0)
    check_integer("min_per_user", min_per_user, 0)
    mask = np.ones(len(matrix.data), dtype=np.bool_)
    if min_weight is not None:
        min_weight = check_number("min_weight", min_weight)
        mask = _some(matrix.data >= min_weight, "min_weight", f"{min_weight:g}")
    per_item = csr.counts(matrix.indices[mask], matrix.shape[1])
    mask = _some(
        mask & (per_item >= min_per_item)[matrix.indices], "min_per_item", str(min_per_item)
    )
    per_user = np.diff(csr.keep_entries(matrix.indptr, mask))
    enough = np.repeat(per_user >= min_per_user, np.diff(matrix.indptr))
    return _some(mask & enough, "min_per_user", str(min_per_user))


def k_core(matrix: csr.Matrix, min_per_user: int, min_per_item: int) -> tuple[Mask, Mask]:
    """The rows and the columns of the k-core, (n_users,) and (n_items,) bool. It is the largest
    part in which every row has `min_per_user` entries and every column `min_per_item` (Seidman
    1983, for two kinds of nodes).

    Repeatedly drops rows and columns with too few entries until nothing changes. Each entry is
    looked at a few times in all, however long the chain of removals is. Raises ConfigError unless
    both counts are integers >= 1, DataError if nothing is left.
    """
    check_integer("min_per_item", min_per_item)
    check_integer("min_per_user", min_per_user)
    # Rows and columns are looked up, so that a round costs the entries removed in it, not all.
    by_item = matrix.tocsc()
    sides = (
        (matrix.indptr, matrix.indices, np.diff(matrix.indptr).astype(np.int64), min_per_user),
        (by_item.indptr, by_item.indices, np.diff(by_item.indptr).astype(np.int64), min_per_item),
    )
    stays = [np.ones(len(count), dtype=np.bool_) for _, _, count, _ in sides]
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
    if not (stays[0].any() and stays[1].any()):
        raise DataError(
            f"no interactions are left in the core of min_per_user={min_per_user} and "
            f"min_per_item={min_per_item}; lower them"
        )
    return stays[0], stays[1]


def _entries(indptr: csr.Index, rows: csr.Index) -> csr.Index:
    """The places of the entries of these rows; unlike `csr.take_rows` it reads no other rows."""
    starts = indptr[rows].astype(np.int64)
    lengths = indptr[rows + 1] - starts
    ends = np.cumsum(lengths)
    places: csr.Index = np.arange(lengths.sum()) + np.repeat(starts - (ends - lengths), lengths)
    return places


def _some(mask: Mask, name: str, value: str) -> Mask:
    if not mask.any():
        raise DataError(f"no interactions are left after {name}={value}; lower it", parameter=name)
    return mask
