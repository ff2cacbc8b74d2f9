"""What variety costs: NDCG against diversity, coverage, novelty and calibration at each weight."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

import recae

K = 20
METRICS = [f"{name}@{K}" for name in ("ndcg", "diversity", "coverage", "miscalibration", "novelty")]
WEIGHTS = (0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
WAYS: dict[str, dict[str, str]] = {
    "mmr, genres": {"method": "mmr", "category": "genres"},
    "mmr, the model's": {"method": "mmr"},
    "calibrated": {"method": "calibrated", "category": "genres"},
}


def read(folder: Path) -> tuple[recae.Interactions, pd.DataFrame]:
    """The interactions of MovieLens 1M, all ratings, and the movies with their genres."""
    data = recae.read_parquet(folder / "ratings.parquet", user="user", item="item", weight=None)
    movies = pd.read_parquet(folder / "movies.parquet").rename(columns={"item": "item_id"})
    return data, movies[["item_id", "title", "genres"]]


def measured(
    model: recae.Recommender,
    split: recae.Split,
    movies: pd.DataFrame,
    weights: Sequence[float] = WEIGHTS,
    pool: int = 100,
) -> list[dict[str, Any]]:
    """A row for each way and weight: the metrics, the paired difference in NDCG, and seconds.

    Diversity is that of vectors of genres, 1 where a movie has the genre; miscalibration is that of
    genres. All users of the test are ranked by `recommend(rules=...)`.
    """
    genres = movies.assign(category=movies["genres"].str.split("|")).explode("category")
    flags = pd.crosstab(genres["item_id"], genres["category"]).astype("float32")
    table = recae.ItemTable(movies)
    facts = {"item_vectors": flags, "item_categories": genres[["item_id", "category"]]}
    plain, rows = None, []
    ways: list[tuple[str, float, dict[str, Any]]] = [("no rules", 0.0, {})]
    ways += [
        (name, weight, {"diversity": weight, "pool": pool, **way})
        for name, way in WAYS.items()
        for weight in weights
    ]
    for name, weight, options in ways:
        rules = recae.Rules(**options, table=table)
        started = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", recae.RecaeWarning)  # of movies without a genre
            top = model.recommend(k=K, history=split.test.history, rules=rules)
        seconds = time.perf_counter() - started
        lists = recae.Lists(top[["user_id", "item_id", "rank"]], train=split.train, name=name)
        report = recae.evaluate(lists, split.test, METRICS, progress=False, **facts)
        row = {
            "model": type(model).__name__,
            "rules": name,
            "weight": weight,
            "seconds": round(seconds, 2),
        }
        row |= {metric: round(report.mean[metric], 4) for metric in METRICS}
        plain = plain or report
        before = plain.mean[METRICS[0]]
        lost = report.mean[METRICS[0]] - before
        row["ndcg lost"] = round(-lost / before, 4)
        row["users worse, better"] = worse_and_better(plain, report)
        rows.append(row)
    return rows


def worse_and_better(plain: recae.Report, other: recae.Report) -> list[int]:
    """The users with a lower and with a higher NDCG than without rules."""
    change = other.per_user[METRICS[0]] - plain.per_user[METRICS[0]]
    return [int((change < 0).sum()), int((change > 0).sum())]


def as_text(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a table."""
    return pd.DataFrame(rows).to_string(index=False)
