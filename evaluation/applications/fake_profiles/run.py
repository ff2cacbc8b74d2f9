"""Detection of fake and spam profiles without labels, compared with detectors of scikit-learn.

    python -m evaluation fake_profiles DATA

DATA is the folder of data sets. Two of them have labels, which are used for the final figures only:
anomaly_filmtrust_averageattack (an injected average attack) and anomaly_amazon_spam (reviewers
labelled by people). The four classic attacks are injected into ml-100k, at 1, 3, 5 and 10 % of its
users. The settings of `detect_profiles` were chosen on attacks injected into ml-latest-small, a
sparse sample of it and jester5k. Results on ml-100k were visible during development.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import recae
from evaluation.applications.fake_profiles.baselines import baselines
from evaluation.applications.fake_profiles.picture import draw
from evaluation.kit.provenance import RESULTS, keep
from recae.apply.anomaly import detect_profiles, inject_profiles

LABELLED = {
    "anomaly_filmtrust_averageattack": ("anomaly_filmtrust_averageattack", None),
    "the same, ratings cut at 4": ("anomaly_filmtrust_averageattack", 4.0),
    "anomaly_amazon_spam": ("anomaly_amazon_spam", None),
}
"""Folder, and the highest rating: FilmTrust's scale ends at 4. The 5s in it (0.3 % of the ratings)
look like a mistake of the people who injected the attack."""
ATTACKS = ("random", "average", "bandwagon", "segment")
SHARES = (0.01, 0.03, 0.05, 0.1)
RATE = 0.01

PUBLISHED = {
    "note": "supervised, group attacks, precision / recall / F1: Security and Communication "
    "Networks 2022, article 2323132, table 3; its Amazon data are labelled reviewers",
    "Netflix-2": [0.9861, 0.9726, 0.9793],
    "Amazon": [0.9299, 0.8907, 0.9099],
    "ML-1M": [0.9983, 0.9865, 0.9924],
}


def main(argv: Sequence[str] | None = None) -> int:
    """Scores all users, then reads the labels; prints tables, stores JSON and a plot."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="the folder of data sets")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of each experiment")
    parser.add_argument("--part", choices=("labelled", "injected"), help="only this part")
    options = parser.parse_args(argv)
    if options.part != "injected":
        labelled(options.data, options.seeds)
    if options.part != "labelled":
        injected(options.data, options.seeds)
    return 0


def labelled(folder: Path, seeds: int) -> None:
    """The two labelled data sets. Labels are read after all users have a score."""
    rows: list[dict[str, Any]] = []
    curves = {}
    for name, (place, highest) in LABELLED.items():
        data, before = read(folder / place, highest), len(rows)
        done = [score_all(data, seed) for seed in range(seeds)]
        labels = labels_of(folder / place, data)
        for seed, (scores, about) in enumerate(done):
            rows += judged(scores, labels, about, data=name, attack="labelled", seed=seed)
        curves[name] = (labels, done[0][0])
        show(rows[before:])
    print(f"drawn in {draw(curves, RESULTS / 'fake-profiles-labelled.png')}")
    result = {"suite": "labelled profiles, without labels", "rows": rows, "published": PUBLISHED}
    print(f"kept in {keep('fake-profiles-labelled', result)}")


def injected(folder: Path, seeds: int) -> None:
    """The four classic attacks on ml-100k."""
    rows: list[dict[str, Any]] = []
    genuine = read(folder / "ml-100k")
    for attack in ATTACKS:
        for share in SHARES:
            before = len(rows)
            for seed in range(seeds):
                planted = inject_profiles(genuine, attack, share=share, seed=seed)
                scores, about = score_all(planted.data, seed)
                where = {"data": "ml-100k", "attack": attack, "share": share, "seed": seed}
                rows += judged(scores, planted.is_fake, about, **where)
            show(rows[before:])
    result = {"suite": "profiles injected into ml-100k, without labels", "rows": rows}
    print(f"kept in {keep('fake-profiles-injected', result)}")


def read(folder: Path, highest: float | None = None) -> recae.Interactions:
    """Ratings with the columns user, item and rating; the last of a repeated pair."""
    frame = pd.read_parquet(folder / "ratings.parquet", columns=["user", "item", "rating"])
    frame["rating"] = frame["rating"].clip(upper=highest)
    return recae.Interactions.from_frame(frame, user="user", item="item", weight="rating")


def labels_of(folder: Path, data: recae.Interactions) -> np.ndarray:
    """Whether each user is labelled as fake, (n_users,) bool."""
    labels = pd.read_parquet(folder / "labels.parquet").set_index("user")["label"]
    return labels.reindex(data.users.ids).to_numpy() == 1


def score_all(data: recae.Interactions, seed: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The score of every user by each detector; and the flags and cost of ours."""
    started = time.perf_counter()
    found = detect_profiles(data, false_alarm_rate=RATE, seed=seed, progress=False)
    seconds = time.perf_counter() - started
    scores = {"recae.detect_profiles": found.users["score"].to_numpy()}
    scores |= baselines(found, seed)
    about = {"flagged": found.users["flagged"].to_numpy(), "seconds": round(seconds, 1)}
    return scores, about


def judged(
    scores: dict[str, np.ndarray], fake: np.ndarray, about: dict[str, Any], **where: Any
) -> list[dict[str, Any]]:
    """A row for each detector: ROC AUC and average precision, and for ours the flagged share."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    rows = []
    for name, score in scores.items():
        row = where | {
            "detector": name,
            "roc_auc": round(float(roc_auc_score(fake, score)), 4),
            "average_precision": round(float(average_precision_score(fake, score)), 4),
        }
        if name == "recae.detect_profiles":
            flagged = about["flagged"]
            hits, alarms = float(flagged[fake].mean()), float(flagged[~fake].mean())
            row |= {"caught": round(hits, 4), "false_alarms": round(alarms, 4)}
            row |= {"seconds": about["seconds"]}
        rows.append(row)
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    """Medians over the seeds, a line for each detector."""
    frame = pd.DataFrame(rows)
    if "share" not in frame:
        frame["share"] = np.nan
    print(f"\n{frame['data'][0]}, {frame['attack'][0]}, share {frame['share'][0]}")
    medians = frame.drop(columns=["data", "attack", "share", "seed"])
    table = medians.groupby("detector", sort=False).median()
    print(table.round(4).fillna("").to_string(), flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
