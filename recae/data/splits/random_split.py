"""Weak generalisation by chance: random shares of the interactions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from recae.data.convert import as_interactions
from recae.data.interactions import Interactions
from recae.data.splits.folds import Split
from recae.data.splits.parts import TEST, VALIDATION, check_history, draws, part_of_last, weak_split
from recae.errors import ConfigError, DataError, unknown_option
from recae.rng import check_seed

_BY = ("user", "all")


@dataclass(frozen=True)
class RandomSplit:
    """Weak generalisation: random shares of the interactions validate and test.

    With `validation=0.2` and `test=0.2`, by user; o are interactions:

        user         a           b       c     d
        train        o o o       o       o     o
        validation         o       o
        test                 o       o     o

    By user, int(share * n) of a user's n interactions are drawn for each part, but at least 1 each
    where n >= 3; with n = 2 one is for testing (for validation if test is 0), with n = 1 none; one
    always trains. By all, int(share * n) of all n interactions are drawn, whoever has them: a user
    may then be tested with an empty history. `train` keeps all users and items, a fold holds the
    users with a target, and nothing is left out. A share of 0 means no such fold (None).

    >>> import pandas as pd, recae
    >>> plays = pd.DataFrame({"user_id": [1] * 5, "item_id": range(5)})
    >>> split = recae.RandomSplit(0.2, 0.2).split(recae.Interactions.from_frame(plays), seed=0)
    >>> split.train.nnz, split.validation.target.nnz, split.test.target.nnz
    (3, 1, 1)
    """

    validation: float = 0.1
    """Share of the interactions, in [0, 1)."""
    test: float = 0.1
    """Share of the interactions, in [0, 1); together with `validation` in (0, 1)."""
    by: str = "user"
    """"user": the shares are of every user's interactions; "all": of all together."""
    history: str = "train+validation"
    """What the test fold's history is, and its mask too unless stated: "train+validation" or
    "train"."""
    mask: str | None = None
    """What must not be recommended at the test, "train+validation" or "train"; None: the history.
    RecBole looks at "train" and masks both."""

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
            test = np.zeros_like(n)
            if self.test:
                spare = 1 + ((n >= 3) & (self.validation > 0))  # for training and validation
                test = np.where(
                    n >= 2, np.clip(_share(self.test, n), 1, np.maximum(n - spare, 1)), 0
                )
            valid = np.zeros_like(n)
            if self.validation:
                room = np.maximum(n - test - 1, 0)
                valid = np.minimum(np.maximum(_share(self.validation, n), 1), room)
            part = part_of_last(indptr, (drawn,), valid, test)
        else:
            total = np.array([interactions.nnz])
            part = part_of_last(
                np.array([0, interactions.nnz]),
                (drawn,),
                _share(self.validation, total),
                _share(self.test, total),
            )
        for name, share, code in (
            ("validation", self.validation, VALIDATION),
            ("test", self.test, TEST),
        ):
            if share and not (part == code).any():
                raise DataError(
                    f"{name}={share:g} hides none of {interactions.nnz:,} interactions; give more "
                    "interactions, or a larger share"
                )
        return weak_split(interactions, part, self.history, self.mask)

    def _check(self) -> None:
        for name in ("validation", "test"):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and 0 <= value < 1):
                raise ConfigError(f"{name} must be a share in [0, 1), not {value!r}")
        if not 0 < self.validation + self.test < 1:
            raise ConfigError(
                "validation and test together must be a share in (0, 1), "
                f"not {self.validation:g} + {self.test:g}"
            )
        if self.by not in _BY:
            raise unknown_option("by", self.by, _BY)
        check_history(self.history)
        if self.mask is not None:
            check_history(self.mask, "mask")


def _share(share: float, n: np.ndarray) -> np.ndarray:
    # Rounded before it is cut, so that a share of 0.29 hides 29 of 100 and not 28.
    return np.floor(np.round(share * n, 9)).astype(np.int64)
