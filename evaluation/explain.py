"""Explanations: whether they add up, name the items that matter, and how long one takes.

    python -m evaluation explain [DATA]

For each model, on users that it has not seen: the error of the sum of baseline and contributions,
as a share of the sum of absolute contributions; a deletion test, which removes the items of the
history with the highest contributions to the best recommended item, and as many random ones, and
compares what the score of the item loses (Wilcoxon signed-rank test over users, one-sided; effect:
mean of the paired differences in standard deviations); and the time of `explain` for the 10 best
items of one user. DATA: a table of interactions, or nothing for the bundled MovieLens. Items with
fewer than 10 users are left out. Settings are small, so that all models take a few minutes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.stats import wilcoxon

import recae
from evaluation.kit.provenance import keep
from evaluation.robustness.concurrency import SMALL

SETTINGS: dict[str, dict[str, Any]] = SMALL | {
    "epochs": {"epochs": 10},
    "latent": {"latent": 32},
    "members": {"members": ("EASE()", "MultVAE(latent=32, hidden=(64,), epochs=10)")},
}
DRAWS = 5
"""Random deletions for each user; their mean is compared."""

TIMED = 20
"""Users whose explanations are timed, one after the other."""


def model(name: str) -> recae.Recommender:
    """A model with small settings."""
    known = recae.MODELS[name].param_fields()
    settings = {k: v for key, values in SETTINGS.items() if key in known for k, v in values.items()}
    return recae.MODELS[name](**settings)


def additivity(why: recae.Explanation) -> np.ndarray:
    """|error| / (sum of absolute contributions) of each explained item, (items,); 0 for 0 / 0."""
    keys = ["user_id", "item_id"]
    sizes = why.contributions.assign(size=why.contributions["contribution"].abs())
    sums = sizes.groupby(keys)["size"].sum()
    totals = why.totals.set_index(keys)["error"].abs()
    both = pd.concat([totals, sums], axis=1).fillna(0.0)
    ratio = both["error"] / both["size"].where(both["size"] > 0, np.inf)
    return ratio.to_numpy()


def without(history: recae.Interactions, removed: pd.DataFrame) -> sp.csr_matrix:
    """Histories without some of their cells; removed: a frame `user_id, history_item_id`."""
    rows = history.users.encode(removed["user_id"])
    columns = history.items.encode(removed["history_item_id"])
    left = history.matrix.tolil(copy=True)
    left[rows, columns] = 0
    return sp.csr_matrix(left.tocsr())


def deletion(
    fitted: recae.Recommender, history: recae.Interactions, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """What the best item of each user loses: without its reasons, and without random items; both
    (users,), where a score of -inf counts 0."""
    every = fitted.explain(history, top=history.n_items)
    best = every.totals.groupby("user_id", sort=False).head(1)
    reasons = every.contributions.merge(best[["user_id", "item_id"]])
    sizes = reasons.groupby("user_id")["rank"].transform("size")
    count = (sizes // 5).clip(lower=1)
    best = best.set_index("user_id").loc[history.users.ids]
    items, places = history.items.encode(best["item_id"]), np.arange(history.n_users)

    def lost(removed: pd.DataFrame) -> np.ndarray:
        after = fitted.score(without(history, removed))[places, items]
        now = np.where(np.isfinite(after), after, 0)
        return best["score"].to_numpy() - now

    generator = np.random.default_rng(seed)
    of_reasons = lost(reasons[reasons["rank"] <= count])
    of_random = np.zeros(len(of_reasons))
    for _ in range(DRAWS):
        order = reasons.assign(draw=generator.random(len(reasons)))
        drawn = order.groupby("user_id")["draw"].rank(method="first")
        of_random += lost(reasons[drawn <= count]) / DRAWS
    return of_reasons, of_random


def measure(name: str, split: Any, users: int, seed: int) -> dict[str, Any]:
    """The figures of one model."""
    fitted = model(name).fit(split.train, split.validation, seed=seed, progress=False)
    given = split.test.history.with_items(fitted.items_)[0]
    some = np.flatnonzero(np.diff(given.matrix.indptr) >= 5)[:users]
    history = given.select_users(some).binarised()
    why = fitted.explain(history, top=history.n_items)
    off = additivity(why)
    seconds = []
    for row in range(min(TIMED, history.n_users)):
        own = history.items.decode(history.matrix[row].indices).tolist()
        started = time.perf_counter()
        fitted.explain(own)
        seconds.append(time.perf_counter() - started)
    found = {
        "method": why.method,
        "users": history.n_users,
        "error_median": float(np.median(off)),
        "error_max": float(off.max()),
        "milliseconds_median": 1e3 * float(np.median(seconds)),
    }
    if fitted.personalised:
        reasons, random = deletion(fitted, history, seed)
        gap = reasons - random
        spread = float(gap.std(ddof=1))
        found |= {
            "lost_without_reasons": float(reasons.mean()),
            "lost_without_random": float(random.mean()),
            "share_of_users": float((gap > 0).mean()),
            "effect": float(gap.mean() / spread) if spread else 0.0,
            "p": float(wilcoxon(gap, alternative="greater").pvalue) if gap.any() else 1.0,
        }
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Prints a line for each model and keeps the figures. Returns 1 if a model does not lose more
    without its reasons (p >= 0.01)."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="?", help="a table of interactions")
    parser.add_argument("--models", nargs="+", default=list(recae.MODELS), metavar="NAME")
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="default: evaluation/results")
    options = parser.parse_args(argv)
    if options.data is None:
        data = recae.load_dataset().interactions
    else:
        data = recae.read_table(options.data)
    data = data.binarised().filter(min_per_item=10)
    split = recae.StrongGeneralization(held_out=0.2).split(data, seed=options.seed)
    rows: dict[str, Any] = {}
    print(f"{'model':14} {'error':>8} {'largest':>8} {'ms':>7} {'effect':>7} {'users':>6} {'p':>8}")
    for name in options.models:
        rows[name] = row = measure(name, split, options.users, options.seed)
        tested = "      -      -        -"
        if "p" in row:
            tested = f"{row['effect']:7.2f} {row['share_of_users']:6.0%} {row['p']:8.1e}"
        errors = f"{row['error_median']:8.1e} {row['error_max']:8.1e}"
        print(f"{name:14} {errors} {row['milliseconds_median']:7.1f} {tested}", flush=True)
    keep("explain", {"data": options.data or "ml-latest-small", "models": rows}, options.out)
    return int(any(row.get("p", 0) >= 0.01 for row in rows.values()))
