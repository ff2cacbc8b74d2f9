"""Weak generalisation: random shares of every history, and splits by a column of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from recae.data.csr import row_blocks, row_numbers
from recae.data.interactions import Interactions, as_interactions
from recae.data.splits.folds import Fold, Split
from recae.errors import (
    ConfigError,
    DataError,
    check_integer,
    check_number,
    check_option,
    explained,
)
from recae.rng import Stream, check_seed, numpy_generator

PARTS = ("train", "train+validation")
TRAIN, VALIDATION, TEST = 0, 1, 2
_BY = ("user", "all")


def weak_split(
    data: Interactions, part: npt.NDArray[np.int8], history: str, mask: str | None = None
) -> Split:
    """The split of a table by the parts of its interactions; an empty part is None.

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
    user, item = (None if m.ascending else _ranks(m.ids) for m in (data.users, data.items))
    if user is None and item is None:  # the entries are in the order of their ids
        return drawn
    rows, columns = row_numbers(matrix.indptr), matrix.indices
    rows = rows if user is None else user[rows]
    columns = columns if item is None else item[columns]
    placed = np.empty_like(drawn)
    placed[np.lexsort((columns, rows))] = drawn
    return placed


def _ranks(ids: npt.NDArray[np.generic]) -> npt.NDArray[np.int64]:
    """The place of each id among the ascending ones."""
    order = np.argsort(ids, kind="stable")
    ranks = np.empty_like(order)
    ranks[order] = np.arange(len(ids))
    return ranks


def part_of_last(
    indptr: npt.NDArray[np.integer],
    keys: Sequence[npt.NDArray[Any] | _Drawn],
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


def counts_of_shares(
    n: npt.NDArray[np.int64], validation: float, test: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """How many of each user's n interactions validate and test, as `RandomSplit` says."""
    tests, valid = np.zeros_like(n), np.zeros_like(n)
    if test:
        spare = 1 + ((n >= 3) & (validation > 0))  # for training and validation
        tests = np.where(n >= 2, np.clip(_share(test, n), 1, np.maximum(n - spare, 1)), 0)
    if validation:
        room = np.maximum(n - tests - 1, 0)
        valid = np.minimum(np.maximum(_share(validation, n), 1), room)
    return valid, tests


def check_users(users: object) -> None:
    """Raises ConfigError unless it is None, a share in (0, 1] or a count."""
    if users is None:
        return
    if isinstance(users, int | np.integer):
        check_integer("users", users)
    elif not is_share(users, np.nextafter(1, 2)):
        raise ConfigError(
            f"users must be a share in (0, 1] or a count >= 1, not {users!r}",
            parameter="users",
            value=users,
        )


def some_users(
    data: Interactions, able: npt.NDArray[np.bool_], users: Any, seed: int
) -> npt.NDArray[np.bool_]:
    """(n_users,) flags of a share or a count of the users that are able, drawn by ascending id.

    Raises DataError for more than there are.
    """
    codes = np.flatnonzero(able)
    codes = codes[np.argsort(data.users.ids[codes], kind="stable")]
    is_count = isinstance(users, int | np.integer)
    count = int(users) if is_count else max(round(float(users) * len(codes)), 1)
    if count > len(codes) and (is_count or not len(codes)):
        raise DataError(
            f"users={users} is more than the {len(codes):,} users with enough interactions for a "
            "target"
        )
    chosen = np.zeros(len(able), dtype=np.bool_)
    chosen[numpy_generator(seed, Stream.TESTED_USERS).permutation(codes)[:count]] = True
    return chosen


@explained
@dataclass(frozen=True)
class RandomSplit:
    """Weak generalisation: random shares of the interactions validate and test.

    With `validation=0.2` and `test=0.2`, by user; o are interactions:

        user         a           b       c     d
        train        o o o       o       o     o
        validation         o       o
        test                 o       o     o

    By user, int(share * n) of a user's n interactions are drawn for each part, but at least 1 each
    if n >= 3. With n = 2 one is for testing (for validation if test is 0), with n = 1 none. One
    always remains for training. By all, int(share * n) of all n interactions are drawn, whoever has
    them: a user may then be tested with an empty history. `train` keeps all users and items, a fold
    holds the users with a target, and nothing is left out. A share of 0 means no such fold (None).

    >>> plays = pd.DataFrame({"user_id": [1] * 5, "item_id": range(5)})
    >>> split = recae.RandomSplit(0.2, 0.2).split(recae.Interactions.from_frame(plays), seed=0)
    >>> split.train.nnz, split.validation.target.nnz, split.test.target.nnz
    (3, 1, 1)
    """

    validation: float | int = 0.1
    """Share of the interactions, in [0, 1); or a count of each user's, where `test` is one too."""
    test: float | int = 0.1
    """Share of the interactions, in [0, 1); together with `validation` in (0, 1). Or a count >= 1
    of each user's interactions: those with too few to leave one for training only train (`SampleN`
    of LensKit)."""
    by: str = "user"
    """"user": the shares are of every user's interactions; "all": of all together."""
    history: str = "train+validation"
    """The history of the test fold, and its mask unless stated: "train+validation" or "train"."""
    mask: str | None = None
    """The mask of the test fold: "train+validation" or "train"; None: the history. RecBole has the
    history "train" and the mask "train+validation"."""
    users: float | int | None = None
    """The users that validate and test: a share in (0, 1], or a count; the others only train
    (`sample_users` of LensKit). None: all. Only with `by="user"`."""

    def split(self, interactions: Interactions | Any, seed: int = 0) -> Split:
        """The split of this seed, an integer >= 0; the order of rows and ids does not matter.

        Raises ConfigError for settings out of range, DataError if there is nothing to hide.

        >>> split = recae.RandomSplit(validation=0, test=0.5).split(data, seed=0)
        >>> split.train.nnz, split.test.target.nnz
        (6, 5)
        """
        interactions = as_interactions(interactions)
        check_seed(seed)
        self._check()
        indptr = interactions.matrix.indptr
        drawn = draws(interactions, seed)
        if self.by == "user":
            n = np.diff(indptr).astype(np.int64)
            if self._counts:
                enough = (n > self.validation + self.test).astype(np.int64)
                valid, test = enough * int(self.validation), enough * int(self.test)
            else:
                valid, test = counts_of_shares(n, self.validation, self.test)
            if self.users is not None:
                chosen = some_users(interactions, valid + test > 0, self.users, seed)
                valid, test = valid * chosen, test * chosen
        else:
            indptr = np.array([0, interactions.nnz])
            valid, test = (_share(share, indptr[1:]) for share in (self.validation, self.test))
        part = part_of_last(indptr, (drawn,), valid, test)
        for name, share, code in (
            ("validation", self.validation, VALIDATION),
            ("test", self.test, TEST),
        ):
            if share and not (part == code).any():
                raise DataError(
                    f"{name}={float(share):g} hides none of {interactions.nnz:,} interactions; "
                    "give more interactions, or a larger share"
                )
        return weak_split(interactions, part, self.history, self.mask)

    @property
    def _counts(self) -> bool:
        """Whether validation and test are counts of each user's interactions."""
        return any(
            isinstance(value, int | np.integer) and value != 0 and not isinstance(value, bool)
            for value in (self.validation, self.test)
        )

    def _check(self) -> None:
        """Raises ConfigError for settings that cannot be meant: a count beside a share, counts
        without by="user", and shares that leave nothing to train on or to hold out."""
        for name, other in (("validation", "test"), ("test", "validation")):
            value, partner = getattr(self, name), getattr(self, other)
            if not self._counts:
                check_number(name, value, low=0, below=1)
            elif isinstance(value, float | np.floating) and 0 < value < 1:
                check_integer(other, partner, 0, 2**31)
                raise ConfigError(
                    f"{name}={float(value):g} is a share and {other}={partner!r} a "
                    f"count: give two shares or two counts; {name}=0 makes no such fold",
                    parameter=name,
                    value=value,
                )
            else:
                check_integer(name, value, 0, 2**31)
        if self._counts and self.by != "user":
            raise ConfigError(
                f'counts need by="user", not {self.by!r}: give shares of all interactions',
                parameter="by",
                value=self.by,
            )
        if not self._counts and not 0 < self.validation + self.test < 1:
            raise ConfigError(
                "validation and test together must be a share in (0, 1), "
                f"not {float(self.validation):g} + {float(self.test):g}",
                parameter="test",
                value=self.test,
            )
        check_option("by", self.by, _BY)
        check_option("history", self.history, PARTS)
        if self.mask is not None:
            check_option("mask", self.mask, PARTS)
        check_users(self.users)
        if self.users is not None and self.by != "user":
            raise ConfigError(
                'users needs by="user": the shares of all interactions belong to all users',
                parameter="users",
                value=self.users,
            )


@explained
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
    check_number("share", share, above=0, below=1)
    indptr = interactions.matrix.indptr
    n = np.diff(indptr)
    hide = np.where(n >= 2, np.clip(_share(share, n), 1, np.maximum(n - 1, 1)), 0)
    if not hide.any():
        raise DataError("no user has two interactions: there is nothing to hide")
    part = part_of_last(indptr, (_Drawn(seed),), hide, np.zeros_like(hide))
    return weak_split(interactions, part, "train")


class _Drawn:
    """Random numbers in (-1, 0] for all interactions, drawn in their order when they are needed, so
    that the least of those in [0, 1) come last."""

    def __init__(self, seed: int) -> None:
        self.generator = numpy_generator(seed)

    def __getitem__(self, entries: slice) -> npt.NDArray[np.float64]:
        drawn: npt.NDArray[np.float64] = self.generator.random(entries.stop - entries.start)
        return -drawn


def _share(share: float, n: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """int(share * n) of each count."""
    # Rounded before it is cut, so that a share of 0.29 hides 29 of 100 and not 28.
    return np.floor(np.round(float(share) * n, 9)).astype(np.int64)
