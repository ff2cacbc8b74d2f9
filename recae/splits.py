"""Splitters: strong generalisation (held-out users), published tables, and hidden pairs."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from numbers import Real

import numpy as np
import pandas as pd

from recae.data import Interactions
from recae.data.csr import row_numbers
from recae.errors import ConfigError, DataError, RecaeWarning, unknown_option
from recae.folds import Fold, Split
from recae.rng import check_seed, numpy_generator

__all__ = ["Fold", "Split", "StrongGeneralization", "fixed_split", "holdout_pairs"]

_PARTS = ("train", "train+validation")


@dataclass(frozen=True)
class StrongGeneralization:
    """Held-out users whom the model never sees in training (Liang et al. 2018, WWW, section 4.2).

    With 6 users, `held_out=1` and `min_target=5`; o are interactions, x hidden ones:

        users   1 2 3 4 | 5                   | 6
        train   o o o o |                     |
        valid.          | history o o o o     |
                        | target          x   |
        test            |                     | history o o o o
                        |                     | target          x

    Users (those with interactions) in ascending id order are permuted; the head trains, the next
    block validates, the last one tests. The items are those of the training users, ascending, and
    the held-out users' other interactions are left out. Of each held-out user with n >= min_target
    interactions, int((1 - fold_in) * n) drawn at random are the target; the others' whole rows are
    history. Nobody leaves: a user without a target, or with an empty history, keeps empty rows.

    `split(data, seed=98765)` is the published split of MovieLens 20M, Netflix and MSD, whose
    interactions must be filtered first; see `Interactions.filter`.
    """

    held_out: float | int = 0.1
    """Users in each of validation and test: a share in (0, 0.5), rounded, or a count."""
    fold_in: float = 0.8
    """Share of a held-out user's interactions that stays in the history, in (0, 1)."""
    min_target: int = 5
    """Interactions, within the training items, that a user needs to get a target; >= 1."""

    def split(self, interactions: Interactions, seed: int = 98765) -> Split:
        """The split of this seed, an integer from 0 to 2**32 - 1.

        Raises ConfigError for settings out of range, DataError if there are too few users.
        """
        self._check()
        generator = _random_state(seed)
        active = np.flatnonzero(np.diff(interactions.matrix.indptr))
        active = active[np.argsort(interactions.users.ids[active], kind="stable")]
        count = self._count(len(active))
        shuffled = active[generator.permutation(len(active))]
        first, second = len(active) - 2 * count, len(active) - count
        blocks = shuffled[:first], shuffled[first:second], shuffled[second:]
        train, *held_out = (
            interactions.select_users(block[np.argsort(interactions.users.ids[block])])
            for block in blocks
        )
        seen = np.unique(train.matrix.indices)
        train = train.select_items(seen[np.argsort(train.items.ids[seen], kind="stable")])
        (valid, left_valid), (test, left_test) = (part.with_items(train.items) for part in held_out)
        # Each fold starts the random stream anew, as published.
        folds = self.fold(valid, seed), self.fold(test, seed)
        return Split(train, *folds, left_out=left_valid + left_test)

    def fold(self, interactions: Interactions, seed: int = 98765) -> Fold:
        """The fold-in step alone: hides part of every user's interactions.

        As published, users are taken in ascending id order and their interactions in ascending
        item id order (the order of the rows in the MovieLens 20M file).
        """
        self._check()
        generator = _random_state(seed)
        by_item = np.argsort(interactions.items.ids, kind="stable")
        ordered = interactions
        if (np.diff(by_item) < 0).any():
            ordered = interactions.select_items(by_item)
        indptr = ordered.matrix.indptr
        # Rounded: 1 - 0.8 is 0.19999999999999996, which would hide none of five.
        share = round(1 - self.fold_in, 10)
        hidden = np.zeros(ordered.nnz, dtype=bool)
        # A loop over users, because the published random stream is one `choice` for each.
        for user in np.argsort(ordered.users.ids, kind="stable"):
            n = int(indptr[user + 1] - indptr[user])
            if n >= self.min_target:
                chosen = generator.choice(n, size=int(share * n), replace=False)
                hidden[indptr[user] + chosen] = True
        history, target = ordered.keep(~hidden), ordered.keep(hidden)
        items = interactions.items
        return Fold(history.with_items(items)[0], target.with_items(items)[0])

    def _check(self) -> None:
        if not _is_share(self.fold_in, 1):
            raise ConfigError(f"fold_in must be a share in (0, 1), not {self.fold_in!r}")
        if self.min_target < 1:
            raise ConfigError(f"min_target must be >= 1, not {self.min_target!r}")
        is_count = isinstance(self.held_out, int | np.integer)
        if isinstance(self.held_out, bool) or not (
            self.held_out >= 1 if is_count else _is_share(self.held_out, 0.5)
        ):
            raise ConfigError(
                "held_out must be a share in (0, 0.5) or a count of users >= 1, "
                f"not {self.held_out!r}"
            )

    def _count(self, n_users: int) -> int:
        is_count = isinstance(self.held_out, int | np.integer)
        count = int(self.held_out) if is_count else round(self.held_out * n_users)
        if count < 1 or 2 * count >= n_users:
            raise DataError(
                f"held_out={self.held_out} takes {count} users for each of validation and test, "
                f"but {n_users:,} users have interactions: too few"
            )
        return count


def fixed_split(
    train: Interactions,
    *,
    test: Interactions,
    validation: Interactions | None = None,
    history: str = "train+validation",
    mask: str | None = None,
) -> Split:
    """A split whose parts are published as tables; nothing is drawn and nothing is dropped.

        part         history                mask                   target
        validation   train                  train                  validation
        test         train (+ validation)   train (+ validation)   test

    history, mask: "train+validation" or "train", what the test fold's history is and what it must
    not recommend; the mask is the history unless stated. A pair that is in both tables counts with
    the larger weight. Users and items are the union of all tables, those of `train` first, so
    every part has a column for every test item; a fold holds only the users that have a target.

    Targets that are masked can never be hit: a RecaeWarning counts them. Raises ConfigError for
    an unknown `history` or `mask`.
    """
    mask = history if mask is None else mask
    for name, value in (("history", history), ("mask", mask)):
        if value not in _PARTS:
            raise unknown_option(name, value, _PARTS)
    tables = [train, test] if validation is None else [train, validation, test]
    users, items = train.users, train.items
    for table in tables[1:]:
        users, items = users.union(table.users), items.union(table.items)
    tables = [table.with_users(users).with_items(items)[0] for table in tables]
    train, test = tables[0], tables[-1]
    parts = {"train": train, "train+validation": train}
    fold = None
    if len(tables) == 3:
        parts["train+validation"] = _together(train, tables[1])
        fold = _fold(train, tables[1], train, "validation")
    return Split(train, fold, _fold(parts[history], test, parts[mask], "test"))


def holdout_pairs(interactions: Interactions, share: float = 0.1, seed: int = 0) -> Split:
    """Weak generalisation: hides a random part of every user's interactions, for validation.

        user       a           b       c
        train      o o o o     o       o
        validation         x     x

    Of a user's n interactions int(share * n) are hidden, but at least 1 where n >= 2, and never
    all; with n = 1 none. `train` keeps all users and items; the validation fold holds the users
    with a target, their training interactions as history. There is no test fold.

    Raises ConfigError unless share is in (0, 1) and seed an integer >= 0, DataError if no user
    has two interactions.
    """
    if not _is_share(share, 1):
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
    return Split(train, _fold(train, target, train, "validation"), None)


def _together(first: Interactions, second: Interactions) -> Interactions:
    """The interactions of both, over the same ids; a pair in both keeps the larger weight."""
    timed = first.times is not None and second.times is not None
    return Interactions.from_frame(
        pd.concat([first.to_frame(), second.to_frame()]),
        time="timestamp" if timed else None,
        duplicates="max",
        users=first.users,
        items=first.items,
    )


def _fold(history: Interactions, target: Interactions, mask: Interactions, name: str) -> Fold:
    """The fold of the users with a target; its mask is None where it is the history."""
    repeated = int(target.matrix.astype(bool).multiply(mask.matrix.astype(bool)).nnz)
    if repeated:
        warnings.warn(
            f"{repeated:,} of {target.nnz:,} {name} targets are also masked: they can never be "
            "recommended, and count as misses",
            RecaeWarning,
            stacklevel=3,
        )
    users = np.flatnonzero(np.diff(target.matrix.indptr))
    masked = None if mask is history else mask.select_users(users)
    return Fold(history.select_users(users), target.select_users(users), masked)


def _is_share(value: object, below: float) -> bool:
    return isinstance(value, Real) and 0 < float(value) < below


def _random_state(seed: int) -> np.random.RandomState:
    """numpy's legacy generator, for the published streams; private, so nothing global moves."""
    if check_seed(seed) >= 2**32:
        raise ConfigError(f"seed must be below 2**32 here, not {seed}")
    return np.random.RandomState(seed)
