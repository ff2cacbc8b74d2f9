"""Another library under our protocol: ALS and BPR of `implicit` beside models of ours.

    python -m evaluation peers_implicit [--k 20]

The bundled MovieLens, ratings of 4 and more, RandomSplit. `implicit` fits on the training part and
recommends with its own code; its lists go through `recae.Lists` into the same report as ours. Its
own NDCG is printed beside it: `ranking_metrics_at_k` ranks again with the same model, masks what it
is given as training rows, and takes the mean over the users with test items of the same formula
(discounts log2(rank + 1), ideal over min(test items, k)), so that the two must agree; its MAP
divides by min(test items, k), ours by the test items.

The settings are defaults, not tuned: this compares evaluations, not models.
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
    """Prints the comparison; 1 if their NDCG is not ours."""
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

    # implicit warns of a BLAS with several threads, which slows it down: one, and only here.
    with threadpool_limits(1, "blas"):
        return {
            "ALS": AlternatingLeastSquares(factors=32, random_state=0, num_threads=1),
            "BPR": BayesianPersonalizedRanking(factors=32, random_state=0, num_threads=1),
        }


def lists_of(model: Any, split: recae.data.splits.Split, k: int) -> tuple[pd.DataFrame, float]:
    """Fits a model of implicit; its lists for the users of the test, and its own NDCG of them."""
    from implicit.evaluation import ranking_metrics_at_k

    fold = split.test
    assert fold is not None
    with threadpool_limits(1, "blas"):
        model.fit(split.train.matrix.copy(), show_progress=False)  # ours is read-only
        # It knows rows and columns, no ids: row of each user of the fold in the training matrix.
        codes = split.train.users.encode(fold.history.users.ids)
        # Row i of these histories belongs to codes[i]. What is in them is left out.
        items, scores = model.recommend(
            codes, fold.history.matrix.copy(), N=k, filter_already_liked_items=True
        )
        every = split.train.users  # its own measure wants a row for every user it was fitted on
        history, target = (p.with_users(every).matrix.copy() for p in (fold.history, fold.target))
        theirs = ranking_metrics_at_k(
            model, history, target, K=k, show_progress=False, num_threads=1
        )
    return as_table(fold.history, items, scores), float(theirs["ndcg"])


def as_table(history: recae.Interactions, items: np.ndarray, scores: np.ndarray) -> pd.DataFrame:
    """What `recommend` of implicit returned, (users, k) each, as a row for each recommendation.

    Users with fewer than k items left are padded with items that they have already, under the
    lowest score that there is: those are no recommendations.
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
