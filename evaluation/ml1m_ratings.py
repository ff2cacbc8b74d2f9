"""MovieLens 1M as ratings: the root mean squared error of AutoRec beside the published one.

    python -m evaluation ml1m_ratings DATA

DATA holds ratings.parquet with the columns user, item and rating. As in Sedhain et al. (2015), a
random tenth of the ratings is the test; a twentieth of the rest decides settings and epochs. The
model is then fitted on all that is not the test, which is the history at the test too. Beside it
stand the means of the rating's user and item alone, the floor that any model must beat.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import recae
from evaluation.provenance import keep, peak_gb

PUBLISHED = {"U-AutoRec": 0.874, "I-AutoRec": 0.831}
"""RMSE on ML-1M, from the authors' poster of the paper."""

SETTINGS = [(500, l2, lr) for l2 in (1e-4, 3e-4, 1e-3) for lr in (1e-3,)]
"""latent, l2, lr."""


def main(argv: Sequence[str] | None = None) -> int:
    """Chooses l2 on validation ratings, then tests three splits once each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder with ratings.parquet")
    parser.add_argument("--seeds", type=int, default=3, help="random splits")
    options = parser.parse_args(argv)
    ratings = recae.read_parquet(
        options.data / "ratings.parquet", user="user", item="item", weight="rating"
    )
    values, floors, trials, chosen = [], [], [], None
    started = time.perf_counter()
    for seed in range(options.seeds):
        outer = recae.holdout_pairs(ratings, share=0.1, seed=seed)
        inner = recae.holdout_pairs(outer.train, share=0.05, seed=seed)
        assert outer.validation is not None and inner.validation is not None
        if chosen is None:  # on the first split alone
            for latent, l2, lr in SETTINGS:
                model = fitted(latent, l2, lr, inner, seed)
                error = recae.rmse(model, inner.validation)
                trials.append({"latent": latent, "l2": l2, "lr": lr, "rmse": error})
                print(f"validation {error:.4f}  {len(model.epochs_)} epochs  {model}", flush=True)
                if chosen is None or error < chosen[0]:
                    chosen = error, (latent, l2, lr), model
            model = chosen[2]
        else:
            model = fitted(*chosen[1], inner, seed)
        values.append(recae.rmse(model, outer.validation))
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


def fitted(latent: int, l2: float, lr: float, split: recae.Split, seed: int) -> recae.AutoRec:
    """AutoRec on the training part, its epoch chosen by the validation ratings."""
    model = recae.AutoRec(latent=latent, l2=l2, lr=lr, epochs=150, patience=8, batch_size=100)
    return model.fit(split.train, split.validation, seed=seed)


def floor(train: recae.Interactions, fold: recae.Fold) -> float:
    """RMSE of mean + user's deviation + item's deviation, plain means of the training ratings."""
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
