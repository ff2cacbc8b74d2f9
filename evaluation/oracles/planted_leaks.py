"""Plants leaks into a clean split, one at a time, and checks that each is reported.

    python -m evaluation planted_leaks

The split is of the bundled MovieLens. A leak must raise an error, or a warning if it could be
chance (a user under a second id). The clean split must raise neither.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

import recae
from evaluation.kit.provenance import keep

Tables = dict[str, pd.DataFrame]


def main(argv: Sequence[str] | None = None) -> int:
    """Prints and stores the outcome of each leak. Returns 1 if one is not noticed."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args(argv)
    data = recae.load_dataset().interactions.filter(min_per_item=5)
    weak = recae.RandomSplit(0.1, 0.1).split(data, seed=0)
    strong = recae.StrongGeneralization(held_out=0.1).split(data)
    known = {
        "train": _frame(weak.train),
        "validation": _frame(weak.validation.target),
        "test": _frame(weak.test.target),
    }
    new = {
        "train": _frame(strong.train),
        "test_history": _frame(strong.test.history),
        "test_target": _frame(strong.test.target),
    }
    said = {}
    for name, (kind, plant) in LEAKS.items():
        tables = {part: table.copy() for part, table in (known if kind == "weak" else new).items()}
        plant(tables)
        said[name] = outcome(
            recae.fixed_split if kind == "weak" else recae.data.splits.fixed_folds, tables
        )
        print(f"{name}\n    {said[name][0]}: {said[name][1]}", flush=True)
    keep("planted-leaks", {"leaks": {name: list(found) for name, found in said.items()}})
    wrong = [name for name, (how, _) in said.items() if how != expected(name)]
    print(f"{len(said)} splits, {len(wrong)} with an unexpected outcome {' '.join(wrong)}")
    return int(bool(wrong))


def expected(name: str) -> str:
    """The expected outcome of a leak. A user under a second id could be chance."""
    return "silence" if name.startswith("none") else "reported" if name in TWINS else "refused"


def outcome(make: Callable[..., recae.data.splits.Split], tables: Tables) -> tuple[str, str]:
    """The outcome of a split of these tables (refused, reported or silence) and its message."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            make(**tables)
        except recae.DataError as error:
            return "refused", str(error)
    said = [str(w.message) for w in caught if issubclass(w.category, recae.RecaeWarning)]
    return ("reported", " | ".join(said)) if said else ("silence", "")


def _frame(data: recae.Interactions) -> pd.DataFrame:
    return data.to_frame()[["user_id", "item_id"]]


def _into(part: str, rows: Callable[[Tables], pd.DataFrame]) -> Callable[[Tables], None]:
    """Adds rows, made of the tables, to one of them."""

    def plant(tables: Tables) -> None:
        tables[part] = pd.concat([tables[part], rows(tables)], ignore_index=True)

    return plant


def _of(table: pd.DataFrame, place: int) -> pd.DataFrame:
    """All rows of the user at a place among those with ten items or more."""
    sizes = table["user_id"].value_counts()
    return table[table["user_id"] == sorted(sizes[sizes >= 10].index)[place]]


def _history_of_a_test_user(tables: Tables) -> pd.DataFrame:
    user = _of(tables["test_history"], 0)["user_id"].iloc[0]
    both = pd.concat([tables["test_history"], tables["test_target"]])
    return both[both["user_id"] == user]


def _spelled(tables: Tables) -> None:
    for name, table in tables.items():
        ids = table["user_id"].astype(str)
        tables[name] = table.assign(user_id=" " + ids if name == "test" else ids)


TWINS = ("a test user in train under another id", "the same, with one item less")
LEAKS: dict[str, tuple[str, Callable[[Tables], Any]]] = {
    "none, known users": ("weak", lambda tables: None),
    "none, new users": ("strong", lambda tables: None),
    "a test pair in train": ("weak", _into("train", lambda t: t["test"][:1])),
    "a test pair in validation": ("weak", _into("validation", lambda t: t["test"][:1])),
    "a validation pair in train": ("weak", _into("train", lambda t: t["validation"][:1])),
    "a row twice in the test": ("weak", _into("test", lambda t: t["test"][:1])),
    "ids with a blank before them": ("weak", _spelled),
    "a test user in train": ("strong", _into("train", lambda t: _of(t["test_history"], 0))),
    "a target in its own history": (
        "strong",
        _into("test_history", lambda t: t["test_target"][:1]),
    ),
    "a test user in train under another id": (
        "strong",
        _into("train", lambda t: _history_of_a_test_user(t).assign(user_id=10**9)),
    ),
    "the same, with one item less": (
        "strong",
        _into("train", lambda t: _history_of_a_test_user(t)[1:].assign(user_id=10**9)),
    ),
}


if __name__ == "__main__":
    raise SystemExit(main())
