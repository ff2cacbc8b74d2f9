"""What the splitters share: parts into folds, checks, and the order of the draws."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from recae.data.convert import as_interactions
from recae.data.csr import row_blocks, row_numbers
from recae.data.interactions import Interactions
from recae.data.splits.folds import Fold, Split
from recae.errors import ConfigError, DataError, unknown_option
from recae.rng import check_seed, numpy_generator

PARTS = ("train", "train+validation")
TRAIN, VALIDATION, TEST = 0, 1, 2


def check_history(history: str, what: str = "history") -> None:
    if history not in PARTS:
        raise unknown_option(what, history, PARTS)


def weak_split(
    data: Interactions, part: npt.NDArray[np.int8], history: str, mask: str | None = None
) -> Split:
    """The split of a table whose interactions are in these parts; a part nobody is in is None.

    part: (nnz,) of TRAIN, VALIDATION and TEST, beside `matrix.data`. `train` has all users and
    items of the data, a fold the users with a target. mask: of the test, its history unless stated.
    """
    train = data.keep(part == TRAIN)
    parts = {"train": train}
    if "train+validation" in (history, mask):
        parts["train+validation"] = data.keep(part != TEST)
    before, hidden = parts[history], parts[mask or history]
    valid, test = None, None
    if (part == VALIDATION).any():
        valid = fold_of(train, data.keep(part == VALIDATION), train)
    if (part == TEST).any():
        test = fold_of(before, data.keep(part == TEST), hidden)
    return Split(train, valid, test)


def draws(data: Interactions, seed: int) -> npt.NDArray[np.float64]:
    """(nnz,) random numbers in [0, 1) that belong to the ids, not to the order of the id maps."""
    matrix = data.matrix
    drawn: npt.NDArray[np.float64] = numpy_generator(seed).random(data.nnz)
    user, item = (_ranks(ids.ids) for ids in (data.users, data.items))
    if user is None and item is None:  # the entries are in the order of their ids
        return drawn
    rows, columns = row_numbers(matrix.indptr), matrix.indices
    rows = rows if user is None else user[rows]
    columns = columns if item is None else item[columns]
    placed = np.empty_like(drawn)
    placed[np.lexsort((columns, rows))] = drawn
    return placed


def _ranks(ids: npt.NDArray[np.generic]) -> npt.NDArray[np.int64] | None:
    """The place of each id among the ascending ones; None if that is where they are."""
    order = np.argsort(ids, kind="stable")
    ranks = np.empty_like(order)
    ranks[order] = np.arange(len(ids))
    return None if (order[1:] > order[:-1]).all() else ranks


def part_of_last(
    indptr: npt.NDArray[np.integer],
    keys: Sequence[npt.NDArray[Any]],
    valid: npt.NDArray[np.int64],
    test: npt.NDArray[np.int64],
) -> npt.NDArray[np.int8]:
    """(nnz,) parts: the last `test` of every row, and the `valid` before them.

    keys: (nnz,) arrays that order a row, the last one first, as in `numpy.lexsort`; valid, test:
    (rows,) counts.
    """
    part = np.empty(int(indptr[-1]), dtype=np.int8)
    for block in row_blocks(indptr):
        bounds = indptr[block.start : block.stop + 1].astype(np.int64)
        entries = slice(bounds[0], bounds[-1])
        rows = row_numbers(bounds)
        order = np.lexsort((*(key[entries] for key in keys), rows))
        from_end = (bounds[1:] - 1)[rows] - np.arange(bounds[0], bounds[-1])
        tests, held_out = test[block], (test + valid)[block]
        ranked = np.where(from_end < tests[rows], TEST, VALIDATION)
        ranked[from_end >= held_out[rows]] = TRAIN
        part[entries][order] = ranked
    return part


def fold_of(history: Interactions, target: Interactions, mask: Interactions) -> Fold:
    """The fold of the users with a target; its mask is None where it is the history."""
    users = np.flatnonzero(np.diff(target.matrix.indptr))
    masked = None if mask is history else mask.select_users(users)
    return Fold(history.select_users(users), target.select_users(users), masked)


def is_share(value: object, below: float) -> bool:
    return isinstance(value, Real) and 0 < float(value) < below


def random_state(seed: int) -> np.random.RandomState:
    """numpy's legacy generator, for the published streams; private, so nothing global moves."""
    if check_seed(seed) >= 2**32:
        raise ConfigError(f"seed must be below 2**32 here, not {seed}")
    return np.random.RandomState(seed)


def holdout_pairs(interactions: Interactions | Any, share: float = 0.1, seed: int = 0) -> Split:
    """Weak generalisation: hides a random part of every user's interactions, for validation.

        user       a           b       c
        train      o o o o     o       o
        validation         x     x

    Of a user's n interactions int(share * n) are hidden, but at least 1 where n >= 2, and never
    all; with n = 1 none. `train` keeps all users and items; the validation fold holds the users
    with a target, their training interactions as history. There is no test fold. The draw follows
    the order of the users and items, which is ascending unless their ids were given.

    Raises ConfigError unless share is in (0, 1) and seed an integer >= 0, DataError if no user
    has two interactions.

    >>> recae.data.splits.holdout_pairs(data, 0.5).train.nnz  # one of two or three is hidden
    6
    """
    interactions = as_interactions(interactions)
    if not is_share(share, 1):
        raise ConfigError(f"share must be in (0, 1), not {share!r}")
    indptr = interactions.matrix.indptr
    n = np.diff(indptr)
    # Rounded before it is cut, so that a share of 0.29 hides 29 of 100 and not 28.
    hide = np.floor(np.round(share * n, 9)).astype(np.int64)
    hide = np.where(n >= 2, np.clip(hide, 1, np.maximum(n - 1, 1)), 0)
    if not hide.any():
        raise DataError("no user has two interactions: there is nothing to hide")
    rows = row_numbers(indptr)
    shuffled = np.lexsort((numpy_generator(seed).random(interactions.nnz), rows))
    rank = np.arange(interactions.nnz) - indptr[rows]
    hidden = np.zeros(interactions.nnz, dtype=bool)
    hidden[shuffled[rank < hide[rows]]] = True
    train, target = interactions.keep(~hidden), interactions.keep(hidden)
    return Split(train, fold_of(train, target, train), None)
