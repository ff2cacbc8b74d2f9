"""MovieLens 1M as ratings: compares the RMSE of AutoRec with the published one.

    python -m evaluation ml1m_ratings DATA

DATA holds ratings.parquet with the columns user, item and rating. As in Sedhain et al. (2015), a
random tenth of the ratings is the test. A twentieth of the rest is for choosing settings and the
number of epochs. The model is then fitted on everything except the test; these data are also the
history at the test. The baseline predicts from the means of the rating's user and item alone.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import recae
from evaluation.kit.provenance import keep, peak_gb

PUBLISHED = {"U-AutoRec": 0.874, "I-AutoRec": 0.831}
"""RMSE on ML-1M, from the authors' poster of the paper."""

FIXED: dict[str, Any] = {"latent": 500, "epochs": 200, "patience": 5, "batch_size": 50}
SETTINGS: list[dict[str, Any]] = [{"l2": l2, "lr": 3e-4} for l2 in (6e-3, 1e-2, 2e-2)]


def main(argv: Sequence[str] | None = None) -> int:
    """Chooses settings on the first split, then tests each split once."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder with ratings.parquet")
    parser.add_argument("--seeds", type=int, default=3, help="random splits")
    options = parser.parse_args(argv)
    ratings = recae.read_parquet(
        options.data / "ratings.parquet", user="user", item="item", weight="rating"
    )
    started = time.perf_counter()
    outers = [
        recae.data.splits.holdout_pairs(ratings, share=0.1, seed=seed)
        for seed in range(options.seeds)
    ]
    model, trials = chosen(outers[0].train)
    values, floors = [], []
    for seed, outer in enumerate(outers):
        assert outer.validation is not None
        values.append(recae.evaluation.rmse(model.fit(outer.train, seed=seed), outer.validation))
        floors.append(floor(outer.train, outer.validation))
        print(f"split {seed}: test {values[-1]:.4f}, means alone {floors[-1]:.4f}", flush=True)
    mean = float(np.mean(values))
    print(f"AutoRec RMSE {mean:.4f}; published: U-AutoRec 0.874, I-AutoRec 0.831")
    result = {
        "suite": "ml-1m, a random tenth of the ratings as test",
        "model": repr(model),
        "rmse": values,
        "mean": mean,
        "rmse_of_user_and_item_means": floors,
        "published": PUBLISHED,
        "trials": trials,
        "seconds": round(time.perf_counter() - started, 1),
        "peak_gb": round(peak_gb(), 2),
    }
    print(f"kept in {keep('ml1m-ratings', result)}")
    return 0


def chosen(train: recae.Interactions) -> tuple[recae.AutoRec, list[dict[str, Any]]]:
    """The model with the lowest error on a twentieth of `train`, its number of epochs included; and
    all trials."""
    split = recae.data.splits.holdout_pairs(train, share=0.05, seed=0)
    best, lowest, trials = recae.AutoRec(), math.inf, []
    for params in SETTINGS:
        model = recae.AutoRec(**FIXED | params).fit(split.train, split.validation, seed=0)
        errors = [epoch.metrics["rmse"] for epoch in model.epochs_]
        epochs = int(np.argmin(errors)) + 1
        trials.append({**params, "epochs": epochs, "rmse": min(errors)})
        print(f"validation {min(errors):.4f} after {epochs} epochs  {params}", flush=True)
        if min(errors) < lowest:
            best, lowest = model.clone().set_params(epochs=epochs), min(errors)
    return best, trials


def floor(train: recae.Interactions, fold: recae.Fold) -> float:
    """RMSE of the baseline mean + user's deviation + item's deviation, from means of the training
    ratings."""
    matrix, target = train.matrix.tocoo(), fold.target.with_users(train.users).matrix.tocoo()
    overall = matrix.data.mean()
    sides = []
    for known, asked in ((matrix.row, target.row), (matrix.col, target.col)):
        size = max(known.max(), asked.max()) + 1
        counts = np.bincount(known, minlength=size)
        off = np.bincount(known, weights=matrix.data - overall, minlength=size)
        sides.append((off / np.maximum(counts, 1))[asked])
    guess = overall + sides[0] + sides[1]
    return float(np.sqrt(np.mean((guess - target.data) ** 2)))


if __name__ == "__main__":
    raise SystemExit(main())
