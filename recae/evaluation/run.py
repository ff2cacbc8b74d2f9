"""Evaluates a model, or the lists or scores of another system, on a fold."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import torch

from recae.data import Interactions
from recae.data.splits import Fold
from recae.errors import ConfigError, DataError, explained
from recae.evaluation.attributes import categories_for, vectors_for
from recae.evaluation.external import AlignedLists, Lists, Scorer
from recae.evaluation.report import Report
from recae.evaluation.same_data import fingerprints
from recae.evaluation.seen import warn_if_seen
from recae.metrics import (
    AnyMetric,
    Metric,
    MetricAccumulator,
    TargetRanks,
    bootstrap_intervals,
    parse_metrics,
)
from recae.ranking.batches import RankedLists, RowScores
from recae.recommend.base import Recommender
from recae.recommend.requests import AlignedFold, align, check_fold, rating_error
from recae.recommend.tuned import tuning_of
from recae.recommend.weights import warn_if_missing
from recae.system.machine import cores, machine, peak_gb, versions
from recae.system.progress import bar
from recae.system.threads import survives_fork

METRICS = ("ndcg@100", "recall@20", "recall@50")


@explained
@survives_fork
def evaluate(
    model: Recommender | Lists | Scorer,
    fold: Fold,
    metrics: AnyMetric | Sequence[AnyMetric] = METRICS,
    *,
    item_vectors: Any = None,
    item_categories: pd.DataFrame | None = None,
    batch_size: int | str = "auto",
    seed: int = 0,
    progress: bool | None = None,
) -> Report:
    """Ranks the catalogue for every history of a fold and measures the lists against its targets.

    model: a model of recae, a `Scorer` around any function that scores histories, or the `Lists` of
    any system for these users; the protocol and the report are the same for all. metrics: names
    such as "ndcg@100", see `recae.metrics`, and functions of your own. A function takes hits,
    (rows, k) bool, and relevant, the (rows,) numbers of targets, and returns (rows,) numbers, the
    higher the better. It is reported under its name, at the largest k of the others;
    `recae.metrics.Metric.of` sets another k. Items of the fold's mask (its history by default) are
    not recommended. Users without a target count in no mean of hits, but in those of metrics that
    do not look at targets, such as novelty and coverage. Memory is one batch of scores plus one
    number per user and metric, and two per item and cut-off. batch_size: users ranked at a time;
    another one changes scores by at most 1e-5 relative. seed: of the bootstrap.

    item_vectors: for diversity: a fitted model with item embeddings, a pair (ids, (n, d) array) or
    a frame with the item ids as its index; None for the model's own. Models are only comparable
    under the same vectors, such as those of a `PureSVD` of the training part. item_categories: for
    miscalibration: a frame with the columns item_id and category, with a row for each category of
    an item; None for head, middle and tail, items with a third of the training interactions each.

    Warns if the model was fitted on more than half of the targets (and more than 10), which makes
    its figures too good. This is known for models that keep their interactions (`history_`), and
    for Lists and Scorers with `train=`.

    Raises DataError if no user has a target or if vectors or categories do not fit the items,
    ConfigError for an unknown metric, or diversity of a model without vectors.

    The provenance of the report holds: users (with a target) and items (of the model); fingerprints
    of history, target and mask; the model's params; lists, the counts of irregularities in `Lists`;
    seconds of wall time, which are scoring_seconds (scores, masking and top-k) and metric_seconds
    (matching lists with targets, and all metrics); interval_seconds (the bootstrap, not among the
    seconds); peak_gb, the peak memory of the process so far, fitting included, in 10^9 bytes;
    device that scored, machine, cores that the process may use, threads of torch; date and
    versions.

    >>> split = recae.data.splits.holdout_pairs(data, 0.5)
    >>> model = recae.EASE().fit(split.train)
    >>> recae.evaluate(model, split.validation, "recall@4").mean
    {'recall@4': 1.0}
    >>> def found_all(hits, relevant):
    ...     return hits.sum(axis=1) == relevant
    >>> recae.evaluate(model, split.validation, ["recall@4", found_all]).mean
    {'recall@4': 1.0, 'found_all@4': 1.0}
    """
    if isinstance(model, Recommender):
        model._check_fitted()
    elif not isinstance(model, Lists | Scorer):
        raise DataError(
            f"a fitted model, Lists or a Scorer is needed, not {type(model).__name__}",
            parameter="model",
            value=model,
        )
    check_fold("fold", fold)
    parsed = parse_metrics(metrics)
    asked = _asked(model, fold, batch_size)
    about = _about(parsed, model, fold, item_vectors, item_categories)
    measured = MetricAccumulator(
        parsed,
        fold.target.n_items,
        asked.counts,
        **{name: matrix for name, (matrix, _) in about.items()},
    )
    started = time.perf_counter()
    with bar(fold.history.n_users, f"evaluating {type(model).__name__}", "user", progress) as shown:
        for fitted in _fitted_on(model):  # after all that can be refused
            warn_if_seen(fitted, fold, f"{model!r} was fitted on, so its figures are too good")
        ranks: list[TargetRanks] | None = [] if measured.needs_ranks else None
        for rows, top in asked.ranked(measured.max_k, ranks):
            seen = TargetRanks.concatenate(ranks) if ranks else None
            measured.update(top, fold.target.matrix[rows], fold.history.matrix[rows], seen)
            if ranks is not None:
                ranks.clear()
            shown.update(rows.stop - rows.start)
    ranked = time.perf_counter()
    seconds = ranked - started
    per_user = pd.DataFrame(measured.per_user(), index=pd.Index(fold.target.users.ids))
    values = [column.to_numpy() for _, column in per_user.items()]
    interval = dict(zip(map(str, per_user), bootstrap_intervals(values, seed=seed), strict=True))
    interval_seconds = time.perf_counter() - ranked
    peak, tuned = peak_gb(), tuning_of(model)
    return Report(
        model=repr(model),
        per_user=per_user,
        catalogue=measured.catalogue(),
        interval=interval,
        provenance={
            "users": int((np.diff(fold.target.matrix.indptr) > 0).sum()),
            "items": asked.n_items,
            **fingerprints(fold),
            "bootstrap_seed": seed,
            **{name: source for name, (_, source) in about.items()},
            "params": dict(model.get_params()),
            **({} if tuned is None else {"tuning": tuned}),
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


def _fitted_on(model: Recommender | Lists | Scorer) -> list[Interactions]:
    """The interactions that a model was fitted on, as far as they are known; of a blend, those of
    its members."""
    if not isinstance(model, Recommender):
        return [] if model.train is None else [model.train]
    if model.history_ is not None:
        return [model.history_]
    members = [member.history_ for member in getattr(model, "members_", ())]
    found: list[Interactions] = []
    for history in members:
        if history is not None and not any(history is other for other in found):
            found.append(history)
    return found


@dataclass(frozen=True)
class _Asked:
    """ranked: gives the lists of a length for the rows of the fold, and appends the ranks of their
    targets to a list, if one is given; counts: training users of the
    fold's items, None if unknown; n_items: the number of ranked items; found: counts of irregular
    lists, for the provenance; devices: those that scored, so far."""

    ranked: Callable[[int, list[TargetRanks] | None], RankedLists]
    counts: np.ndarray | None
    n_items: int
    found: dict[str, Any] = field(default_factory=dict)
    devices: set[str] = field(default_factory=set)


def _asked(model: Recommender | Lists | Scorer, fold: Fold, batch_size: int | str) -> _Asked:
    """Prepares the lists of a model, Lists or a Scorer in the items of the fold."""
    counts: np.ndarray | None
    if isinstance(model, Lists):
        lists = AlignedLists(model, fold)
        counts = _trained(model.train, fold)
        of_lists = len(model.items)
        return _Asked(lambda k, _: lists.ranked(k), counts, of_lists, {"lists": lists.found})
    if isinstance(model, Recommender):
        aligned = AlignedFold.of(fold, model.items_)
        warn_if_missing(model, fold.history.matrix.data, where="the histories of the fold")
        counts = aligned.counts(model.item_counts_)
    else:
        aligned, counts = AlignedFold.of(fold, model.items), _trained(model.train, fold)
    devices: set[str] = set()

    def score_rows(matrix: Any) -> RowScores:
        scores = model._score_rows(matrix)
        if matrix.shape[0]:  # no rows are asked for to learn the kind of scores
            devices.add(str(scores.device))
        return scores

    def ranked(k: int, ranks: list[TargetRanks] | None) -> RankedLists:
        look = None if ranks is None else aligned.look_for_ranks(ranks)
        return aligned.ranked(score_rows, k, batch_size, look)

    return _Asked(ranked, counts, len(aligned.items), devices=devices)


def _trained(train: Interactions | None, fold: Fold) -> np.ndarray | None:
    """The number of training users of each item of the fold, (n_items,)."""
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
    """The item vectors and categories that the metrics need, with their source."""
    needs: dict[str, Metric] = {need: metric for metric in metrics for need in metric.needs}
    items = fold.target.items
    found: dict[str, tuple[Any, str]] = {}
    if "vectors" in needs:
        found["item_vectors"] = vectors_for(vectors, model, items, needs["vectors"])
    if "categories" in needs:
        found["item_categories"] = categories_for(categories, items)
    return found


def _users(fold: Fold) -> pd.DataFrame:
    """The numbers of items in the history and in the target of each user."""
    sizes = {"history": fold.history, "targets": fold.target}
    return pd.DataFrame(
        {name: np.diff(part.matrix.indptr).astype(np.int64) for name, part in sizes.items()},
        index=pd.Index(fold.target.users.ids),
    )


def _items(fold: Fold, counts: np.ndarray | None, listed: dict[str, np.ndarray]) -> pd.DataFrame:
    """For each item the numbers of training users (if known), targets, hits and listings."""
    target = fold.target
    columns = {} if counts is None else {"training_users": counts.astype(np.int64)}
    columns["targets"] = np.bincount(target.matrix.indices, minlength=target.n_items)
    return pd.DataFrame(columns | listed, index=pd.Index(target.items.ids))


@explained
def rmse(model: Recommender, fold: Fold) -> float:
    """The root mean squared error of a model's scores, taken as ratings, on the targets of a fold.

    sqrt(mean over the pairs (u, i) of the target of (score_ui - rating_ui)^2), in the unit of the
    ratings, with scores from the fold's histories (Sedhain et al. 2015). Only models of ratings,
    such as AutoRec, have scores that are ratings; others are refused. Targets with items that the
    model does not have are left out with a warning that counts them. For tables of other systems,
    and for MAE and R2, see `rating_errors`. Raises DataError if no target remains, ConfigError for
    a model that does not predict ratings.

    >>> ratings = recae.Interactions.from_csr(scipy.sparse.csr_matrix([[5, 3.0], [4, 2], [1, 1]]))
    >>> fold = recae.data.splits.holdout_pairs(ratings, 0.5).validation
    >>> model = recae.AutoRec(latent=4, epochs=60, lr=0.1, batch_size=3).fit(ratings)
    >>> recae.evaluation.rmse(model, fold) < 1.5
    True
    """
    check_fold("fold", fold)
    if not isinstance(model, Recommender):
        raise DataError(
            f"a fitted model is needed, not {type(model).__name__}: recae.evaluation.rating_errors "
            "measures tables of predictions",
            parameter="model",
            value=model,
        )
    if not model.predicts_ratings:
        raise ConfigError(
            f"the scores of {type(model).__name__} are no ratings, so they have no error: fit "
            "recae.AutoRec, or measure lists with recae.evaluate",
            parameter="model",
            value=model,
        )
    model._check_fitted()
    histories = align(fold.history, model.items_).matrix
    targets = align(fold.target, model.items_).matrix
    if not targets.nnz:
        raise DataError("the model has no item of the targets: there is nothing to measure")
    return rating_error(model._score_rows, histories, targets)
