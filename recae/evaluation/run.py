"""Measuring a model on a fold."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from recae.data import Interactions
from recae.data.splits import Fold
from recae.errors import DataError
from recae.evaluation.aligned_lists import Placed
from recae.evaluation.attributes import categories_for, vectors_for
from recae.evaluation.lists import Lists
from recae.evaluation.report import Report
from recae.evaluation.scorer import Scorer
from recae.metrics import Metric, MetricAccumulator, bootstrap_intervals, parse_metrics
from recae.ranking.batches import RankedLists, Scoring
from recae.ranking.products import Products
from recae.recommend.base import Recommender
from recae.recommend.measure import Questions, measure_lists, ranked_lists
from recae.system.forks import survives_fork
from recae.system.machine import cores, machine, versions
from recae.system.memory import peak_gb
from recae.system.progress import bar

METRICS = ("ndcg@100", "recall@20", "recall@50")


@survives_fork
def evaluate(
    model: Recommender | Lists | Scorer,
    fold: Fold,
    metrics: str | Sequence[str] = METRICS,
    *,
    item_vectors: Any = None,
    item_categories: pd.DataFrame | None = None,
    batch_size: int | str = "auto",
    seed: int = 0,
    progress: bool | None = None,
) -> Report:
    """Ranks the catalogue for every history of a fold and measures the lists against its targets.

    model: one of ours, a `Scorer` around any function that scores histories, or the `Lists` that
    any system made for these users; the protocol and the report are the same for all. metrics:
    names such as "ndcg@100", see `recae.metrics`. What must not be recommended is the fold's mask
    (its history unless stated). Users without a target count in no mean of hits, but in those of
    metrics that do not look at targets, such as novelty and coverage. Memory is one batch of scores
    (`batch_size` users, which never changes a result) plus one number per user and metric, and two
    per item and cut-off. seed: of the bootstrap.

    item_vectors: for diversity: a fitted model with item embeddings, a pair (ids, (n, d) array) or
    a frame with the item ids as its index; None for the model's own. Models are only comparable
    under the same vectors, such as those of a `PureSVD` of the training part. item_categories: for
    miscalibration: a frame with the columns item_id and category, with a row for each category of
    an item; None for head, middle and tail, items with a third of the training interactions each.

    Raises DataError if no user has a target or if vectors or categories do not fit the items,
    ConfigError for an unknown metric, or diversity of a model without vectors.

    The provenance of the report holds: users (with a target) and items (of the model); fingerprints
    of history, target and mask; the model's params; lists, what was found in `Lists`; seconds of
    wall time, which are scoring_seconds (scores, masking and top-k) and metric_seconds (matching
    lists with targets, and all metrics); interval_seconds (the bootstrap, not among the seconds);
    peak_gb, the most memory the process has held so far, fitting included, in 10^9 bytes; device
    that scored, machine, cores that the process may use, threads of torch; date and versions.

    >>> split = recae.data.splits.holdout_pairs(data, 0.5)
    >>> recae.evaluate(recae.EASE().fit(split.train), split.validation, "recall@4").mean
    {'recall@4': 1.0}
    """
    if isinstance(model, Recommender):
        model._check_fitted()
    elif not isinstance(model, Lists | Scorer):
        raise DataError(
            "a fitted model is needed, or Lists or a Scorer of somebody else's, not "
            f"{type(model).__name__}"
        )
    if not isinstance(fold, Fold):
        raise DataError(f"a Fold is needed, such as Split.test, not {type(fold).__name__}")
    with_target = int((np.diff(fold.target.matrix.indptr) > 0).sum())
    if not with_target:
        raise DataError("no user of this fold has a target: there is nothing to measure")
    asked = _asked(model, fold, batch_size)
    parsed = parse_metrics(metrics)
    about = _about(parsed, model, fold, item_vectors, item_categories)
    accumulator = MetricAccumulator(
        parsed,
        fold.target.n_items,
        asked.counts,
        **{name: matrix for name, (matrix, _) in about.items()},
    )
    started = time.perf_counter()
    with bar(fold.history.n_users, f"evaluating {type(model).__name__}", "user", progress) as shown:
        measured = measure_lists(asked.ranked, fold.history, fold.target, accumulator, shown.update)
    ranked = time.perf_counter()
    seconds = ranked - started
    per_user = pd.DataFrame(measured.per_user(), index=pd.Index(fold.target.users.ids))
    values = [column.to_numpy() for _, column in per_user.items()]
    interval = dict(zip(map(str, per_user), bootstrap_intervals(values, seed=seed), strict=True))
    interval_seconds = time.perf_counter() - ranked
    peak = peak_gb()
    return Report(
        model=repr(model),
        per_user=per_user,
        catalogue=measured.catalogue(),
        interval=interval,
        provenance={
            "users": with_target,
            "items": asked.n_items,
            "history": fold.history.fingerprint(),
            "target": fold.target.fingerprint(),
            "mask": (fold.history if fold.mask is None else fold.mask).fingerprint(),
            "bootstrap_seed": seed,
            **{name: source for name, (_, source) in about.items()},
            "params": {k: v for k, v in model.get_params().items()},
            **asked.found,
            "seconds": round(seconds, 3),
            "scoring_seconds": round(seconds - measured.seconds, 3),
            "metric_seconds": round(measured.seconds, 3),
            "interval_seconds": round(interval_seconds, 3),
            "peak_gb": None if np.isnan(peak) else round(peak, 3),
            "device": ", ".join(sorted(asked.devices)),
            "machine": machine(),
            "cores": cores(),
            "threads": torch.get_num_threads(),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": versions(),
        },
        users=_users(fold),
        items=_items(fold, asked.counts, measured.per_item()),
    )


@dataclass(frozen=True)
class _Asked:
    """ranked: gives the lists of a length for the rows of the fold; counts: training users of the
    fold's items, None if unknown; n_items: what was ranked; found: about lists, for the provenance;
    devices: those that scored, so far."""

    ranked: Callable[[int], RankedLists]
    counts: np.ndarray | None
    n_items: int
    found: dict[str, Any] = field(default_factory=dict)
    devices: set[str] = field(default_factory=set)


def _asked(model: Recommender | Lists | Scorer, fold: Fold, batch_size: int | str) -> _Asked:
    """The one way from whatever is measured to lists in the items of the fold."""
    counts: np.ndarray | None
    if isinstance(model, Lists):
        placed = Placed(model, fold)
        counts = _trained(model.train, fold)
        return _Asked(placed.ranked, counts, len(model.items), {"lists": placed.found})
    if isinstance(model, Recommender):
        questions = Questions.of(fold, model.items_)
        counts = questions.counts(model.item_counts_)
    else:
        questions, counts = Questions.of(fold, model.items), _trained(model.train, fold)
    devices: set[str] = set()

    asked: Scoring = model._scores if isinstance(model, Recommender) else model._score_rows

    def score_rows(matrix: Any) -> Tensor | Products:
        scores = asked(matrix)
        devices.add(str(scores.device))
        return scores

    def ranked_here(k: int) -> RankedLists:
        return ranked_lists(score_rows, questions, k, batch_size)

    return _Asked(ranked_here, counts, len(questions.items), devices=devices)


def _trained(train: Interactions | None, fold: Fold) -> np.ndarray | None:
    """How many users of a training part have each item of the fold, (n_items,)."""
    if train is None:
        return None
    known, _ = train.with_items(fold.target.items)
    return np.bincount(known.matrix.indices, minlength=known.n_items)


def _about(
    metrics: Sequence[Metric],
    model: Recommender | Lists | Scorer,
    fold: Fold,
    vectors: Any,
    categories: Any,
) -> dict[str, tuple[Any, str]]:
    """What the metrics need to know of the fold's items, by name, and where it is from."""
    needs: dict[str, Metric] = {need: metric for metric in metrics for need in metric.needs}
    items = fold.target.items
    found: dict[str, tuple[Any, str]] = {}
    if "vectors" in needs:
        found["item_vectors"] = vectors_for(vectors, model, items, needs["vectors"])
    if "categories" in needs:
        found["item_categories"] = (
            (None, "head, middle and tail")
            if categories is None
            else categories_for(categories, items)
        )
    return found


def _users(fold: Fold) -> pd.DataFrame:
    """How many items the history and the target of each user hold."""
    sizes = {"history": fold.history, "targets": fold.target}
    return pd.DataFrame(
        {name: np.diff(part.matrix.indptr).astype(np.int64) for name, part in sizes.items()},
        index=pd.Index(fold.target.users.ids),
    )


def _items(fold: Fold, counts: np.ndarray | None, listed: dict[str, np.ndarray]) -> pd.DataFrame:
    """How many users trained on (if that is known), look for, found and were shown each item."""
    target = fold.target
    columns = {} if counts is None else {"training_users": counts.astype(np.int64)}
    columns["targets"] = np.bincount(target.matrix.indices, minlength=target.n_items)
    return pd.DataFrame(columns | listed, index=pd.Index(target.items.ids))
