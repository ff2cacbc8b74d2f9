"""LensKit's side of `scale_peers`: lists by `lenskit.batch.recommend`, written as Parquet.

An interpreter with LensKit runs this file; recae is not needed. Its pipeline of implicit MF is
trained for one epoch on the histories of the users that are asked for, so that every part of it
knows users and items. Then the given factors replace the trained ones, and the pipeline is set to
prefer them to folding a user in. A round is `batch.recommend` and `save_parquet` of its lists.

LensKit 2025.8 refuses its Ray backend below Python 3.12, where `itertools.batched` is missing. With
that function it works, so it is added and the check is skipped.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from lenskit.als import ImplicitMFScorer
from lenskit.batch import recommend
from lenskit.data import from_interactions_df
from lenskit.parallel import ray as lenskit_ray
from lenskit.pipeline import topn_pipeline

sys.path.append(str(Path(__file__).parents[2] / "kit"))
import worker  # noqa: E402


def batched(given, n):
    """`itertools.batched` of Python 3.12."""
    rest = iter(given)
    while some := tuple(itertools.islice(rest, n)):
        yield some


def serve() -> None:
    """Builds the pipeline, then exports on each request."""
    bare = worker.peak_gb()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="with history.npz and factors.npz")
    parser.add_argument("out", type=Path, help="the file to write")
    parser.add_argument("--users", type=int, required=True, help="number of users, from the first")
    parser.add_argument("--k", type=int, required=True)
    parser.add_argument("--ray", action="store_true")
    options = parser.parse_args()
    history = sp.load_npz(options.folder / "history.npz")[: options.users]
    n_users, n_items = history.shape
    cells = history.tocoo()
    # One more user has every item, because a pipeline knows only the items of its interactions.
    frame = pd.DataFrame(
        {
            "user_id": np.append(cells.row, np.full(n_items, n_users)),
            "item_id": np.append(cells.col, np.arange(n_items)),
        }
    )
    factors = np.load(options.folder / "factors.npz")
    scorer = ImplicitMFScorer(
        embedding_size=factors["items"].shape[1], epochs=1, user_embeddings="prefer"
    )
    pipeline = topn_pipeline(scorer, n=options.k)
    pipeline.train(from_interactions_df(frame, user_col="user_id", item_col="item_id"))
    scorer = pipeline.node("scorer").component
    known = np.vstack([factors["users"][:n_users], np.zeros_like(factors["users"][:1])])
    scorer.user_embeddings = known[scorer.users.ids()]
    scorer.item_embeddings = factors["items"][scorer.items.ids()]
    users = list(range(n_users))
    if options.ray:
        if sys.version_info < (3, 12):
            itertools.batched = batched
        lenskit_ray.ray_supported = lambda: True
        lenskit_ray.ensure_cluster()  # starting it is not counted

    def run() -> dict[str, object]:
        started = time.perf_counter()
        lists = recommend(pipeline, users, n=options.k, n_jobs="ray" if options.ray else 1)
        lists.save_parquet(options.out)
        elapsed = time.perf_counter() - started
        return {"seconds": elapsed / n_users * 1000, "elapsed": elapsed, "users": n_users}

    worker.serve(run, bare)


if __name__ == "__main__":
    serve()
