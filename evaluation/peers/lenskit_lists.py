"""Makes lists with LensKit for `peers_lenskit`, in an environment without recae.

    python -m venv lenskit
    lenskit/bin/pip install torch==2.13.0   # first, in the build that the machine needs
    lenskit/bin/pip install lenskit==2025.8.1
    lenskit/bin/python evaluation/peers/lenskit_lists.py FOLDER

FOLDER holds train, history and target.parquet (user_id, item_id), which `peers_lenskit` writes. A
pipeline of EASE and one of item-kNN are trained on train and recommend to the users of history, who
are not in train. The lists are written to ease.parquet and item-knn.parquet. LensKit's own metrics
per user are written to ease.metrics.parquet and item-knn.metrics.parquet.
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
    # A query carries the history, so users need not be known. Items of the history are excluded:
    # by default the candidates are the items that are not in it.
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
        # A new one for each run, because it caches what it has measured. Its NDCG discounts the
        # first two ranks equally unless an offset is given. Its recall divides by min(targets, k),
        # which recae calls calibrated_recall.
        measures = RunAnalysis(NDCG(n=K), Recall(n=K))
        measures.add_metric(NDCG(n=K, weight=LogRankWeight(offset=1)), f"NDCG@{K} offset")
        values = measures.measure(lists, truth).list_metrics()
        values.reset_index().to_parquet(folder / f"{name}.metrics.parquet", index=False)
        print(f"{name}: {len(frame):,} rows, {values.mean().round(6).to_dict()}")


if __name__ == "__main__":
    run(Path(sys.argv[1]))
