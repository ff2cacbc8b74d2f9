"""LensKit's evaluation of given factors, one round per request, for `python -m evaluation.speed
evaluate`.

Its pipeline of implicit MF is trained for one epoch on the histories, so that every part of it
knows users and items. Then the given factors replace the trained ones, and the pipeline is set to
prefer them to folding a user in. A round is `lenskit.batch.recommend` and `RunAnalysis`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from lenskit.als import ImplicitMFScorer
from lenskit.batch import recommend
from lenskit.data import ItemListCollection, from_interactions_df
from lenskit.metrics import NDCG, Recall, RunAnalysis
from lenskit.metrics.ranking import LogRankWeight
from lenskit.pipeline import topn_pipeline

sys.path.append(str(Path(__file__).parents[2] / "kit"))
import worker  # noqa: E402

K = 100


def frame(matrix: sp.csr_matrix) -> pd.DataFrame:
    """A row for each cell."""
    cells = matrix.tocoo()
    return pd.DataFrame({"user_id": cells.row, "item_id": cells.col})


def main() -> None:
    """Builds the pipeline, then evaluates on each request."""
    bare = worker.peak_gb()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="with history.npz, target.npz and factors.npz")
    parser.add_argument("--users", type=int, required=True, help="number of users, from the first")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    history, target = (
        sp.load_npz(options.folder / f"{part}.npz")[: options.users]
        for part in ("history", "target")
    )
    factors = np.load(options.folder / "factors.npz")
    data = from_interactions_df(frame(history), user_col="user_id", item_col="item_id")
    scorer = ImplicitMFScorer(
        embedding_size=factors["items"].shape[1], epochs=1, user_embeddings="prefer"
    )
    pipeline = topn_pipeline(scorer, n=K)
    pipeline.train(data)
    scorer = pipeline.node("scorer").component
    scorer.user_embeddings = factors["users"][scorer.users.ids()]
    scorer.item_embeddings = factors["items"][scorer.items.ids()]
    users = np.flatnonzero(np.diff(target.indptr)).tolist()
    truth = ItemListCollection.from_df(frame(target), ["user_id"])

    def run() -> dict[str, object]:
        lists = recommend(pipeline, users, n=K, n_jobs=options.jobs)
        # LensKit's NDCG discounts the first two ranks equally unless an offset is given. Its recall
        # divides by min(targets, k), and no user here has more than 20 targets.
        measures = RunAnalysis()
        measures.add_metric(NDCG(n=K, weight=LogRankWeight(offset=1)), f"ndcg@{K}")
        measures.add_metric(Recall(n=20), "recall@20")
        measures.add_metric(Recall(n=50), "recall@50")
        means = measures.measure(lists, truth).list_metrics().mean()
        return {"metrics": {name: float(value) for name, value in means.items()}}

    worker.serve(run, bare)


if __name__ == "__main__":
    main()
