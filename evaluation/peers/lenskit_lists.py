"""Lists of LensKit for `peers_lenskit`, made in an environment of its own, without recae.

    python -m venv lenskit
    lenskit/bin/pip install torch==2.13.0      # first, and of the kind that the machine needs
    lenskit/bin/pip install lenskit==2025.8.1
    lenskit/bin/python evaluation/peers/lenskit_lists.py FOLDER

FOLDER holds train, history and target.parquet (user_id, item_id), which `peers_lenskit` writes. A
pipeline of EASE and one of item-kNN are trained on train, and recommend to the users of history,
whom training has not seen. The lists go to ease.parquet and item-knn.parquet, and what LensKit
measures of them, user by user, to ease.metrics.parquet and item-knn.metrics.parquet.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pandas as pd

K = 20


def run(folder: Path) -> None:
    """Trains, recommends and measures with LensKit."""
    from lenskit.batch import recommend
    from lenskit.data import ItemList, ItemListCollection, RecQuery, from_interactions_df
    from lenskit.knn import EASEScorer, ItemKNNScorer
    from lenskit.metrics import NDCG, Recall, RunAnalysis
    from lenskit.metrics.ranking import LogRankWeight
    from lenskit.pipeline import topn_pipeline

    train, history, target = (
        pd.read_parquet(folder / f"{name}.parquet") for name in ("train", "history", "target")
    )
    data = from_interactions_df(train, user_col="user_id", item_col="item_id")
    # A query carries the history, so that nobody needs to be known. All of it is left out of the
    # list: by default the candidates are the items that are not in it.
    queries = [
        RecQuery(user_id=user, history_items=ItemList(item_ids=rows["item_id"].to_numpy()))
        for user, rows in history.groupby("user_id")
    ]
    truth = ItemListCollection.from_df(target, ["user_id"])
    scorers: dict[str, Any] = {
        "ease": EASEScorer(regularization=200.0),
        "item-knn": ItemKNNScorer(max_nbrs=20, feedback="implicit"),
    }
    for name, scorer in scorers.items():
        pipeline = topn_pipeline(scorer, n=K)
        pipeline.train(data)
        lists = recommend(pipeline, queries, n=K, n_jobs=1)
        frame = lists.to_df()[["user_id", "item_id", "score", "rank"]]
        frame.to_parquet(folder / f"{name}.parquet", index=False)
        # One for each run: it keeps what it has measured and would hand it out again. Its NDCG
        # discounts the first two ranks alike unless an offset is asked for; its recall divides by
        # min(targets, k), which recae calls calibrated_recall.
        measures = RunAnalysis(NDCG(n=K), Recall(n=K))
        measures.add_metric(NDCG(n=K, weight=LogRankWeight(offset=1)), f"NDCG@{K} offset")
        values = measures.measure(lists, truth).list_metrics()
        values.reset_index().to_parquet(folder / f"{name}.metrics.parquet", index=False)
        print(f"{name}: {len(frame):,} rows, {values.mean().round(6).to_dict()}")


if __name__ == "__main__":
    run(Path(sys.argv[1]))
