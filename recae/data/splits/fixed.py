"""Splits with published training, validation and test tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from recae.data.interactions import Interactions, as_interactions
from recae.data.splits.folds import Fold, Split
from recae.data.splits.leaks import OVERLAPS, check_spellings, check_split, repeated_pairs
from recae.data.splits.moments import NAMES, unit_of
from recae.data.splits.weak import PARTS, fold_of
from recae.data.tables.sources import is_table
from recae.errors import DataError, check_option, explained, warn

FOLD_ITEMS = ("train", "all")


@explained
def fixed_split(
    train: Interactions | Any,
    *,
    test: Interactions | Any,
    validation: Interactions | Any | None = None,
    history: str = "train+validation",
    mask: str | None = None,
    overlap: str = "raise",
) -> Split:
    """A split with published tables for known users (weak generalisation); nothing is random.

        part         history                mask                   target
        validation   train                  train                  validation
        test         train (+ validation)   train (+ validation)   test

    history, mask: "train+validation" or "train", the history of the test fold and the items that
    must not be recommended in it; the mask is the history unless stated. Users and items are the
    union of all tables, those of `train` first, so every part has a column for every test item. A
    fold holds only the users that have a target.

    overlap: how to treat pairs that are in two tables. "raise" refuses them. "drop" takes them out
    of the later table (of train, validation, test), and "keep" leaves them there; both warn with a
    count. A pair that stays in both train and validation counts with the larger weight.

    The split goes through `check_split`, as one of weak generalisation. Raises DataError for the
    leaks that it rejects and for a table that repeats a (user, item), ConfigError for an unknown
    option.

    >>> parts = recae.data.splits.holdout_pairs(data, 0.5)
    >>> recae.fixed_split(parts.train, test=parts.validation.target).test
    Fold(5 users, 6 interactions in the history, 5 in the target)
    """
    mask = history if mask is None else mask
    check_option("history", history, PARTS)
    check_option("mask", mask, PARTS)
    check_option("overlap", overlap, OVERLAPS)
    between = {} if validation is None else {"validation": validation}
    tables = _tables({"train": train} | between | {"test": test})
    users, items = tables["train"].users, tables["train"].items
    for table in tables.values():
        users, items = users.union(table.users), items.union(table.items)
    tables = {name: table.with_users(users).with_items(items)[0] for name, table in tables.items()}
    if overlap == "drop":
        tables = _disjoint(tables)
    train, test, valid = tables["train"], tables["test"], tables.get("validation")
    parts, fold = {"train": train, "train+validation": train}, None
    if valid is not None:
        parts["train+validation"] = _together(train, valid)
        fold = fold_of(train, valid, train)
    split = Split(train, fold, fold_of(parts[history], test, parts[mask]))
    check_split(split, overlap="raise" if overlap == "drop" else overlap, generalization="weak")
    return split


@explained
def fixed_folds(
    train: Interactions | Any,
    *,
    test_history: Interactions | Any,
    test_target: Interactions | Any,
    validation_history: Interactions | Any | None = None,
    validation_target: Interactions | Any | None = None,
    items: str = "train",
) -> Split:
    """A split with published tables for held-out users (strong generalisation).

    The tables of Liang et al. (2018): the whole interactions of the training users, and two tables
    for either kind of held-out users:

        users   training | validation           | test
        train   o o o o  |                      |
        valid.           | validation_history   |
                         | validation_target    |
        test             |                      | test_history
                         |                      | test_target

    items: "train", as published, leaves out held-out interactions with items that `train` does not
    have (`left_out` counts them). "all" keeps them as items without training users, so that such a
    target counts as a miss. A held-out user without a target, or with an empty history, keeps an
    empty row. The mask is the history.

    The split goes through `check_split`, as one of strong generalisation. Raises DataError for the
    leaks that it rejects, for a table that repeats a (user, item), for only one of the two
    validation tables, and for an empty target. Raises ConfigError for other `items`.

    >>> plays = {"train": [(1, "a"), (1, "b")], "history": [(2, "a")], "target": [(2, "b")]}
    >>> columns = ["user_id", "item_id"]
    >>> train, history, target = (pd.DataFrame(rows, columns=columns) for rows in plays.values())
    >>> recae.data.splits.fixed_folds(train, test_history=history, test_target=target).test
    Fold(1 users, 1 interactions in the history, 1 in the target)
    """
    check_option("items", items, FOLD_ITEMS)
    if (validation_history is None) != (validation_target is None):
        missing = "history" if validation_history is None else "target"
        raise DataError(f"validation needs both of its tables: validation_{missing} is missing")
    given = {"train": train, "test history": test_history, "test target": test_target}
    if validation_history is not None:
        given["validation history"] = validation_history
        given["validation target"] = validation_target
    tables = _tables(given)
    train = tables["train"]
    for name in tables.keys() - {"train"}:
        check_spellings(train, [tables[name]], "item", name)
    if items == "all":
        known = train.items
        for table in tables.values():
            known = known.union(table.items)
        train = train.with_items(known)[0]
    folds, left_out = dict[str, Fold](), 0
    for name in ("validation", "test"):
        if f"{name} target" in tables:
            past, theirs = (tables[f"{name} {part}"] for part in ("history", "target"))
            users = past.users.union(theirs.users)
            parts = [part.with_users(users).with_items(train.items) for part in (past, theirs)]
            folds[name] = Fold(parts[0][0], parts[1][0])
            left_out += parts[0][1] + parts[1][1]
            if not parts[1][0].nnz:
                raise DataError(
                    f"none of the {theirs.nnz:,} interactions of the {name} target is with an item "
                    "of train: do its tables number the items differently?"
                )
    split = Split(train, folds.get("validation"), folds["test"], left_out)
    check_split(split, generalization="strong")
    return split


def _tables(given: Mapping[str, Any]) -> dict[str, Interactions]:
    """The tables as Interactions with ids of the same kind; errors name theirs."""
    tables: dict[str, Interactions] = {}
    for name, table in given.items():
        try:
            if is_table(table):
                tables[name] = Interactions.from_frame(table, duplicates="error")
            else:
                tables[name] = as_interactions(table)
            tables["train"].users.lookup(tables[name].users.ids)
            tables["train"].items.lookup(tables[name].items.ids)
        except DataError as error:
            raise DataError(f"{name} table: {error}") from None
    _check_units({name: t.times for name, t in tables.items() if t.times is not None and t.nnz})
    return tables


def _check_units(times: Mapping[str, np.ndarray]) -> None:
    """DataError if the times of two tables are plausible in two units: seconds beside dates."""
    units = {name: unit_of(values) for name, values in times.items()}
    known = {name: unit for name, unit in units.items() if unit is not None}
    for name, unit in known.items():
        first = next(iter(known))
        if unit != known[first]:
            raise DataError(
                f"{name} table: its times are in {NAMES[unit]} (first: {times[name][0]}), those of "
                f"the {first} table in {NAMES[known[first]]} (first: {times[first][0]}); dates are "
                "read as nanoseconds: give both in one form"
            )


def _disjoint(tables: Mapping[str, Interactions]) -> dict[str, Interactions]:
    """Each table without the pairs of those before it; warns with the counts."""
    kept: dict[str, Interactions] = {}
    for name, table in tables.items():
        repeated = np.zeros(table.nnz, dtype=np.bool_)
        for before in kept.values():
            repeated |= repeated_pairs(table, before)
        if repeated.any():
            warn(
                f"{int(repeated.sum()):,} of {table.nnz:,} interactions of the {name} table are "
                f"dropped: they are also in {' or '.join(kept)}"
            )
        kept[name] = table.keep(~repeated)
    return kept


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
