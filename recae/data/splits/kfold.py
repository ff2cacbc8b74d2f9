"""Strong generalisation, repeated: every user is tested once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from recae.data.convert import as_interactions
from recae.data.interactions import Interactions
from recae.data.splits.folds import Split
from recae.data.splits.parts import random_state
from recae.data.splits.strong import StrongGeneralization
from recae.errors import ConfigError, DataError


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

    >>> import pandas as pd, recae
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
        whole = isinstance(self.folds, int | np.integer) and not isinstance(self.folds, bool)
        if not whole or self.folds < 3:
            raise ConfigError(f"folds must be an integer >= 3, not {self.folds!r}")
        strong = StrongGeneralization(fold_in=self.fold_in, min_target=self.min_target)
        strong._check()
        active = np.flatnonzero(np.diff(interactions.matrix.indptr))
        if len(active) < self.folds:
            raise DataError(
                f"{len(active):,} users have interactions, too few for folds={self.folds}"
            )
        active = active[np.argsort(interactions.users.ids[active], kind="stable")]
        shuffled = active[random_state(seed).permutation(len(active))]
        blocks = np.array_split(shuffled, self.folds)
        splits = []
        for test in range(self.folds):
            valid = (test + 1) % self.folds
            train = [block for at, block in enumerate(blocks) if at not in (test, valid)]
            parts = np.concatenate(train), blocks[valid], blocks[test]
            splits.append(strong._split_users(interactions, parts, seed))
        return splits
