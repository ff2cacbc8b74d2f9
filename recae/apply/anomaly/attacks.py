"""Injects fake profiles: the classic attacks on recommenders, for tests and benchmarks."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from recae.data import IdMap, Interactions, as_interactions
from recae.errors import (
    ConfigError,
    DataError,
    check_flag,
    check_integer,
    check_number,
    check_option,
    explained,
)
from recae.rng import Stream, numpy_generator
from recae.system.machine import row_batches

ATTACKS = ("random", "average", "bandwagon", "segment")
BLOCK_CELLS = 1 << 22
"""Random numbers held at once: 2^22 take 32 MiB."""


class ItemStatistics:
    """Statistics of the ratings of each item.

    counts, means, deviations: (n_items,); an item without ratings gets the mean and deviation of
    all ratings, an item with one rating their deviation. levels: the distinct ratings, ascending.
    """

    def __init__(self, data: Interactions) -> None:
        self.matrix, items, n_items = data.matrix, data.matrix.indices, data.n_items
        values = self.matrix.data.astype(np.float64)
        self.mean, self.deviation = float(values.mean()), float(values.std())
        self.levels, self.counts = np.unique(values), np.bincount(items, minlength=n_items)
        counts = np.maximum(self.counts, 1)
        sums = np.bincount(items, values, minlength=n_items)
        self.means = np.where(self.counts > 0, sums / counts, self.mean)
        squares = np.bincount(items, (values - self.means[items]) ** 2, minlength=n_items)
        self.deviations = np.where(self.counts > 1, np.sqrt(squares / counts), self.deviation)

    def by_popularity(self) -> np.ndarray:
        """All items in descending order of their number of ratings, ties by column."""
        return np.argsort(-self.counts, kind="stable")

    def by_likeness(self, targets: np.ndarray) -> np.ndarray:
        """All items in descending order of the cosine of their raters with those of the targets."""
        ones = self.matrix.astype(bool).astype(np.float64)
        raters = np.asarray(ones[:, targets].sum(axis=1)).ravel()
        cosines = (ones.T @ raters) / np.sqrt(np.maximum(self.counts, 1))
        return np.argsort(-cosines, kind="stable")

    def nearest_level(self, values: np.ndarray) -> np.ndarray:
        """The nearest of `levels`, of the same shape; the lower one in a tie."""
        right = np.clip(np.searchsorted(self.levels, values), 1, len(self.levels) - 1)
        if len(self.levels) == 1:
            return np.full(values.shape, self.levels[0])
        low, high = self.levels[right - 1], self.levels[right]
        return np.where(values - low <= high - values, low, high)


@dataclass(frozen=True, eq=False)
class Injected:
    """Interactions with injected fake users.

    data: the genuine rows, unchanged, then the fake ones. users: ids of the fake users, (n,).
    targets, selected: ids of the pushed items and of the other items that all fake users rate
    highest, (n,) each. is_fake: (n_users,) bool, aligned with the rows of `data`.

    >>> planted = recae.apply.anomaly.inject_profiles(data, share=0.4, filler=1)
    >>> planted.users.tolist(), int(planted.is_fake.sum())
    ([5, 6], 2)
    """

    data: Interactions
    users: np.ndarray
    targets: np.ndarray
    selected: np.ndarray
    is_fake: np.ndarray


@explained
def inject_profiles(
    data: Any,
    attack: str = "average",
    *,
    share: float = 0.05,
    filler: float | int = 0.05,
    target: Any = None,
    selected: int = 5,
    top: float = 1.0,
    push: bool = True,
    seed: int = 0,
) -> Injected:
    """Appends fake users to interactions, as an attacker would.

    Every fake profile rates its targets highest (lowest with push=False), and fillers to look like
    a user. The attack decides the ratings of the fillers and which other items are rated:

    - "random": draws from a normal distribution with the mean and deviation of all ratings
      (RandomBot of Lam & Riedl, "Shilling Recommender Systems for Fun and Profit", WWW 2004);
    - "average": draws around each filler's own mean and deviation (their AverageBot, whose
      deviation is that of all ratings; here it is the item's, as in Mobasher et al.);
    - "bandwagon": as "random", and the `selected` items with the most ratings get the highest one;
    - "segment": the lowest rating, and the `selected` items most similar to the target (cosine of
      their raters) get the highest, which aims at users who like such items.

    The last two, and the four parts of a profile, follow Mobasher, Burke, Bhaumik & Williams,
    "Toward Trustworthy Recommender Systems", ACM TOIT 7(4), 2007. Ratings are rounded to the
    nearest rating in `data`. Without ratings (all weights 1) an attack only chooses items.

    share: fake users per genuine user, at least one in total. filler: fillers of a profile, a share
    of the items (float) or their number (int). They are drawn uniformly from the `top` share of
    items with the most ratings. With top=1 these are all items. Less makes "average" harder to
    detect (as in Hurley, Cheng & Zhang, "Statistical Attack Detection", RecSys 2009). target: an
    item id or several, None for one drawn among all rated items. Times, if `data` has any, are
    drawn from those in `data`. Fake ids are integers above the largest, or "fake-1", "fake-2" and
    so on.

    Raises ConfigError for an unknown attack and a number out of range. Raises DataError for a
    target that is not an item of `data`, and for too few items for the profile.

    >>> planted = recae.apply.anomaly.inject_profiles(data, share=0.2, filler=2, target=3)
    >>> planted.data.to_frame().query("user_id == 5")["item_id"].size  # two fillers and the target
    3
    """
    check_option("attack", attack, ATTACKS)
    share = check_number("share", share, above=0, high=10)
    top = check_number("top", top, above=0, high=1)
    selected, push = check_integer("selected", selected, 0), check_flag("push", push)
    filler = _filler(filler)
    genuine = as_interactions(data)
    if not genuine.nnz:
        raise DataError("data must have interactions before fake users can be added")
    items = ItemStatistics(genuine)
    n_fakes = max(1, round(share * genuine.n_users))
    targets = _targets(genuine, items, target, seed)
    chosen = _selected(attack, items, targets, selected)
    most_rated = items.by_popularity()[: max(1, round(top * genuine.n_items))]
    allowed = np.setdiff1d(most_rated, np.concatenate([targets, chosen]))
    size = filler if isinstance(filler, int) else max(1, round(filler * genuine.n_items))
    if size > len(allowed):
        raise DataError(
            f"a profile of {size:,} fillers needs as many items other than its targets; there are "
            f"{len(allowed):,}: lower filler or raise top"
        )
    fillers = _draw_rows(numpy_generator(seed, Stream.ATTACK_FILLERS), allowed, n_fakes, size)
    ratings = _filler_ratings(attack, items, fillers, numpy_generator(seed, Stream.ATTACK_RATINGS))
    fixed = np.concatenate([chosen, targets])
    high, low = items.levels[-1], items.levels[0]
    values = np.concatenate(
        [np.full(len(chosen), high), np.full(len(targets), high if push else low)]
    )
    columns = np.hstack([fillers, np.tile(fixed, (n_fakes, 1))])
    weights = np.hstack([ratings, np.tile(values, (n_fakes, 1))])
    return _appended(genuine, columns, weights, targets, chosen, seed)


def _filler(filler: Any) -> float | int:
    """A share of the items as a float, or their number as an int. Raises ConfigError."""
    try:
        if isinstance(filler, float | np.floating):
            return check_number("filler", filler, low=0, high=1)
        return check_integer("filler", filler, 0)
    except ConfigError:
        raise ConfigError(
            "filler must be a share of the items (a float from 0 to 1) or their number (an integer "
            f">= 0), not {filler!r}",
            parameter="filler",
            value=filler,
        ) from None


def _targets(genuine: Interactions, items: ItemStatistics, target: Any, seed: int) -> np.ndarray:
    if target is None:
        rated = np.flatnonzero(items.counts)
        return numpy_generator(seed, Stream.ATTACK_TARGET).choice(rated, size=1)
    ids = [target] if isinstance(target, str) or not hasattr(target, "__iter__") else list(target)
    if not ids:
        raise DataError("target is empty: pass an item id or several, or None to draw one")
    return np.unique(genuine.items.encode(ids))


def _selected(attack: str, items: ItemStatistics, targets: np.ndarray, selected: int) -> np.ndarray:
    if attack == "bandwagon":
        order = items.by_popularity()
    elif attack == "segment":
        order = items.by_likeness(targets)
    else:
        return np.empty(0, dtype=np.int64)
    return order[~np.isin(order, targets)][:selected]


def _draw_rows(rng: np.random.Generator, allowed: np.ndarray, n_rows: int, size: int) -> np.ndarray:
    """Draws (n_rows, size) of `allowed`, without repetition in a row."""
    drawn = np.empty((n_rows, size), dtype=np.int64)
    for rows in row_batches(n_rows, len(allowed), BLOCK_CELLS):
        keys = rng.random((rows.stop - rows.start, len(allowed)))
        drawn[rows] = allowed[np.argsort(keys, axis=1)[:, :size]]
    return drawn


def _filler_ratings(
    attack: str, items: ItemStatistics, fillers: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    if attack == "segment":
        return np.full(fillers.shape, items.levels[0])
    noise = rng.standard_normal(fillers.shape)
    if attack == "average":
        return items.nearest_level(items.means[fillers] + noise * items.deviations[fillers])
    return items.nearest_level(items.mean + noise * items.deviation)


def _appended(
    genuine: Interactions,
    columns: np.ndarray,
    weights: np.ndarray,
    targets: np.ndarray,
    chosen: np.ndarray,
    seed: int,
) -> Injected:
    """The genuine interactions followed by a row for each row of `columns` and `weights`."""
    order = np.argsort(columns, axis=1)
    columns = np.take_along_axis(columns, order, axis=1)
    weights = np.take_along_axis(weights, order, axis=1)
    n_fakes, size = columns.shape
    users, times = _new_ids(genuine.users, n_fakes), genuine.times
    matrix = genuine.matrix
    indptr = matrix.indptr[-1] + size * np.arange(1, n_fakes + 1)
    if times is not None:
        drawn = numpy_generator(seed, Stream.ATTACK_TIMES).choice(times, size=columns.size)
        times = np.concatenate([times, drawn])
    data = Interactions._owning(
        IdMap(np.concatenate([genuine.users.ids, users]), "user"),
        genuine.items,
        np.concatenate([matrix.data, weights.ravel().astype(np.float32)]),
        np.concatenate([matrix.indices, columns.ravel()]),
        np.concatenate([matrix.indptr, indptr]),
        times,
    )
    is_fake = np.arange(data.n_users) >= genuine.n_users
    item_ids = genuine.items.ids
    return Injected(data, users, item_ids[targets], item_ids[chosen], is_fake)


def _new_ids(known: IdMap, n: int) -> np.ndarray:
    """Ids for n new users that no known user has: the integers after the largest, or texts such as
    fake-3. Raises DataError where no integers are left."""
    if known.ids.dtype != object:
        last = int(known.ids.max(initial=-1))
        if last > np.iinfo(np.int64).max - n:
            raise DataError(
                f"no {n:,} integers are above the largest user id, {last}: cast to text"
            )
        return np.arange(1, n + 1, dtype=np.int64) + last
    taken = {str(name) for name in known.ids if str(name).startswith("fake-")}
    names = (f"fake-{number}" for number in itertools.count(1))
    free = (name for name in names if name not in taken)
    return np.array([*itertools.islice(free, n)], dtype=object)
