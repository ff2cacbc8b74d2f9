"""Finds duplicate users: fold users who also occur in training under another id.

All items of a user in a split, history and target together, form one set. Equal sets have equal
hashes: the sum, modulo 2^64, of a random number for each item. Nearly equal ones share one of a few
bands of MinHash values with high probability, and are then compared. (Broder 1997, On the
resemblance and containment of documents; bands as in Leskovec, Rajaraman & Ullman, Mining of
massive datasets, section 3.4.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from recae.data.csr import Matrix, row_numbers
from recae.data.idmap import IdMap
from recae.data.ids import show
from recae.data.interactions import Interactions
from recae.data.splits.folds import Fold
from recae.errors import warn
from recae.rng import numpy_generator

SHORTEST, SHORTEST_NEAR = 5, 10
"""Items that a user needs, so that equal sets, and nearly equal ones, are no accident."""
NEAR = 0.8
"""Jaccard similarity of near twins: a copy of a history without its target has as much."""
BANDS, ROWS = 8, 4
"""Bands and rows of MinHash. Users with similarity 0.8 agree in at least one band with a
probability of 1 - (1 - 0.8^4)^8 = 0.98."""
NEIGHBOURS = 3
"""Users of a bucket that each is compared with, on either side of it."""
PAIRS = 1 << 14
"""Pairs compared at a time."""

Rows = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


def check_twins(train: Interactions, fold: Fold, name: str) -> dict[str, int]:
    """The numbers of users of a fold with an exact or near twin in train; warns of any."""
    users, sets = whole_sets(train, fold)
    trained = np.zeros(len(users), dtype=np.bool_)
    trained[: train.n_users] = np.diff(train.matrix.indptr) > 0
    tested = np.zeros(len(users), dtype=np.bool_)
    tested[users.lookup(fold.history.users.ids)] = True
    exact = equal_partners(sets, trained)
    near = np.where(exact < 0, similar_partners(sets, trained), -1)
    found = {}
    for sort, how, partners in (("twins", "exactly", exact), ("near twins", "nearly", near)):
        twins = np.flatnonzero(tested & (partners >= 0))
        found[f"{name} users with {sort} in train"] = len(twins)
        if len(twins):
            # If the users of the fold are in training too, there is no one else to compare with.
            others = trained & ~tested
            among = f"{int((others & (partners >= 0)).sum()):,} of {int(others.sum()):,}"
            base = "" if (trained & tested).any() else f" (of those of train themselves {among})"
            first, second = (show(users.ids[row]) for row in (twins[0], partners[twins[0]]))
            size = int(np.diff(sets.indptr)[twins[0]])
            warn(
                f"{len(twins):,} of {int(tested.sum()):,} {name} users have {how} the items of "
                f"another user of train{base}: the first, {first}, the {size:,} items of {second}. "
                "If they are one person under two ids, take one of the two out"
            )
    return found


def whole_sets(train: Interactions, fold: Fold) -> tuple[IdMap, Matrix]:
    """The users of both parts, those of train first, with all their items, (users, n_items)."""
    users = train.users.union(fold.history.users)
    places = users.lookup(fold.history.users.ids)
    rows, columns = [row_numbers(train.matrix.indptr)], [train.matrix.indices]
    for part in (fold.history, fold.target):
        rows.append(places[row_numbers(part.matrix.indptr)])
        columns.append(part.matrix.indices)
    at = np.concatenate(rows), np.concatenate(columns)
    ones = np.ones(len(at[0]), dtype=np.float32)
    sets: Matrix = sp.csr_matrix((ones, at), shape=(len(users), train.n_items))
    sets.sum_duplicates()  # a test's history is in train too; older scipy leaves repeats
    sets.data[:] = 1
    return users, sets


def equal_partners(sets: Matrix, trained: Flags) -> Rows:
    """For every row another trained row with the same items, SHORTEST or more; -1 for none."""
    partners = np.full(sets.shape[0], -1, dtype=np.int64)
    rows = np.flatnonzero(np.diff(sets.indptr) >= SHORTEST)
    if not len(rows):
        return partners
    hashes = _reduced(np.add, _numbers(sets.shape[1], 0), sets, rows)
    order = np.lexsort((rows, ~trained[rows], hashes))  # of equal ones, those of training first
    rows, hashes = rows[order], hashes[order]
    starts = np.flatnonzero(np.append(True, hashes[1:] != hashes[:-1]))
    first = np.repeat(starts, np.diff(np.append(starts, len(rows))))
    alone = first == np.arange(len(rows))  # whose partner, if any, is the one after it
    other = np.where(alone, np.minimum(first + 1, len(rows) - 1), first)
    twins = (other != np.arange(len(rows))) & (hashes[other] == hashes) & trained[rows[other]]
    partners[rows[twins]] = rows[other[twins]]
    return partners


def similar_partners(sets: Matrix, trained: Flags) -> Rows:
    """For every row another trained row with a similarity of NEAR or more, -1 if none was found;
    both with SHORTEST_NEAR items or more."""
    partners = np.full(sets.shape[0], -1, dtype=np.int64)
    rows = np.flatnonzero(np.diff(sets.indptr) >= SHORTEST_NEAR)
    candidates = [np.empty(0, dtype=np.int64)]
    for band in range(BANDS if len(rows) > 1 else 0):
        keys = np.zeros(len(rows), dtype=np.uint64)
        for row in range(ROWS):
            numbers = _numbers(sets.shape[1], 1 + band * ROWS + row)
            keys = keys * np.uint64(0x9E3779B97F4A7C15) + _reduced(np.minimum, numbers, sets, rows)
        order = np.argsort(keys, kind="stable")
        for step in range(1, NEIGHBOURS + 1):
            here, there = order[:-step], order[step:]
            same = keys[here] == keys[there]
            candidates.append(rows[here[same]] * len(partners) + rows[there[same]])
    pairs = np.unique(np.concatenate(candidates))
    first, second = np.divmod(pairs, len(partners))
    some = trained[first] | trained[second]
    first, second = first[some], second[some]
    sizes = np.diff(sets.indptr)
    for start in range(0, len(first), PAIRS):
        one, two = first[start : start + PAIRS], second[start : start + PAIRS]
        shared = np.asarray(sets[one].multiply(sets[two]).sum(axis=1)).ravel()
        alike = shared >= NEAR * (sizes[one] + sizes[two] - shared)
        for ours, theirs in ((one, two), (two, one)):
            found = alike & trained[theirs]
            partners[ours[found]] = theirs[found]
    return partners


def _numbers(n_items: int, seed: int) -> npt.NDArray[np.uint64]:
    """A random number for each item, (n_items,); the same in every run."""
    return numpy_generator(seed).integers(2**64, size=n_items, dtype=np.uint64)


def _reduced(ufunc: np.ufunc, numbers: npt.NDArray[np.uint64], sets: Matrix, rows: Rows) -> Any:
    """The numbers of a row's items reduced to one, (rows,); the rows must not be empty."""
    filled = np.flatnonzero(np.diff(sets.indptr))
    of_all = ufunc.reduceat(numbers[sets.indices], sets.indptr[filled])
    return of_all[np.searchsorted(filled, rows)]
