"""Measuring a recommender on a fold: its lists against the held-out items."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recae.data import IdMap, Interactions
from recae.data.splits import Fold
from recae.errors import ConfigError
from recae.metrics import Metric, MetricAccumulator, parse_metric, parse_metrics
from recae.ranking.batches import RankedLists, Request, Scoring, rank_batches
from recae.ranking.top_k import TopK
from recae.recommend.requests import align


def check_metric(name: str) -> None:
    """Raises ConfigError unless the metric can choose among epochs or weights."""
    metric = parse_metric(name)
    if not metric.of_hits:
        raise ConfigError(
            f"metric must measure hits and have a value per user, as ndcg@100; not {name!r}"
        )


@dataclass(frozen=True)
class Questions:
    """A fold in the items of a model: what to rank, what to leave out, and what to find.

    history, target: as the fold has them, with items that the model may not know. to_fold: where
    each item of the model is in the fold, -1 if nowhere, (n_items + 1,); the last entry maps "none
    left", -1, to itself. None where the items are those of the fold.
    """

    request: Request
    mask: Any
    history: Interactions
    target: Interactions
    items: IdMap
    to_fold: np.ndarray | None

    @classmethod
    def of(cls, fold: Fold, items: IdMap) -> Questions:
        """The fold's items are matched to the model's by id: a target that the model does not know
        counts as a miss, and is left out of a history with a warning."""
        history = align(fold.history, items)
        mask = history if fold.mask is None else align(fold.mask, items)
        request = Request(history.users.ids, history.matrix, np.ones(history.n_users, dtype=bool))
        same = fold.target.items == items
        to_fold = None if same else np.append(fold.target.items.lookup(items.ids), -1)
        return cls(request, mask.matrix, fold.history, fold.target, items, to_fold)

    def counts(self, item_counts: np.ndarray) -> np.ndarray:
        """Numbers of the model's items for those of the fold; others have none."""
        if self.to_fold is None:
            return item_counts
        places = self.items.lookup(self.target.items.ids)  # -1, not found, is the added 0
        return np.append(item_counts, 0)[places]


def measure(
    score_rows: Scoring,
    questions: Questions,
    metrics: str | Sequence[str | Metric],
    *,
    item_counts: np.ndarray | None = None,
    batch_size: int | str = "auto",
    on_batch: Callable[[int], object] = lambda rows: None,
) -> MetricAccumulator:
    """Ranks the histories of a fold and measures the lists against its targets, batch by batch.

    item_counts: (n_items,) training users of the model's items, for the metrics that need them.
    """
    counts = None if item_counts is None else questions.counts(item_counts)
    accumulator = MetricAccumulator(parse_metrics(metrics), questions.target.n_items, counts)

    def ranked(k: int) -> RankedLists:
        return ranked_lists(score_rows, questions, k, batch_size)

    return measure_lists(ranked, questions.history, questions.target, accumulator, on_batch)


def ranked_lists(
    score_rows: Scoring, questions: Questions, k: int, batch_size: int | str = "auto"
) -> RankedLists:
    """Yields the top k of each batch of the fold's rows, in order, as columns of the fold."""
    to_fold = questions.to_fold
    for rows, top in rank_batches(
        score_rows, questions.request, k, exclude=questions.mask, batch_size=batch_size
    ):
        yield rows, top if to_fold is None else TopK(to_fold[top.items], top.scores)


def measure_lists(
    ranked: Callable[[int], RankedLists],
    history: Interactions,
    target: Interactions,
    accumulator: MetricAccumulator,
    on_batch: Callable[[int], object] = lambda rows: None,
) -> MetricAccumulator:
    """Measures lists against the targets of a fold, batch by batch; returns the accumulator.

    ranked: gives the lists of a length, in batches.
    """
    for rows, top in ranked(accumulator.max_k):
        accumulator.update(top, target.matrix[rows], history.matrix[rows])
        on_batch(rows.stop - rows.start)
    return accumulator
