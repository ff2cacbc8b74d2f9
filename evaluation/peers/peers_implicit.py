"""Compares ALS and BPR of `implicit` with models of recae under the same protocol.

    python -m evaluation peers_implicit [--k 20]

Uses the bundled MovieLens, ratings of 4 and more, RandomSplit. `implicit` fits on the training part
and recommends with its own code. Its lists go through `recae.Lists` into the same report as ours.
The script also prints implicit's own NDCG: `ranking_metrics_at_k` ranks again with the same model,
masks the given training rows, and averages the same formula over users with test items (discounts
log2(rank + 1), ideal over min(test items, k)). The two must agree. MAP differs: implicit divides by
min(test items, k), recae by the number of test items. The settings are defaults, not tuned: this
compares evaluations, not models.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

import recae


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the comparison. Returns 1 if their NDCG differs from ours."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--k", type=int, default=20, help="length of the lists (default: 20)")
    k: int = parser.parse_args(argv).k
    data = recae.load_dataset().interactions
    data = data.filter(min_weight=4.0, min_per_user=5, binarise=True)
    split = recae.RandomSplit().split(data)
    metrics = [f"ndcg@{k}", f"recall@{k}", f"coverage@{k}", f"novelty@{k}"]
    reports, agree = {}, True
    for name, model in peers().items():
        table, theirs = lists_of(model, split, k)
        lists = recae.Lists(table, train=split.train, name=f"implicit {name}")
        reports[name] = recae.evaluate(lists, split.test, metrics)
        ours = reports[name][f"ndcg@{k}"]
        agree = agree and abs(ours - theirs) < 1e-6
        print(f"{name}: ndcg@{k} {ours:.6f} here, {theirs:.6f} by implicit.evaluation")
    for mine in (recae.Popularity(), recae.EASE()):
        name = type(mine).__name__
        reports[name] = recae.evaluate(mine.fit(split.train), split.test, metrics, progress=False)
    print(recae.report.comparison(reports).to_string())
    return 0 if agree else 1


def peers() -> dict[str, Any]:
    """Models of implicit, not fitted."""
    from implicit.als import AlternatingLeastSquares
    from implicit.bpr import BayesianPersonalizedRanking

    # implicit warns about a BLAS with several threads, which is slow. Use one thread here only.
    with threadpool_limits(1, "blas"):
        return {
            "ALS": AlternatingLeastSquares(factors=32, random_state=0, num_threads=1),
            "BPR": BayesianPersonalizedRanking(factors=32, random_state=0, num_threads=1),
        }


def lists_of(model: Any, split: recae.data.splits.Split, k: int) -> tuple[pd.DataFrame, float]:
    """Fits a model of implicit; returns its lists for the test users, and its own NDCG."""
    from implicit.evaluation import ranking_metrics_at_k

    fold = split.test
    assert fold is not None
    with threadpool_limits(1, "blas"):
        model.fit(split.train.matrix.copy(), show_progress=False)  # recae's matrix is read-only
        # implicit has rows, not ids: the row of each user of the fold in the training matrix.
        codes = split.train.users.encode(fold.history.users.ids)
        # Row i of these histories belongs to codes[i]. Their items are excluded.
        items, scores = model.recommend(
            codes, fold.history.matrix.copy(), N=k, filter_already_liked_items=True
        )
        every = split.train.users  # its metrics need a row for every training user
        history, target = (p.with_users(every).matrix.copy() for p in (fold.history, fold.target))
        theirs = ranking_metrics_at_k(
            model, history, target, K=k, show_progress=False, num_threads=1
        )
    return as_table(fold.history, items, scores), float(theirs["ndcg"])


def as_table(history: recae.Interactions, items: np.ndarray, scores: np.ndarray) -> pd.DataFrame:
    """The result of implicit's `recommend`, (users, k) each, with a row for each recommendation.

    implicit pads the lists of users with fewer than k items left: it appends items that they
    already have, with the lowest possible score. These rows are removed.
    """
    real = scores > np.finfo(np.float32).min
    rows, places = np.nonzero(real)
    return pd.DataFrame(
        {
            "user_id": history.users.ids[rows],
            "item_id": history.items.ids[items[rows, places]],
            "score": scores[rows, places],
            "rank": places + 1,
        }
    )


if __name__ == "__main__":
    raise SystemExit(main())
