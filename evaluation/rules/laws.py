"""Random requests under random rules, and the laws that every answer must keep.

The laws are written from the documentation of `recae.Rules` in plain Python over ids: nothing here
reads the code that ranks. `broken` names the laws that a list breaks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

import recae

GENRES = tuple("ABCDEFGH")
NOW = date(2026, 11, 29)
UNKNOWN = (10_001, 10_002)
"""Ids that no model of a world knows."""

CLOSE = 1e-4
"""Scores are the same if they differ by at most this share of the range of the user's scores."""


@dataclass(frozen=True, eq=False)
class World:
    """A fitted model with facts about its items, as plain Python.

    histories: user -> the items of the history; scores: user -> item -> the model's own score;
    categories: item -> its categories; dates: item -> its date, for items that have one.
    """

    model: recae.Recommender
    data: recae.Interactions
    table: recae.data.ItemTable
    histories: Mapping[int, frozenset[int]]
    scores: Mapping[int, Mapping[int, float]]
    categories: Mapping[int, frozenset[str]]
    dates: Mapping[int, date]


def make_world(
    model: recae.Recommender, n_users: int = 60, n_items: int = 80, seed: int = 0
) -> World:
    """A model fitted on random tastes; items have up to three genres, some none, and dates."""
    rng = np.random.default_rng(seed)
    items = np.sort(rng.choice(1000, n_items, replace=False))
    tastes = rng.normal(size=(n_users, 6)) @ rng.normal(size=(6, n_items))
    liked = tastes + rng.gumbel(size=tastes.shape) > np.quantile(tastes, 0.9, axis=1)[:, None]
    users, columns = np.nonzero(liked)
    data = recae.Interactions.from_frame(
        pd.DataFrame({"user_id": users, "item_id": items[columns]})
    )
    model = model.fit(data)
    known = data.items.ids.tolist()
    genres = [sorted(rng.choice(GENRES, rng.integers(0, 4), replace=False)) for _ in known]
    genres[0] = ["A"]  # an item has one, at least
    days = rng.integers(0, 2000, len(known)).tolist()
    dates = [None if day % 7 == 0 else NOW - timedelta(day) for day in days]
    table = pd.DataFrame(
        {"item_id": known, "genres": ["|".join(some) or None for some in genres], "date": dates}
    )
    scores = model.score(data, as_frame=True)
    found = [dict(zip(known, row, strict=True)) for row in scores.to_numpy().tolist()]
    listed = data.to_frame().groupby("user_id")["item_id"].agg(frozenset)
    return World(
        model,
        data,
        recae.data.ItemTable(table),
        listed.to_dict(),
        dict(zip(scores.index.tolist(), found, strict=True)),
        {item: frozenset(some) for item, some in zip(known, genres, strict=True)},
        {item: day for item, day in zip(known, dates, strict=True) if day is not None},
    )


def random_options(rng: np.random.Generator, world: World, k: int) -> dict[str, Any]:
    """Random fields of `recae.Rules` but for its table; each rule is on in a third of the draws."""
    known = [*world.categories]

    def on() -> bool:
        return bool(rng.random() < 1 / 3)

    def some(most: float) -> list[int]:
        number = int(rng.integers(0, max(most * len(known), 1) + 1))
        return [*rng.choice(known, number, replace=False).tolist(), *UNKNOWN[: rng.integers(3)]]

    found: dict[str, Any] = {"seed": int(rng.integers(1000)), "pool": int(rng.integers(1, 60))}
    for name, most in (("allow", 1.0), ("block", 0.9)):
        if on():
            users = rng.choice([*world.histories], 8, replace=False).tolist()
            found[name] = {user: some(most) for user in users} if on() else some(most)
    if on():
        found["boosts"] = {item: float(rng.choice([0, 0.5, 2, 10])) for item in some(0.3)}
    if on():
        found |= {"half_life": float(rng.choice([1.0, 30.0, 1000.0])), "now": NOW.isoformat()}
    if on():
        # Beside a score, not equal to it: another batch may round that score to the other side.
        scores = [*world.scores[rng.choice([*world.histories])].values()]
        found["min_score"] = float(rng.choice(scores)) + CLOSE * (max(scores) - min(scores))
    if on():
        items = dict.fromkeys(some(0.1))
        places = rng.permutation(k + 3)[: len(items)] + 1
        found["include"] = dict(zip(items, places.tolist(), strict=False))
    if on():
        found |= {"at_most": int(rng.integers(1, 4)), "category": "genres"}
    if on():
        found["diversity"] = float(rng.choice([0.1, 0.5, 1.0]))
        if on():
            found["method"] = "calibrated"
        if found.get("method") or on():
            found["category"] = "genres"
    if on():
        found["explore"] = float(rng.choice([0.1, 0.5, 1.0]))
    return found


def broken(
    options: Mapping[str, Any],
    world: World,
    user: int,
    k: int,
    exclude_seen: bool,
    ids: Sequence[int],
    scores: Sequence[float],
) -> list[str]:
    """The laws that the list of a user breaks, by name; none if all is well."""
    hidden = own_list(options.get("block"), user) or set()
    allow = own_list(options.get("allow"), user)
    seen = world.histories[user] if exclude_seen else frozenset[int]()
    may = {
        item
        for item in world.categories
        if item not in hidden and item not in seen and (allow is None or item in allow)
    }
    places = {i: p for i, p in (options.get("include") or {}).items() if i in may and p <= k}
    expected, spread = expected_scores(options, world, user)
    least = options.get("min_score")
    close = CLOSE * spread
    found = [
        ("repeated", len({*ids}) < len(ids)),
        ("unknown", not world.categories.keys() >= {*ids}),
        ("blocked", bool(hidden & {*ids})),
        ("seen", bool(seen & {*ids})),
        ("allow", not may >= {*ids}),
        ("length", len(ids) > k),
        ("scores", any(abs(s - expected[i]) > close for i, s in zip(ids, scores, strict=True))),
        (
            "min_score",
            any(expected[i] < least - close for i in {*ids} - places.keys())
            if least is not None
            else False,
        ),
        ("include", not included(places, ids, k)),
    ]
    free = {i for i in may if least is None or expected[i] >= least + close} | places.keys()
    left = free - {*ids}
    if options.get("at_most") is None:
        found.append(("fewer than there are", len(ids) < k and bool(left)))
    else:
        counts, most = counted(world, ids), options["at_most"]
        forced = counted(world, [*places])
        above = any(counts[c] > max(most, forced[c]) for c in counts)
        full = {c for c in counts if counts[c] >= most}
        room = {i for i in left if not world.categories[i] & full}
        found += [("at_most", above), ("fewer than there are", len(ids) < k and bool(room))]
    if not places and not options.get("diversity") and not options.get("explore"):
        found.append(("order", [*scores] != sorted(scores, reverse=True)))
    return [name for name, wrong in found if wrong]


def own_list(given: Any, user: int) -> set[int] | None:
    """The ids of a rule for one user; None where the rule says nothing about the user."""
    if isinstance(given, Mapping):
        given = given.get(user)
    return None if given is None else {*given}


def included(places: Mapping[int, int], ids: Sequence[int], k: int) -> bool:
    """Whether items are in their places; of a shorter list, gaps before them may have closed."""
    for item, place in places.items():
        if item not in ids:
            return False
        at = ids.index(item) + 1
        if at > place or (at < place and len(ids) == k):
            return False
    return True


def expected_scores(
    options: Mapping[str, Any], world: World, user: int
) -> tuple[dict[int, float], float]:
    """The scores under `boosts` and `half_life`, and the range of the user's own scores."""
    own = world.scores[user]
    low, high = min(own.values()), max(own.values())
    factors = {item: options.get("boosts", {}).get(item, 1.0) for item in own}
    if options.get("half_life"):
        ages = {item: (NOW - day).days for item, day in world.dates.items()}
        middle = float(np.median([*ages.values()]))
        for item in own:
            factors[item] *= 0.5 ** (ages.get(item, middle) / options["half_life"])
    found = {item: low + factors[item] * (score - low) for item, score in own.items()}
    return found, max(high - low, max(found.values()) - low, 1e-6)


def counted(world: World, ids: Sequence[int]) -> Counter[str]:
    """How many of these items are in each category."""
    return Counter(category for item in ids for category in world.categories[item])
