"""Splits by time: leave the last interactions out, or cut all histories at one or several times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from recae.data.csr import row_numbers
from recae.data.interactions import Interactions, as_interactions
from recae.data.splits.folds import Fold, Split
from recae.data.splits.moments import Moment, moment_of, times_of, unit_hint
from recae.data.splits.weak import (
    PARTS,
    TEST,
    TRAIN,
    VALIDATION,
    check_users,
    counts_of_shares,
    draws,
    fold_of,
    is_share,
    part_of_last,
    some_users,
    weak_split,
)
from recae.errors import (
    ConfigError,
    DataError,
    check_integer,
    check_number,
    check_option,
    explained,
)
from recae.rng import check_seed

COLD = ("drop", "users", "items", "keep")


@explained
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

    Shares instead of counts, such as `LeaveLastOut(0.1, 0.1)`, take the last part of every user's
    interactions, as many as `RandomSplit` would draw (the chronological split of Microsoft's
    recommenders, `LastFrac` of LensKit).

    >>> plays = pd.DataFrame({"user_id": [1, 1, 1], "item_id": [7, 8, 9], "timestamp": [3, 1, 2]})
    >>> split = recae.LeaveLastOut().split(recae.Interactions.from_frame(plays))
    >>> split.test.target.to_frame()["item_id"].tolist()
    [7]
    """

    validation: int | float = 1
    """Interactions of a user that validate: a count >= 0, or a share in [0, 1); 0 for no validation
    fold."""
    test: int | float = 1
    """Interactions of a user that test: a count >= 1, or a share in (0, 1) where `validation` is
    one (or 0)."""
    history: str = "train+validation"
    """What the test fold's history and mask are: "train+validation" or "train"."""
    latest: int | None = None
    """The number of latest interactions that the histories of the folds hold, >= 1; None: all. The
    mask keeps all (`n_most_recent_in` of RecPack)."""
    users: float | int | None = None
    """The users that validate and test: a share in (0, 1], or a count; the others only train. None:
    all."""

    def split(self, interactions: Interactions | Any, seed: int = 0) -> Split:
        """The split; seed, an integer >= 0, orders the ties, and draws the `users`.

        Raises ConfigError for settings out of range, DataError without times, or if no user has
        enough interactions.

        >>> plays = pd.DataFrame({"user_id": [1, 1], "item_id": [7, 8], "timestamp": [3, 1]})
        >>> recae.LeaveLastOut(validation=0).split(plays).test.target.to_frame()["item_id"].item()
        7
        """
        interactions = as_interactions(interactions)
        check_seed(seed)
        self._check()
        times = times_of(interactions)
        indptr = interactions.matrix.indptr
        n = np.diff(indptr).astype(np.int64)
        if isinstance(self.test, int | np.integer):
            enough = (n > self.validation + self.test).astype(np.int64)
            valid, test = enough * int(self.validation), enough * int(self.test)
            needed = int(self.validation + self.test) + 1
        else:
            valid, test = counts_of_shares(n, self.validation, self.test)
            needed = 2
        if self.users is not None:
            chosen = some_users(interactions, valid + test > 0, self.users, seed)
            valid, test = valid * chosen, test * chosen
        if not (valid + test).any():
            raise DataError(
                f"no user has {needed} interactions, which validation={self.validation} and "
                f"test={self.test} need; lower them"
            )
        part = part_of_last(indptr, (draws(interactions, seed), times), valid, test)
        return with_latest(weak_split(interactions, part, self.history), self.latest, seed)

    def _check(self) -> None:
        """Raises ConfigError for settings that cannot be meant: `validation` and `test` are both
        counts, or both shares that leave something to train on."""
        if isinstance(self.test, int | np.integer):
            check_integer("validation", self.validation, 0)
            check_integer("test", self.test, 1)
        else:
            check_number("validation", self.validation, low=0, below=1)
            check_number("test", self.test, above=0, below=1)
            if self.validation + self.test >= 1:
                raise ConfigError(
                    "validation and test together must be a share below 1, not "
                    f"{self.validation!r} + {self.test!r}",
                    parameter="test",
                    value=self.test,
                )
        check_option("history", self.history, PARTS)
        check_latest(self.latest)
        check_users(self.users)


@explained
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
    `left_out`, unless `cold` keeps them. A fold holds the users with a target; their history is
    everything before its cut.

    A date also cuts times that are whole numbers, if all of them are seconds, milliseconds,
    microseconds or nanoseconds since 1970 in the years 1980 to 2099: `Split.notes` says how they
    were read. Other whole numbers need an integer cut. `RollingTime` makes several cuts.

    >>> plays = pd.DataFrame(
    ...     {"user_id": [1, 2, 1, 3], "item_id": [7, 8, 8, 8], "timestamp": [1, 2, 5, 6]}
    ... )
    >>> data = recae.Interactions.from_frame(plays)
    >>> split = recae.GlobalTime(validation=None, test=5).split(data)
    >>> split.train.nnz, split.test.target.nnz, split.left_out
    (2, 1, 1)
    """

    validation: float | Moment | None = 0.1
    """The start of the validation: a share in (0, 1) of the interactions, the last before the test;
    or a time: an integer in the unit of the times, or a date (a datetime, a datetime.date, or text
    as "2020-01-31"). None: no validation fold."""
    test: float | Moment = 0.1
    """The start of the test: a share of the interactions, the last ones; or a time."""
    history: str = "train+validation"
    """What the test fold's history and mask are: "train+validation" or "train"."""
    latest: int | None = None
    """The number of latest interactions that the histories of the folds hold, >= 1; None: all. The
    mask keeps all (`n_most_recent_in` of RecPack)."""
    cold: str = "drop"
    """"drop": cold users and items, those without training interactions, are left out. "users" and
    "items" keep either, "keep" both: a cold user has an empty training row, and a cold item counts
    as a miss if the model does not list it (`filter_cold_users` and `filter_cold_items` of
    RecTools)."""

    def split(self, interactions: Interactions | Any, seed: int = 0) -> Split:
        """The split; the seed, an integer >= 0, orders the ties among the `latest` alone.

        Raises ConfigError for settings out of range, DataError without times, for a date where the
        times are whole numbers of an unknown unit, or if a part would be empty.

        >>> plays = pd.DataFrame({"user_id": [1, 1], "item_id": [7, 8], "timestamp": [3, 1]})
        >>> plays = pd.concat([plays, plays.assign(user_id=2, timestamp=[2, 4])])
        >>> recae.GlobalTime(validation=None, test=3).split(plays).train.nnz
        2
        """
        interactions = as_interactions(interactions)
        check_seed(seed)
        check_option("history", self.history, PARTS)
        check_option("cold", self.cold, COLD)
        check_latest(self.latest)
        times = times_of(interactions)
        last = np.sort(times)
        test, after, note = _cut("test", self.test, last, 0.0)
        notes, first = [note], test
        if self.validation is not None and last[0] < test:  # else training has nothing, below
            first, _, note = _cut("validation", self.validation, last, after)
            notes.insert(0, note)
            if first > test:
                raise ConfigError(
                    f"validation starts at {first}, after the test at {test}",
                    parameter="validation",
                    value=self.validation,
                )
        split = cut_at(
            interactions, first, test, self.validation is not None, self.history, self.cold, notes
        )
        return with_latest(split, self.latest, seed)


def cut_at(
    data: Interactions,
    first: int,
    test: int,
    validates: bool,
    history: str,
    cold: str,
    notes: Any = (),
) -> Split:
    """The split whose validation starts at `first` and whose test starts at `test`."""
    times = times_of(data)
    part = np.full(data.nnz, TRAIN, dtype=np.int8)
    part[times >= first] = VALIDATION
    part[times >= test] = TEST
    names = ("training", "validation", "test")
    for name, code in zip(names, (TRAIN, VALIDATION, TEST), strict=True):
        wanted = code != VALIDATION or validates
        if wanted and not (part == code).any():
            raise DataError(
                f"no interactions are left for {name}: the cuts are at {first} and {test}, the "
                f"times {times.min()} to {times.max()}{unit_hint(test, times)}"
            )
    return _of_training_vocabulary(data, part, history, cold, tuple(filter(None, notes)))


def _of_training_vocabulary(
    data: Interactions, part: np.ndarray, history: str, cold: str, notes: tuple[str, ...]
) -> Split:
    """The split over the users and items of the training part, and the cold ones that are kept;
    the rest is counted."""
    rows, columns = row_numbers(data.matrix.indptr), data.matrix.indices
    of_users = (part == TRAIN) | (cold in ("users", "keep"))
    of_items = (part == TRAIN) | (cold in ("items", "keep"))
    known_user = np.bincount(rows[of_users], minlength=data.n_users) > 0
    known_item = np.bincount(columns[of_items], minlength=data.n_items) > 0
    stays = known_user[rows] & known_item[columns]
    for name, code in (("validation", VALIDATION), ("test", TEST)):
        if (part == code).any() and not (stays & (part == code)).any():
            raise DataError(
                f"none of {(part == code).sum():,} {name} interactions has a user and an item of "
                "the training part: cut later, or keep cold users and items with cold='keep'"
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
        notes=notes,
    )


def with_latest(split: Split, latest: int | None, seed: int) -> Split:
    """The split whose histories hold the latest interactions of each user; the masks keep all."""
    if latest is None:
        return split

    def cut(fold: Fold | None) -> Fold | None:
        if fold is None:
            return None
        history, mask = fold.history, fold.history if fold.mask is None else fold.mask
        counts = np.full(history.n_users, latest, dtype=np.int64)
        keys = (draws(history, seed), times_of(history))
        part = part_of_last(history.matrix.indptr, keys, np.zeros_like(counts), counts)
        return Fold(history.keep(part == TEST), fold.target, mask)

    return Split(split.train, cut(split.validation), cut(split.test), split.left_out, split.notes)


def check_latest(latest: object) -> None:
    """Raises ConfigError unless it is None or a count."""
    if latest is not None:
        check_integer("latest", latest)


def _cut(name: str, value: Any, ordered: np.ndarray, after: float) -> tuple[int, float, str]:
    """The moment at which a part starts, the share of the interactions from there on, and a note.

    ordered: (nnz,) times, ascending; after: the share that later parts take.
    """
    note = ""
    if isinstance(value, float | np.floating):
        if not is_share(value, 1 - after):
            raise ConfigError(
                f"{name} must be a share in (0, {1 - after:g}), an integer or a date, not "
                f"{value!r}",
                parameter=name,
                value=value,
            )
        count = int(np.floor(np.round((float(value) + after) * len(ordered), 9)))
        if count < 1:
            raise DataError(f"{name}={value:g} takes none of {len(ordered):,} interactions")
        moment = int(ordered[len(ordered) - count])
    else:
        moment, note = moment_of(name, value, ordered, share=True)
    return moment, float((ordered >= moment).mean()), note  # more than a share, where times tie
