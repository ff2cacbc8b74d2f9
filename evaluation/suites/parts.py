"""What each part of a family of models buys: one part after the other, with paired tests.

    python -m evaluation parts DATA
    python -m evaluation parts DATA --family spectral

DATA holds train.parquet with the columns user and item, and valid.parquet; without that a tenth of
each user's training pairs is held out. Every row starts at the best setting of the row before, and
searches its own hyperparameters and the ridge on the held-out pairs of half of the users (history
and mask: train). The gain of a row is measured on the other half of the users, so the search does
not bias it. A paired test compares each row with the row before.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import recae
from evaluation.kit.provenance import keep


@dataclass(frozen=True)
class Part:
    """A row: the model, the hyperparameters that it changes at first, and those it searches."""

    name: str
    make: type[recae.Recommender]
    change: Mapping[str, Any] = field(default_factory=dict)
    space: Mapping[str, Any] = field(default_factory=dict)


RIDGE = {"relative_l2": (0.1, 30.0)}
LINEAR = [
    Part("EASE, l2", recae.EASE, {"precision": "float32"}, {"l2": (10.0, 10_000.0)}),
    Part("EASE, relative l2", recae.EASE, {"l2": 200.0, "relative_l2": 3.0}, RIDGE),
    Part("+ user power", recae.EASE, {}, RIDGE | {"user_power": (0.0, 0.5)}),
    Part("+ output power", recae.EASE, {}, RIDGE | {"output_power": (-0.2, 0.5)}),
    Part("+ input power", recae.EASE, {}, RIDGE | {"input_power": (-0.4, 0.4)}),
    Part("+ item power", recae.EASE, {}, RIDGE | {"item_power": (0.0, 0.5)}),
    Part("+ dropout", recae.EDLAE, {"dropout": 0.0}, RIDGE | {"dropout": (0.0, 0.8)}),
    Part("+ emphasis", recae.EDLAE, {}, RIDGE | {"kept_weight": (0.0, 1.0)}),
]
PLAIN = dict(user_power=0.0, item_power=0.0, input_power=0.0, output_power=0.0, low_pass=0.0)
HEAVY = {"ridge": (0.1, 100.0)}
SPECTRAL = [
    Part("ridge, 300 directions", recae.GraphFilter, PLAIN | {"latent": 300}, HEAVY),
    Part("+ item power 0.5", recae.GraphFilter, {"item_power": 0.5}, HEAVY),
    Part("+ output power", recae.GraphFilter, {}, HEAVY | {"output_power": (-0.6, 0.2)}),
    Part("+ user power 0.25", recae.GraphFilter, {"user_power": 0.25}, HEAVY),
    Part("+ input power", recae.GraphFilter, {}, HEAVY | {"input_power": (-0.3, 0.5)}),
    Part(
        "+ low-pass",
        recae.GraphFilter,
        {},
        HEAVY | {"low_pass": (0.0, 3.0), "cut": (10, 300)},
    ),
]
FAMILIES = {"linear": LINEAR, "spectral": SPECTRAL}


def halves(fold: recae.Fold, seed: int) -> tuple[recae.Fold, recae.Fold]:
    """Two folds of half of the users each, drawn at random."""
    n = fold.target.n_users
    order = np.random.default_rng(seed).permutation(n)
    first, second = (
        recae.Fold(fold.history.select_users(some), fold.target.select_users(some))
        for some in (np.sort(order[: n // 2]), np.sort(order[n // 2 :]))
    )
    return first, second


def searched(
    parts: Sequence[Part],
    train: recae.Interactions,
    validation: recae.Fold,
    metric: str,
    trials: int,
    seed: int,
) -> list[dict[str, Any]]:
    """A row for each part: its setting, its value on the users it was not chosen on, and the
    difference to the row before. Prints each."""
    rows: list[dict[str, Any]] = []
    setting: dict[str, Any] = {}
    chosen_on, measured_on = halves(validation, seed)
    reports: dict[str, recae.Report] = {}
    for part in parts:
        start = setting | part.change
        found = recae.tune(
            part.make(**start),
            train,
            chosen_on,
            metric,
            trials=trials,
            space=dict(part.space),
            seed=seed,
        )
        setting = start | found.params
        reports[part.name] = recae.evaluate(found.model, measured_on, metric, progress=False)
        row = {"part": part.name, metric: reports[part.name].mean[metric], "setting": setting}
        if rows:
            row |= against(reports, rows[-1]["part"], part.name, metric)
        told = f"{row['gain']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]" if rows else ""
        print(f"{part.name:<22} {row[metric]:.4f} {told:<27} {setting}", flush=True)
        rows.append(row)
    return rows


def against(
    reports: Mapping[str, recae.Report], before: str, name: str, metric: str
) -> dict[str, float]:
    """What a row gains on the row before: the mean over users, its interval and the p value."""
    both = {name: reports[name], before: reports[before]}  # the difference is first - second
    pair = recae.compare(both, metric).iloc[0]
    return {"gain": pair["difference"]} | {key: pair[key] for key in ("low", "high", "p")}


def main(argv: Sequence[str] | None = None) -> int:
    """Prints a line for each part and writes parts-FAMILY-DATA.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder with train.parquet and valid.parquet")
    parser.add_argument("--family", choices=FAMILIES, default="linear")
    parser.add_argument("--metric", default="ndcg@10")
    parser.add_argument("--trials", type=int, default=12, help="settings tried in each row")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    train = recae.read_parquet(options.data / "train.parquet", user="user", item="item")
    if (options.data / "valid.parquet").is_file():
        valid = recae.read_parquet(options.data / "valid.parquet", user="user", item="item")
        fold = recae.fixed_split(train, test=valid).test
    else:
        split = recae.data.splits.holdout_pairs(train, 0.1, seed=options.seed)
        train, fold = split.train, split.validation
    assert fold is not None
    print(f"{fold}\nvalidation {options.metric}", flush=True)
    parts = FAMILIES[options.family]
    rows = searched(parts, train, fold, options.metric, options.trials, options.seed)
    about = {"data": repr(fold), "trials": options.trials, "seed": options.seed, "rows": rows}
    keep(f"parts-{options.family}-{options.data.resolve().name}", about)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
