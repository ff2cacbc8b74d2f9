"""Fake profiles to plant: the classic attacks on recommenders, for tests and benchmarks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from recae.apply.anomaly.catalogue import Catalogue
from recae.data import IdMap, Interactions, as_interactions
from recae.errors import ConfigError, DataError, unknown_option
from recae.rng import Stream, numpy_generator

ATTACKS = ("random", "average", "bandwagon", "segment")
BLOCK_CELLS = 1 << 22
"""Random numbers held at once: 2^22 are 32 MiB."""


@dataclass(frozen=True, eq=False)
class Injected:
    """Interactions with fake users in them, and who and what they are.

    data: the genuine rows first, as they were, then the fake ones; users: ids of the fake users,
    (n,); targets and selected: ids of the items they push and of those that they all rate highest
    beside them, (n,) each; is_fake: (n_users,) bool beside the rows of `data`.

    >>> from recae.apply.anomaly import inject_profiles
    >>> planted = inject_profiles(data, "bandwagon", share=0.4, filler=1, selected=1)
    >>> planted.users.tolist(), int(planted.is_fake.sum())
    ([5, 6], 2)
    """

    data: Interactions
    users: np.ndarray
    targets: np.ndarray
    selected: np.ndarray
    is_fake: np.ndarray


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
    """Interactions with fake users appended, as an attacker would have made them.

    Every fake profile rates its targets highest (lowest with push=False), and fillers to look like
    a user. What the fillers get, and which other items are rated, is the attack:

    - "random": draws from a normal distribution with the mean and deviation of all ratings
      (RandomBot of Lam & Riedl, "Shilling Recommender Systems for Fun and Profit", WWW 2004);
    - "average": draws around each filler's own mean and deviation (their AverageBot, whose
      deviation is that of all ratings; here it is the item's, as Mobasher et al. have it);
    - "bandwagon": as "random", and the `selected` items with the most ratings get the highest one;
    - "segment": the lowest rating, and the `selected` items most alike to the target (cosine of
      who rated them) get the highest: those who like that kind of thing are aimed at.

    The last two, and the four parts of a profile, are those of Mobasher, Burke, Bhaumik & Williams,
    "Toward Trustworthy Recommender Systems", ACM TOIT 7(4), 2007. Ratings are the nearest that
    occur in `data`. Without ratings (all weights 1) only the choice of items is left of an attack.

    share: fake users per genuine one, at least one in all; filler: fillers of a profile, a share of
    the items (float) or their number (int), drawn alike among the `top` share of items with the
    most ratings (top=1: all of them; less makes "average" harder to see, as in Hurley, Cheng &
    Zhang, "Statistical Attack Detection", RecSys 2009); target: an item id or several, None for one
    drawn among all that somebody rated; times, if `data` has any, are drawn from those that occur.
    Fake ids are integers above the largest, or "fake-1", "fake-2" and so on.

    Raises ConfigError for another attack, or a number out of its range; DataError for a target that
    is not an item of `data`, or items too few for the profile.

    >>> planted = recae.apply.anomaly.inject_profiles(data, share=0.2, filler=2, target=3)
    >>> planted.data.to_frame().query("user_id == 5")["item_id"].size  # two fillers and the target
    3
    """
    filler, selected = _check(attack, share, filler, selected, top, push)
    genuine = as_interactions(data)
    if not genuine.nnz:
        raise DataError("there are no interactions to hide fake users among")
    items = Catalogue.of(genuine)
    n_fakes = max(1, round(share * genuine.n_users))
    targets = _targets(genuine, items, target, seed)
    chosen = _selected(attack, items, targets, selected)
    allowed = np.setdiff1d(_most_rated(items, top), np.concatenate([targets, chosen]))
    size = filler if isinstance(filler, int) else max(1, round(filler * genuine.n_items))
    if size > len(allowed):
        raise DataError(
            f"a profile of {size:,} fillers needs as many items beside its targets, and there are "
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


def _check(
    attack: str, share: float, filler: Any, selected: Any, top: float, push: bool
) -> tuple[float | int, int]:
    """filler and selected, integers of numpy as int."""
    if attack not in ATTACKS:
        raise unknown_option("attack", attack, ATTACKS)
    filler, selected = (
        int(value) if isinstance(value, np.integer) else value for value in (filler, selected)
    )
    for name, value, fits in (
        ("share", share, _is_number(share) and 0 < share <= 10),
        ("top", top, _is_number(top) and 0 < top <= 1),
        ("selected", selected, type(selected) is int and selected >= 0),
        ("push", push, isinstance(push, bool)),
    ):
        if not fits:
            raise ConfigError(f"{name} of inject_profiles is out of range: {value!r}")
    whole = type(filler) is int and filler >= 0
    if not (whole or (isinstance(filler, float) and 0 <= filler <= 1)):
        raise ConfigError(
            f"filler must be a share of the items (a float from 0 to 1) or their number (an "
            f"integer), not {filler!r}"
        )
    return filler, selected


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _targets(genuine: Interactions, items: Catalogue, target: Any, seed: int) -> np.ndarray:
    if target is None:
        rated = np.flatnonzero(items.counts)
        return numpy_generator(seed, Stream.ATTACK_TARGET).choice(rated, size=1)
    ids = [target] if isinstance(target, str) or not hasattr(target, "__iter__") else list(target)
    if not ids:
        raise DataError("target names no item: give an item id or several, or None to draw one")
    return np.unique(genuine.items.encode(ids))


def _selected(attack: str, items: Catalogue, targets: np.ndarray, selected: int) -> np.ndarray:
    if attack == "bandwagon":
        order = items.by_popularity()
    elif attack == "segment":
        order = items.by_likeness(targets)
    else:
        return np.empty(0, dtype=np.int64)
    return order[~np.isin(order, targets)][:selected]


def _most_rated(items: Catalogue, top: float) -> np.ndarray:
    return items.by_popularity()[: max(1, round(top * len(items.counts)))]


def _draw_rows(rng: np.random.Generator, allowed: np.ndarray, n_rows: int, size: int) -> np.ndarray:
    """(n_rows, size) of `allowed`, each row without repetition."""
    drawn = np.empty((n_rows, size), dtype=np.int64)
    step = max(1, BLOCK_CELLS // max(len(allowed), 1))
    for start in range(0, n_rows, step):
        keys = rng.random((min(step, n_rows - start), len(allowed)))
        drawn[start : start + step] = allowed[np.argsort(keys, axis=1)[:, :size]]
    return drawn


def _filler_ratings(
    attack: str, items: Catalogue, fillers: np.ndarray, rng: np.random.Generator
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
    """The genuine interactions with one row more for each row of `columns` and `weights`."""
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
    if known.ids.dtype != object:
        last = int(known.ids.max(initial=-1))
        if last > np.iinfo(np.int64).max - n:
            raise DataError(
                f"no {n:,} integers are above the largest user id, {last}: cast to text"
            )
        return np.arange(1, n + 1, dtype=np.int64) + last
    taken = {str(name) for name in known.ids if str(name).startswith("fake-")}
    return np.array(
        [
            f"fake-{number}"
            for number in range(1, n + len(taken) + 1)
            if f"fake-{number}" not in taken
        ][:n],
        dtype=object,
    )
