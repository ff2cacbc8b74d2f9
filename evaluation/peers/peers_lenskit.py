"""Compares pipelines of LensKit with models of recae under the same protocol.

    python -m evaluation peers_lenskit FOLDER     # writes the tables of a split, prints what to run
    lenskit/bin/python evaluation/peers/lenskit_lists.py FOLDER
    python -m evaluation peers_lenskit FOLDER     # measures the lists

Uses the bundled MovieLens, ratings of 4 and more, StrongGeneralization: LensKit takes a new user's
history with the query. It runs in its own environment and exchanges only Parquet files with recae.
LensKit's NDCG and recall, if defined as in recae, must agree for each user. The settings are not
tuned: this compares evaluations, not models.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

import recae
from evaluation.peers.lenskit_lists import K

METRICS = [f"ndcg@{K}", f"calibrated_recall@{K}", f"coverage@{K}", f"novelty@{K}"]
LISTS = ("ease", "item-knn")
THEIRS = {f"NDCG@{K} offset": f"ndcg@{K}", f"Recall@{K}": f"calibrated_recall@{K}"}


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the comparison. Returns 1 if metrics differ from ours, 2 without lists."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder of the tables and lists")
    folder: Path = parser.parse_args(argv).folder
    data = recae.load_dataset().interactions
    data = data.filter(min_weight=4.0, min_per_user=5, binarise=True)
    split = recae.StrongGeneralization().split(data)
    fold = split.test
    assert fold is not None
    if not all((folder / f"{name}.parquet").is_file() for name in LISTS):
        folder.mkdir(parents=True, exist_ok=True)
        parts = {"train": split.train, "history": fold.history, "target": fold.target}
        for name, part in parts.items():
            frame = part.to_frame()[["user_id", "item_id"]]
            frame.to_parquet(folder / f"{name}.parquet", index=False)
        print(f"the split is in {folder}; now: PYTHON evaluation/peers/lenskit_lists.py {folder}")
        return 2
    reports, agree = {}, True
    for name in LISTS:
        lists = recae.Lists(folder / f"{name}.parquet", train=split.train, name=f"LensKit {name}")
        reports[f"LensKit {name}"] = report = recae.evaluate(lists, fold, METRICS)
        theirs = pd.read_parquet(folder / f"{name}.metrics.parquet").set_index("user_id")
        for their_name, our_name in THEIRS.items():
            ours = report.per_user[our_name].dropna()
            apart = float(np.abs(ours - theirs[their_name].reindex(ours.index)).to_numpy().max())
            agree = agree and apart < 1e-6
            print(f"{name}: {our_name} differs from LensKit's by {apart:.1e} at most")
        print(
            f"{name}: NDCG@{K} with LensKit's default discount {theirs[f'NDCG@{K}'].mean():.4f}, "
            f"with ours {report[f'ndcg@{K}']:.4f}"
        )
    for mine in (recae.Popularity(), recae.EASE(l2=200.0)):
        name = type(mine).__name__
        reports[name] = recae.evaluate(mine.fit(split.train), fold, METRICS, progress=False)
    print(recae.report.comparison(reports).to_string())
    return 0 if agree else 1


if __name__ == "__main__":
    raise SystemExit(main())
