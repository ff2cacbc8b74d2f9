"""What each rule adds to the time of one user: `recommend_ids` with and without it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

import recae
from evaluation.kit.planted import planted

K, LENGTH, CALLS = 10, 50, 300


def facts(items: np.ndarray, seed: int = 0) -> recae.data.ItemTable:
    """Random genres, one to three of 18 for each item, and dates of 900 days."""
    generator = np.random.default_rng(seed)
    counts = generator.integers(1, 4, len(items))
    genres = [
        "|".join(f"genre {g}" for g in generator.choice(18, n, replace=False)) for n in counts
    ]
    days = pd.to_timedelta(generator.integers(0, 900, len(items)), "D")
    table = {"item_id": items, "genres": genres, "date": pd.Timestamp("2024-01-01") + days}
    return recae.data.ItemTable(pd.DataFrame(table))


def rules_of(items: np.ndarray) -> dict[str, recae.Rules | None]:
    """One rule each, and all of them together."""
    some = items[np.random.default_rng(1).permutation(len(items))].tolist()
    table = {"table": facts(items), "category": "genres"}
    factors = dict.fromkeys(some[:100], 2.0)
    options: dict[str, dict[str, Any]] = {
        "allow, a quarter": {"allow": some[: len(some) // 4]},
        "block, 100 items": {"block": some[:100]},
        "boosts, 100 items": {"boosts": factors},
        "half_life": {"half_life": 30, **table},
        "min_score": {"min_score": 0.0},
        "include, 3 items": {"include": {some[0]: 1, some[1]: 3, some[2]: 5}},
        "at_most 3": {"at_most": 3, **table},
        "at_most 1": {"at_most": 1, **table},
        "mmr, genres": {"diversity": 0.3, **table},
        "mmr, the model's": {"diversity": 0.3},
        "calibrated": {"diversity": 0.3, "method": "calibrated", **table},
        "explore": {"explore": 0.2},
    }
    every = {"block": some[100:200], "boosts": factors, "half_life": 30, "include": {some[300]: 2}}
    every |= {"at_most": 4, "diversity": 0.3, "explore": 0.1, **table}
    rules: dict[str, recae.Rules | None] = {"no rules": None}
    return rules | {n: recae.Rules(**o) for n, o in (options | {"all but allow": every}).items()}


def measured(n_items: int, calls: int = CALLS) -> list[dict[str, Any]]:
    """A row for each model and rule: milliseconds of a call, in turn with one without rules.

    `ms p50` and `ms p99` are of the clock, `cpu p50` of the processor, and `more` is the median of
    the processor less that without rules. Histories have 50 items, lists 10.
    """
    data = planted(n_items)
    rows = []
    for model in (recae.PureSVD(latent=64), recae.ItemKNN(neighbours=100)):
        model.fit(data, progress=False)
        generator = np.random.default_rng(2)
        ids = data.items.ids
        histories = [generator.choice(ids, LENGTH, replace=False).tolist() for _ in range(100)]
        rows += timed(model, histories, rules_of(ids), calls)
    return rows


def timed(
    model: Any, histories: list[list[Any]], rules: Mapping[str, recae.Rules | None], calls: int
) -> list[dict[str, Any]]:
    """The rows of one model."""
    rows: list[dict[str, Any]] = []
    for name, some in rules.items():
        clock, busy = [], []
        for number in range(-5, calls):
            history = histories[number % len(histories)]
            started, used = time.perf_counter(), time.thread_time()
            model.recommend_ids(history, K, rules=some)
            if number >= 0:
                clock.append(1000 * (time.perf_counter() - started))
                busy.append(1000 * (time.thread_time() - used))
        row: dict[str, Any] = {"model": type(model).__name__, "rules": name}
        row |= {"ms p50": np.median(clock), "ms p99": np.percentile(clock, 99)}
        row |= {"cpu p50": np.median(busy), "cpu p99": np.percentile(busy, 99)}
        row = {key: round(float(v), 3) if "p" in key[-3:] else v for key, v in row.items()}
        row["more"] = round(row["cpu p50"] - (rows[0] if rows else row)["cpu p50"], 3)
        rows.append(row)
    return rows
