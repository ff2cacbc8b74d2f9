"""Asks for many random lists, in all ways there are, and counts the laws they break."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import Any

import numpy as np

import recae
from evaluation.rules.laws import World, broken, random_options

USERS = 50
"""Users of a set of rules."""


def ask(worlds: list[World], requests: int, seed: int, shown: Any = None) -> dict[str, Any]:
    """Draws rules, and users for each, until there are so many lists; counts what is wrong.

    Every set of rules ranks up to 50 users together. One of them is also ranked alone, through
    `recommend` and through `recommend_ids`, whose lists must be the same. Returns the counts of
    lists, of broken laws, of lists with fewer than k items, and of sets in which a rule was on.
    """
    rng = np.random.default_rng(seed)
    laws, on, done, short, sets, alone = Counter[str](), Counter[str](), 0, 0, 0, 0
    first: str | None = None
    while done < requests:
        world = worlds[sets % len(worlds)]
        k = int(rng.choice([1, 3, 10, 20, 60]))
        options, seen = random_options(rng, world, k), bool(rng.random() < 0.8)
        rules = recae.Rules(**options, table=world.table)
        if sets % 2:  # what JSON says is what Python says
            rules = recae.Rules.from_json(rules.to_json(), world.table)
        some = min(USERS, len(world.histories))
        users = rng.choice([*world.histories], some, replace=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", recae.RecaeWarning)
            frame = world.model.recommend(users, k, exclude_seen=seen, rules=rules)
        notes = frame.attrs.pop("notes", ())
        on.update(name for name in options if name not in ("seed", "pool", "category", "now"))
        of_users = frame.groupby("user_id")
        items, worth = (of_users[name].agg(list).to_dict() for name in ("item_id", "score"))
        for user in users.tolist():
            ids, scores = items.get(user, []), worth.get(user, [])
            wrong = broken(options, world, user, k, seen, ids, scores)
            wanted = min(k, len(world.categories))
            short += len(ids) < wanted
            if len(ids) < wanted and not notes:
                wrong.append("no notes")
            if user == users[0]:
                alone += 1
                wrong += unlike(world, user, k, seen, rules, ids)
            laws.update(wrong)
            if wrong and first is None:
                first = f"{wrong} user {user}, k {k}, exclude_seen {seen}, {options}: {ids}"
        done, sets = done + len(users), sets + 1
        if shown is not None:
            shown.update(len(users))
    return {
        "lists": done,
        "sets of rules": sets,
        "ranked alone too": alone,
        "shorter than k": short,
        "rules on": dict(sorted(on.items())),
        "laws broken": dict(laws),
        "first": first,
    }


def unlike(
    world: World, user: int, k: int, seen: bool, rules: recae.Rules, ids: list[int]
) -> list[str]:
    """The ways to rank one user whose list is not that of the batch."""
    found = []
    history = sorted(world.histories[user])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", recae.RecaeWarning)
        one = world.model.recommend([user], k, exclude_seen=seen, rules=rules)
        plain = world.model.recommend_ids(history, k, exclude_seen=seen, rules=rules.of_user(user))[
            0
        ]
        given = world.model.recommend(k=k, history={user: history}, exclude_seen=seen, rules=rules)
    if one["item_id"].tolist() != ids:
        found.append("alone")
    if plain != ids:
        found.append("alone, by recommend_ids")
    if given["item_id"].tolist() != ids:
        found.append("alone, from a history")
    return found
