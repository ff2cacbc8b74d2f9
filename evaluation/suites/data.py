"""Reads the data of a suite: the tables, from a folder or file by file, and their split."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import recae
from evaluation.suites.read import Suite
from recae.errors import ConfigError, DataError, unknown_option

ROLES = {
    "fixed": ("train", "validation", "test"),
    "folds": (
        "train",
        "validation_history",
        "validation_target",
        "test_history",
        "test_target",
    ),
    "strong": ("interactions",),
    "random": ("interactions",),
}
"""The tables that each kind of protocol takes; `validation` of "fixed" may be missing."""

CARVING = 7
"""Seed for holding out validation pairs of train if no validation data are published."""

CARVED = 0.1
"""Default share of train that is held out then."""

_FILTERS = ("min_per_user", "min_per_item", "binarise")


def add_table_options(parser: argparse.ArgumentParser) -> None:
    """Declares an option for every role, so that your own split needs no code."""
    for role in dict.fromkeys(role for roles in ROLES.values() for role in roles):
        parser.add_argument(
            f"--{role.replace('_', '-')}",
            type=Path,
            metavar="FILE",
            help=f"Parquet or CSV file with the suite's table {role!r}",
        )
    for column in ("user", "item", "weight", "time"):
        parser.add_argument(
            f"--{column}-column",
            metavar="NAME",
            help=f"name of the {column} column in the tables",
        )


def given_tables(options: argparse.Namespace) -> dict[str, Path]:
    """The tables given one by one on the command line."""
    roles = dict.fromkeys(role for roles in ROLES.values() for role in roles)
    return {role: path for role in roles if (path := getattr(options, role)) is not None}


def given_columns(options: argparse.Namespace) -> dict[str, str]:
    """The columns given on the command line."""
    found = {
        name: getattr(options, f"{name}_column") for name in ("user", "item", "weight", "time")
    }
    return {name: column for name, column in found.items() if column is not None}


def read_split(
    suite: Suite,
    folder: Path | None,
    tables: Mapping[str, Path] | None = None,
    columns: Mapping[str, str] | None = None,
    progress: bool | None = None,
) -> recae.data.splits.Split:
    """The split of a suite. Given tables come first, then those in the folder, then the suite's
    data set.

    Raises ConfigError for tables that the protocol does not take, DataError for missing ones.
    """
    kind = suite.protocol.get("kind")
    if kind not in ROLES:
        raise unknown_option(f"protocol kind of {suite.name}", kind, ROLES)
    given = dict(tables or {})
    for role in given:
        if role not in ROLES[kind]:
            raise ConfigError(f"{suite.name} takes the tables {', '.join(ROLES[kind])}, not {role}")
    if given and (missing := [r for r in ROLES[kind] if r not in given and r != "validation"]):
        raise ConfigError(
            f"pass every table of {suite.name}, or only a folder: missing "
            + ", ".join(f"--{role.replace('_', '-')}" for role in missing)
        )
    found = _tables(suite, kind, folder, given, dict(columns or {}), progress)
    settings = {k: v for k, v in suite.protocol.items() if k not in ("kind", "seed", "carve")}
    seed = suite.protocol.get("seed", 0)
    if kind == "fixed":
        return recae.fixed_split(
            found["train"],
            validation=found.get("validation"),
            test=found["test"],
            **settings,
        )
    if kind == "folds":
        return recae.data.splits.fixed_folds(**found, **settings)
    protocol = recae.StrongGeneralization if kind == "strong" else recae.RandomSplit
    split = protocol(**settings).split(found["interactions"], seed=seed)
    recae.check_split(split, generalization="strong" if kind == "strong" else "weak")
    return split


def carved(
    split: recae.data.splits.Split,
    suite: Suite,
    top_items: int | None = None,
    validation_users: int | None = None,
) -> recae.data.splits.Split:
    """The split to choose settings on: the suite's own validation data, or what `carve` holds out
    of train. top_items: only the pairs of that many items, those with the most users in train.
    validation_users: pairs of that many users alone are held out.

    If the test users are known in training, it holds out a share of every user's pairs. If they are
    new (protocol "folds"), it holds out a number or a share of the users, split as in Liang et al.
    (2018).
    """
    if split.validation is not None:
        return split
    carve = suite.protocol.get("carve", CARVED)
    train = split.train
    if suite.protocol["kind"] != "folds":
        if top_items is not None:
            users = np.bincount(train.matrix.indices, minlength=train.n_items)
            train = train.select_items(np.sort(np.argsort(-users, kind="stable")[:top_items]))
        if validation_users is None:
            return recae.data.splits.holdout_pairs(train, share=carve, seed=CARVING)
        some = recae.RandomSplit(validation=carve, test=0.0, users=validation_users)
        return some.split(train, seed=CARVING)
    if isinstance(carve, float):
        carve = max(int(carve * train.n_users), 1)
    order = np.random.default_rng(CARVING).permutation(train.n_users)
    rest = train.select_users(np.sort(order[carve:]))
    held, _ = train.select_users(np.sort(order[:carve])).with_items(rest.items)
    return recae.data.splits.Split(
        rest, recae.StrongGeneralization().fold(held, seed=CARVING), None
    )


def _tables(
    suite: Suite,
    kind: str,
    folder: Path | None,
    given: dict[str, Path],
    columns: dict[str, str],
    progress: bool | None,
) -> dict[str, Any]:
    """Maps each role to its Interactions."""
    if not given and folder is None:
        return _of_card(suite, kind, progress)
    named = {role: suite.data[role] for role in ROLES[kind] if role in suite.data}
    paths: dict[str, Any] = given
    if not given:
        assert folder is not None
        paths = {
            role: [folder / name for name in ([names] if isinstance(names, str) else names)]
            for role, names in named.items()
        }
        missing = [str(p) for files in paths.values() for p in files if not p.exists()]
        if missing:
            raise DataError(
                f"{suite.name} needs {', '.join(missing)}: pass the folder with them, or the "
                "tables one by one (--train FILE --test FILE ...)"
            )
    reading: dict[str, Any] = dict(suite.data.get("columns", {})) if not given else {}
    reading |= columns
    if kind in ("strong", "random"):
        reading["min_weight"] = suite.data.get("min_weight")
    else:  # a pair must occur once in a part of a split
        reading["duplicates"] = "error"
    read = {
        role: recae.read_table(path, progress=progress, **reading) for role, path in paths.items()
    }
    return {role: _filtered(suite, data) for role, data in read.items()}


def _of_card(suite: Suite, kind: str, progress: bool | None) -> dict[str, Any]:
    """The tables of the suite's data set, downloaded if they are missing."""
    name = suite.data.get("dataset")
    if name is None:
        raise DataError(f"{suite.name} names no data set: pass the folder with its tables")
    preprocessed = bool(suite.data.get("preprocessed"))
    found = recae.load_dataset(name, preprocessed=preprocessed, progress=progress)
    if kind in ("strong", "random"):
        data = found.interactions
        if not preprocessed and suite.data.get("min_weight") is not None:
            data = data.filter(min_weight=suite.data["min_weight"])
        return {"interactions": data if preprocessed else _filtered(suite, data)}
    if not found.parts:
        raise DataError(
            f"the data set {name} has no published parts: pass the folder with its tables"
        )
    return dict(found.parts)


def _filtered(suite: Suite, data: recae.Interactions) -> recae.Interactions:
    """The filters of a suite, for protocols that draw their parts from one table."""
    if suite.protocol["kind"] not in ("strong", "random"):
        return data
    filters = {name: suite.data[name] for name in _FILTERS if name in suite.data}
    if filters:
        data = data.filter(**filters)
    if "k_core" in suite.data:
        k = suite.data["k_core"]
        data = data.k_core(min_per_user=k, min_per_item=k)
    return data
