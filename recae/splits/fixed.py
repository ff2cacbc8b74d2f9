"""Splits whose parts are published as tables."""

from __future__ import annotations

from typing import Any

import pandas as pd

from recae.data import Interactions, as_interactions
from recae.errors import unknown_option
from recae.folds import Split
from recae.splits.parts import PARTS, fold_of


def fixed_split(
    train: Interactions | Any,
    *,
    test: Interactions | Any,
    validation: Interactions | Any | None = None,
    history: str = "train+validation",
    mask: str | None = None,
) -> Split:
    """A split whose parts are published as tables; nothing is drawn and nothing is dropped.

        part         history                mask                   target
        validation   train                  train                  validation
        test         train (+ validation)   train (+ validation)   test

    history, mask: "train+validation" or "train", what the test fold's history is and what it must
    not recommend; the mask is the history unless stated. A pair that is in both tables counts with
    the larger weight. Users and items are the union of all tables, those of `train` first, so
    every part has a column for every test item; a fold holds only the users that have a target.

    Targets that are masked can never be hit: a RecaeWarning counts them. Raises ConfigError for
    an unknown `history` or `mask`.

    >>> parts = recae.holdout_pairs(data, 0.5)
    >>> recae.fixed_split(parts.train, test=parts.validation.target).test
    Fold(5 users, 6 interactions in the history, 5 in the target)
    """
    mask = history if mask is None else mask
    for name, value in (("history", history), ("mask", mask)):
        if value not in PARTS:
            raise unknown_option(name, value, PARTS)
    given = [train, test] if validation is None else [train, validation, test]
    tables = [as_interactions(table) for table in given]
    users, items = tables[0].users, tables[0].items
    for table in tables[1:]:
        users, items = users.union(table.users), items.union(table.items)
    tables = [table.with_users(users).with_items(items)[0] for table in tables]
    train, test = tables[0], tables[-1]
    parts = {"train": train, "train+validation": train}
    fold = None
    if len(tables) == 3:
        parts["train+validation"] = _together(train, tables[1])
        fold = fold_of(train, tables[1], train, "validation")
    return Split(train, fold, fold_of(parts[history], test, parts[mask], "test"))


def _together(first: Interactions, second: Interactions) -> Interactions:
    """The interactions of both, over the same ids; a pair in both keeps the larger weight."""
    timed = first.times is not None and second.times is not None
    return Interactions.from_frame(
        pd.concat([first.to_frame(), second.to_frame()]),
        time="timestamp" if timed else None,
        duplicates="max",
        users=first.users,
        items=first.items,
    )
