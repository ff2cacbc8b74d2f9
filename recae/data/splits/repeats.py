"""Cross-validation over interactions, and the same protocol under several seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from recae.data.interactions import Interactions, as_interactions
from recae.data.splits.folds import Split
from recae.data.splits.weak import PARTS, TEST, TRAIN, VALIDATION, draws, weak_split
from recae.errors import ConfigError, DataError, check_flag, check_integer, check_option, explained
from recae.rng import Stream, check_seed, numpy_generator

_BY = ("user", "all")


@explained
@dataclass(frozen=True)
class WeakKFold:
    """Cross-validation over interactions: weak generalisation in which every one tests once.

    With `folds=3`, by user; the numbers are the splits in which an interaction tests:

        user a   2 1 3 1 2
        user b   3 2 1
        user c   (one interaction: only trains)

    By user, a user's interactions are shuffled and dealt out to the folds, so that the parts of a
    user differ by at most 1; a user with fewer than two interactions (three with `validation`) only
    trains. By all, all interactions are shuffled and dealt out, whoever has them. Every split has
    all users and items. (`crossfold_records` of LensKit; `KFold` of scikit-learn on rows;
    `UserKFold` holds out users instead.)

    >>> splits = recae.data.splits.WeakKFold(folds=2).split(data)
    >>> sum(split.test.target.nnz for split in splits) == data.nnz
    True
    """

    folds: int = 5
    """Splits, >= 2; with `validation` >= 3."""
    by: str = "user"
    """"user": every user's interactions are dealt out; "all": all together."""
    validation: bool = False
    """Whether the fold after the test validates."""
    history: str = "train+validation"
    """What the test fold's history and mask are: "train+validation" or "train"."""

    def split(self, interactions: Interactions | Any, seed: int = 0) -> list[Split]:
        """The splits of this seed, an integer >= 0, one for each fold.

        Raises ConfigError for settings out of range, DataError if a fold has no interaction.

        >>> plays = pd.DataFrame({"user_id": [1] * 4, "item_id": range(4)})
        >>> [split.train.nnz for split in recae.data.splits.WeakKFold(folds=2).split(plays)]
        [2, 2]
        """
        interactions = as_interactions(interactions)
        check_seed(seed)
        check_flag("validation", self.validation)
        folds = check_integer("folds", self.folds, 3 if self.validation else 2)
        check_option("by", self.by, _BY)
        check_option("history", self.history, PARTS)
        fold = self._dealt(interactions, folds, seed)
        splits = []
        for test in range(folds):
            part = np.full(interactions.nnz, TRAIN, dtype=np.int8)
            part[fold == test] = TEST
            if self.validation:
                part[fold == (test + 1) % folds] = VALIDATION
            if not (part == TEST).any():
                raise DataError(
                    f"fold {test + 1} of {folds} has none of {interactions.nnz:,} interactions: "
                    "ask for fewer folds"
                )
            splits.append(weak_split(interactions, part, self.history))
        return splits

    def _dealt(self, data: Interactions, folds: int, seed: int) -> np.ndarray:
        """The fold of each interaction, (nnz,) int64, -1 for those that only train."""
        indptr = data.matrix.indptr.astype(np.int64)
        if self.by == "all":
            indptr = np.array([0, data.nnz], dtype=np.int64)
        n = np.diff(indptr)
        rows = np.repeat(np.arange(len(n)), n)
        order = np.lexsort((draws(data, seed), rows))
        place = np.empty(data.nnz, dtype=np.int64)
        place[order] = np.arange(data.nnz) - indptr[rows]
        # Each user begins with a fold of its own, else the first folds would be the largest.
        starts = np.zeros(len(n), dtype=np.int64)
        if self.by == "user":
            by_id = np.argsort(data.users.ids, kind="stable")
            generator = numpy_generator(seed, Stream.WEAK_FOLDS)
            starts[by_id] = generator.integers(folds, size=len(n))
        least = 3 if self.validation else 2
        dealt: np.ndarray = (place + starts[rows]) % folds
        return np.where(n[rows] >= least, dealt, -1) if self.by == "user" else dealt


@explained
def repeated(
    protocol: Any, interactions: Interactions | Any, times: int = 5, seed: int = 0
) -> list[Split]:
    """The splits of a protocol under the seeds seed, seed + 1, ..., seed + times - 1.

    Repeated random subsampling (Monte Carlo cross-validation; `sample_records(repeats=)` of
    LensKit): their tests overlap, unlike those of `WeakKFold` and `UserKFold`. protocol: one whose
    `split` returns one split, such as `RandomSplit`. Raises ConfigError for another protocol and a
    bad number or seed, and what the protocol raises.

    >>> splits = recae.data.splits.repeated(recae.RandomSplit(0, 0.5), data, times=3)
    >>> [split.test.target.nnz for split in splits]
    [5, 5, 5]
    """
    number, first = check_integer("times", times), check_seed(seed)
    if isinstance(protocol, str | type) or not callable(getattr(protocol, "split", None)):
        raise ConfigError(
            f"protocol must be a splitter, such as recae.RandomSplit(), not {protocol!r}",
            parameter="protocol",
            value=protocol,
        )
    data = as_interactions(interactions)
    splits = [protocol.split(data, seed=first + place) for place in range(number)]
    if not all(isinstance(split, Split) for split in splits):
        raise ConfigError(
            f"{protocol!r} returns several splits: call its split once for each seed",
            parameter="protocol",
            value=protocol,
        )
    return splits
