"""Strong generalisation: held-out users whom the model never sees in training, once or k-fold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recae.data.interactions import Interactions, as_interactions
from recae.data.splits.by_time import check_latest, with_latest
from recae.data.splits.folds import Fold, Split
from recae.data.splits.moments import Moment, moment_of, times_of
from recae.data.splits.weak import TEST, draws, is_share, part_of_last
from recae.errors import (
    ConfigError,
    DataError,
    check_flag,
    check_integer,
    check_number,
    check_option,
    explained,
)

Codes = npt.NDArray[np.intp]
Blocks = tuple[Codes, Codes, Codes]
"""The codes of the training, the validation and the test users."""


@explained
@dataclass(frozen=True)
class StrongGeneralization:
    """Held-out users are never in the training part (Liang et al. 2018, WWW, section 4.2).

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
    history. No user is dropped: a user without a target, or with an empty history, keeps empty
    rows.

    `split(data, seed=98765)` is the published split of MovieLens 20M, Netflix and MSD, whose
    interactions must be filtered first; see `Interactions.filter`.

    >>> recae.StrongGeneralization(held_out=1, min_target=2).split(data, seed=0).train.n_users
    3
    """

    held_out: float | int = 0.1
    """Users in each of validation and test: a share in (0, 0.5), rounded, or a count."""
    fold_in: float = 0.8
    """Share of a held-out user's interactions that stays in the history, in (0, 1)."""
    min_target: int = 5
    """Interactions, within the training items, that a user needs to get a target; >= 1."""
    target: str = "random"
    """Which of a held-out user's interactions are the target: "random", as published; or "last",
    the last in time (ties in random order). Random targets are partly older than the history, so
    figures are higher than in use."""
    moment: Moment | None = None
    """A time that cuts all histories: an integer in the unit of the times, or a date. Training has
    the interactions before it; of the held-out users those before it are the history and the others
    the target, whatever `fold_in`, `min_target` and `target` say (`StrongGeneralizationTimed` of
    RecPack)."""
    latest: int | None = None
    """The number of latest interactions that the histories of `split` hold, >= 1; None: all. The
    mask keeps all (`n_most_recent_in` of RecPack)."""
    validation: bool = True
    """Whether as many users validate as test; without, they train (`StrongGeneralization` of
    RecPack without `validation`)."""

    def split(self, interactions: Interactions | Any, seed: int = 98765) -> Split:
        """The split of this seed, an integer from 0 to 2**32 - 1.

        Raises ConfigError for settings out of range, DataError if there are too few users, or
        without times where they are needed.

        >>> split = recae.StrongGeneralization(held_out=1, min_target=2).split(data, seed=0)
        >>> split.test.history.n_users
        1
        """
        interactions = as_interactions(interactions)
        self._check()
        shuffled = shuffled_users(interactions, seed)
        count = self._count(len(shuffled))
        first, second = len(shuffled) - self._blocks * count, len(shuffled) - count
        blocks = shuffled[:first], shuffled[first:second], shuffled[second:]
        return with_latest(self._split_users(interactions, blocks, seed), self.latest, seed)

    def _split_users(self, interactions: Interactions | Any, blocks: Blocks, seed: int) -> Split:
        """The split whose training, validation and test users are these codes."""
        train, *held_out = (
            interactions.select_users(block[np.argsort(interactions.users.ids[block])])
            for block in blocks
        )
        notes: tuple[str, ...] = ()
        if self.moment is not None:
            moment, note = moment_of("moment", self.moment, times_of(interactions))
            notes = (note,) if note else ()
            train = train.keep(times_of(train) < moment)
            if not train.nnz:
                raise DataError(f"no interactions are left for training before {moment}")
        seen = np.flatnonzero(np.bincount(train.matrix.indices))
        train = train.select_items(seen[np.argsort(train.items.ids[seen], kind="stable")])
        (valid, left_valid), (test, left_test) = (part.with_items(train.items) for part in held_out)
        # Each fold starts the random stream anew, as published.
        folds = (self.fold(valid, seed) if self.validation else None, self.fold(test, seed))
        return Split(train, *folds, left_out=left_valid + left_test, notes=notes)

    def fold(self, interactions: Interactions | Any, seed: int = 98765) -> Fold:
        """The fold-in step alone: hides part of every user's interactions.

        As published, users are taken in ascending id order and their interactions in ascending
        item id order (the order of the rows in the MovieLens 20M file). Raises ConfigError for
        settings out of range.

        >>> recae.StrongGeneralization(fold_in=0.5, min_target=3).fold(data).target.nnz
        1
        """
        interactions = as_interactions(interactions)
        self._check()
        if self.moment is not None or self.target == "last":
            return self._fold_in_time(interactions, seed)
        generator = random_state(seed)
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

    def _fold_in_time(self, data: Interactions, seed: int) -> Fold:
        """The fold whose targets are the last interactions, or those from the moment on."""
        times = times_of(data) if data.nnz else np.empty(0, dtype=np.int64)
        if self.moment is not None and data.nnz:
            hidden = times >= moment_of("moment", self.moment, times)[0]
        else:
            n = np.diff(data.matrix.indptr).astype(np.int64)
            share = round(1 - float(self.fold_in), 10)
            hide = np.where(n >= self.min_target, np.floor(np.round(share * n, 9)), 0)
            keys = (draws(data, seed), times)
            counts = hide.astype(np.int64)
            hidden = part_of_last(data.matrix.indptr, keys, np.zeros_like(n), counts) == TEST
        return Fold(data.keep(~hidden), data.keep(hidden))

    @property
    def _blocks(self) -> int:
        """The blocks of held-out users: those of the validation and the test."""
        return 2 if self.validation else 1

    def _check(self) -> None:
        """Raises ConfigError for settings that cannot be meant; `held_out` is a number of users, or
        a share below a half."""
        check_option("target", self.target, ("random", "last"))
        check_flag("validation", self.validation)
        check_latest(self.latest)
        check_number("fold_in", self.fold_in, above=0, below=1)
        check_integer("min_target", self.min_target)
        is_count = isinstance(self.held_out, int | np.integer)
        if isinstance(self.held_out, bool) or not (
            self.held_out >= 1 if is_count else is_share(self.held_out, 0.5)
        ):
            raise ConfigError(
                "held_out must be a share in (0, 0.5) or a count of users >= 1, "
                f"not {self.held_out!r}",
                parameter="held_out",
                value=self.held_out,
            )

    def _count(self, n_users: int) -> int:
        is_count = isinstance(self.held_out, int | np.integer)
        count = int(self.held_out) if is_count else round(self.held_out * n_users)
        if count < 1 or self._blocks * count >= n_users:
            each = "each of validation and test" if self.validation else "the test"
            raise DataError(
                f"held_out={self.held_out} takes {count} users for {each}, but {n_users:,} "
                "users have interactions: too few"
            )
        return count


@explained
@dataclass(frozen=True)
class UserKFold:
    """Cross-validation over users: strong generalisation in which every user tests once.

    With 4 blocks of users and `folds=4`:

        block     1            2            3            4
        split 1   test         validation   train        train
        split 2   train        test         validation   train
        split 3   train        train        test         validation
        split 4   validation   train        train        test

    Users (those with interactions) in ascending id order are permuted and cut into blocks whose
    sizes differ by at most 1. Each split is one of `StrongGeneralization`, over its own training
    items, with its own `left_out`.

    >>> plays = pd.DataFrame({"user_id": [1, 2, 3, 1, 2, 3], "item_id": [7, 7, 7, 8, 8, 8]})
    >>> splits = recae.UserKFold(folds=3, fold_in=0.5, min_target=2).split(
    ...     recae.Interactions.from_frame(plays)
    ... )
    >>> sorted(split.test.history.users.ids.item() for split in splits)
    [1, 2, 3]
    """

    folds: int = 5
    """Blocks of users, and splits, >= 3."""
    fold_in: float = 0.8
    """Share of a held-out user's interactions that stays in the history, in (0, 1)."""
    min_target: int = 5
    """Interactions, within the training items, that a user needs to get a target; >= 1."""

    def split(self, interactions: Interactions | Any, seed: int = 0) -> list[Split]:
        """The splits of this seed, an integer from 0 to 2**32 - 1, one for each block.

        Raises ConfigError for settings out of range, DataError with fewer users than folds.

        >>> [split.test.history.n_users for split in recae.UserKFold(folds=3).split(data)]
        [2, 2, 1]
        """
        interactions = as_interactions(interactions)
        check_integer("folds", self.folds, 3)
        strong = StrongGeneralization(fold_in=self.fold_in, min_target=self.min_target)
        strong._check()
        shuffled = shuffled_users(interactions, seed)
        if len(shuffled) < self.folds:
            raise DataError(
                f"{len(shuffled):,} users have interactions, too few for folds={self.folds}"
            )
        blocks = np.array_split(shuffled, self.folds)
        splits = []
        for test in range(self.folds):
            valid = (test + 1) % self.folds
            train = [block for at, block in enumerate(blocks) if at not in (test, valid)]
            parts = np.concatenate(train), blocks[valid], blocks[test]
            splits.append(strong._split_users(interactions, parts, seed))
        return splits


def shuffled_users(interactions: Interactions, seed: int) -> Codes:
    """The codes of the users with interactions, by ascending id and then permuted."""
    active = np.flatnonzero(np.diff(interactions.matrix.indptr))
    active = active[np.argsort(interactions.users.ids[active], kind="stable")]
    return active[random_state(seed).permutation(len(active))]


def random_state(seed: int) -> np.random.RandomState:
    """numpy's legacy generator, for the published streams; private, so nothing global moves."""
    return np.random.RandomState(check_integer("seed", seed, 0, 2**32 - 1))
