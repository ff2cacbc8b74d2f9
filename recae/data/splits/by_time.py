"""Splits by time: leave the last interactions out, or cut all histories at one time."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from recae.data.csr import row_numbers
from recae.data.interactions import Interactions, as_interactions
from recae.data.splits.folds import Split
from recae.data.splits.weak import (
    PARTS,
    TEST,
    TRAIN,
    VALIDATION,
    draws,
    fold_of,
    is_share,
    part_of_last,
    weak_split,
)
from recae.errors import ConfigError, DataError, check_integer, check_option
from recae.rng import check_seed


@dataclass(frozen=True)
class LeaveLastOut:
    """The last interactions of every user are the test, those before them the validation.

    With `validation=1` and `test=1`, time from left to right; o are interactions:

        user         a           b       c
        train        o o o       o       o o
        validation         o       o
        test                 o       o

    Interactions of a user at the same time are in random order, drawn from the seed. A user with
    fewer than validation + test + 1 interactions (c) only trains. `train` keeps all users and
    items, a fold holds the users with a target, and nothing is left out. The test times of users
    are not aligned: the model may learn from interactions after a user's test; see `GlobalTime`.

    >>> plays = pd.DataFrame({"user_id": [1, 1, 1], "item_id": [7, 8, 9], "timestamp": [3, 1, 2]})
    >>> split = recae.LeaveLastOut().split(recae.Interactions.from_frame(plays))
    >>> split.test.target.to_frame()["item_id"].tolist()
    [7]
    """

    validation: int = 1
    """Interactions of a user that validate, >= 0; 0 for no validation fold."""
    test: int = 1
    """Interactions of a user that test, >= 1."""
    history: str = "train+validation"
    """What the test fold's history and mask are: "train+validation" or "train"."""

    def split(self, interactions: Interactions | Any, seed: int = 0) -> Split:
        """The split; seed, an integer >= 0, orders the ties alone.

        Raises ConfigError for settings out of range, DataError without times, or if no user has
        enough interactions.

        >>> plays = pd.DataFrame({"user_id": [1, 1], "item_id": [7, 8], "timestamp": [3, 1]})
        >>> recae.LeaveLastOut(validation=0).split(plays).test.target.to_frame()["item_id"].item()
        7
        """
        interactions = as_interactions(interactions)
        check_seed(seed)
        for name, low in (("validation", 0), ("test", 1)):
            check_integer(name, getattr(self, name), low)
        check_option("history", self.history, PARTS)
        times = _times(interactions)
        indptr = interactions.matrix.indptr
        enough = (np.diff(indptr) > self.validation + self.test).astype(np.int64)
        if not enough.any():
            raise DataError(
                f"no user has {self.validation + self.test + 1} interactions, which validation="
                f"{self.validation} and test={self.test} need; lower them"
            )
        keys = (draws(interactions, seed), times)
        part = part_of_last(indptr, keys, enough * self.validation, enough * self.test)
        return weak_split(interactions, part, self.history)


@dataclass(frozen=True)
class GlobalTime:
    """Cuts all histories at one time: earlier interactions are for training, later ones for the
    test.

    Time from left to right, with the cuts at the bars; o are interactions, x left out:

                 train     | validation | test
        user a   o o o     | o o        | o
        user b       o o   |            | o o
        user c             | x          | x x

    Interactions at the time of a cut belong to the later part. So interactions at the same time
    stay together, and a share can be larger than requested if times tie. The users and items are
    those with interactions before the first cut; later ones of others (c) are counted in
    `left_out`. A fold holds the users with a target; their history is everything before its cut.

    >>> plays = pd.DataFrame(
    ...     {"user_id": [1, 2, 1, 3], "item_id": [7, 8, 8, 8], "timestamp": [1, 2, 5, 6]}
    ... )
    >>> data = recae.Interactions.from_frame(plays)
    >>> split = recae.GlobalTime(validation=None, test=5).split(data)
    >>> split.train.nnz, split.test.target.nnz, split.left_out
    (2, 1, 1)
    """

    validation: float | int | str | datetime | None = 0.1
    """The start of the validation: a share in (0, 1) of the interactions, the last before the test;
    or a time: an integer in the unit of the times, or a date. None: no validation fold."""
    test: float | int | str | datetime = 0.1
    """The start of the test: a share of the interactions, the last ones; or a time."""
    history: str = "train+validation"
    """What the test fold's history and mask are: "train+validation" or "train"."""

    def split(self, interactions: Interactions | Any, seed: int = 0) -> Split:
        """The split; nothing is drawn, so that the seed, an integer >= 0, changes nothing.

        Raises ConfigError for settings out of range, DataError without times, or if a part would
        be empty.

        >>> plays = pd.DataFrame({"user_id": [1, 1], "item_id": [7, 8], "timestamp": [3, 1]})
        >>> plays = pd.concat([plays, plays.assign(user_id=2, timestamp=[2, 4])])
        >>> recae.GlobalTime(validation=None, test=3).split(plays).train.nnz
        2
        """
        interactions = as_interactions(interactions)
        check_seed(seed)
        check_option("history", self.history, PARTS)
        times = _times(interactions)
        last = np.sort(times)
        test, after = _cut("test", self.test, last, 0.0)
        first = test
        if self.validation is not None and last[0] < test:  # else training has nothing, below
            first, _ = _cut("validation", self.validation, last, after)
            if first > test:
                raise ConfigError(
                    f"validation starts at {first}, after the test at {test}",
                    parameter="validation",
                    value=self.validation,
                )
        part = np.full(interactions.nnz, TRAIN, dtype=np.int8)
        part[times >= first] = VALIDATION
        part[times >= test] = TEST
        names = ("training", "validation", "test")
        for name, code in zip(names, (TRAIN, VALIDATION, TEST), strict=True):
            wanted = code != VALIDATION or self.validation is not None
            if wanted and not (part == code).any():
                raise DataError(
                    f"no interactions are left for {name}: the cuts are at {first} and {test}, "
                    f"the times {last[0]} to {last[-1]}"
                )
        return _of_training_vocabulary(interactions, part, self.history)


def _of_training_vocabulary(data: Interactions, part: np.ndarray, history: str) -> Split:
    """The split over the users and items of the training part; the rest is counted."""
    rows, columns = row_numbers(data.matrix.indptr), data.matrix.indices
    trains = part == TRAIN
    known_user = np.bincount(rows[trains], minlength=data.n_users) > 0
    known_item = np.bincount(columns[trains], minlength=data.n_items) > 0
    stays = known_user[rows] & known_item[columns]
    for name, code in (("validation", VALIDATION), ("test", TEST)):
        if (part == code).any() and not (stays & (part == code)).any():
            raise DataError(
                f"none of {(part == code).sum():,} {name} interactions has a user and an item of "
                "the training part: cut later"
            )
    users, items = (
        codes[np.argsort(ids[codes], kind="stable")]
        for codes, ids in (
            (np.flatnonzero(known_user), data.users.ids),
            (np.flatnonzero(known_item), data.items.ids),
        )
    )
    masks = [part == TRAIN, part == VALIDATION, part == TEST, part != TEST]
    train, valid, test, before = (
        data.keep(stays & mask).select_users(users).select_items(items) for mask in masks
    )
    before = train if history == "train" else before
    return Split(
        train,
        fold_of(train, valid, train) if valid.nnz else None,
        fold_of(before, test, before),
        left_out=int((~stays).sum()),
    )


def _cut(name: str, value: Any, ordered: np.ndarray, after: float) -> tuple[int, float]:
    """The moment at which a part starts, and the share of the interactions from there on.

    ordered: (nnz,) times, ascending; after: the share that later parts take.
    """
    if isinstance(value, float | np.floating):
        if not is_share(value, 1 - after):
            raise _bad_cut(name, value, share=f" in (0, {1 - after:g})")
        count = int(np.floor(np.round((value + after) * len(ordered), 9)))
        if count < 1:
            raise DataError(f"{name}={value:g} takes none of {len(ordered):,} interactions")
        moment = int(ordered[len(ordered) - count])
        return moment, float((ordered >= moment).mean())  # more than the share, where times tie
    try:
        if isinstance(value, bool):
            raise TypeError("not a time")
        if isinstance(value, str | datetime | np.datetime64):
            # Times that were read from dates are nanoseconds since 1970.
            stamp = pd.Timestamp(value)
            if pd.isna(stamp):
                raise ValueError("not a time")
            moment = int(stamp.as_unit("ns").value)
        else:
            moment = operator.index(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise _bad_cut(name, value, reason=f" ({error})") from None
    return moment, float((ordered >= moment).mean())


def _times(data: Interactions) -> np.ndarray:
    if data.times is None:
        raise DataError("these interactions have no times; name their column with time=")
    return data.times


def _bad_cut(name: str, value: object, share: str = "", reason: str = "") -> ConfigError:
    return ConfigError(
        f"{name} must be a share{share}, an integer or a date, not {value!r}{reason}",
        parameter=name,
        value=value,
    )
