"""From histories to top-k lists, one batch of scores at a time."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recae.data import IdMap, Interactions
from recae.errors import ConfigError
from recae.metrics import Metric, MetricAccumulator, parse_metric, parse_metrics
from recae.ranking import TopK, top_k
from recae.recommender.requests import Request, align
from recae.recommender.streams import stream_top_k
from recae.recommender.tiles import Products
from recae.splits import Fold

ScoreRows = Callable[[Any], Tensor]
"""Maps a CSR matrix (rows, n_items) to a fresh tensor of scores (rows, n_items) float32."""

Scoring = Callable[[Any], Tensor | Products]
"""The same, or a map to what the scores are the products of."""

RankedLists = Iterator[tuple[slice, TopK]]
"""Batches of rows, in order, with their lists."""

BATCH_CELLS = 1 << 24
"""Scores held at once with batch_size="auto": 2^24 cells are 64 MiB in float32."""

STREAMED_ROWS = 1024
"""Rows of a batch with batch_size="auto" when its scores are not held."""


def rows_per_batch(batch_size: Any, n_items: int) -> int:
    """Users per batch; "auto" keeps users x items near 2^24 cells. It never changes a result."""
    if batch_size == "auto":
        return max(BATCH_CELLS // max(n_items, 1) // 64, 1) * 64
    try:
        rows = 0 if isinstance(batch_size, bool) else operator.index(batch_size)
    except TypeError:
        rows = 0
    if rows < 1:
        raise ConfigError(f"batch_size must be 'auto' or an integer >= 1, not {batch_size!r}")
    return rows


def check_metric(name: str) -> None:
    """Raises ConfigError unless the metric can choose among epochs or weights."""
    metric = parse_metric(name)
    if not metric.of_hits:
        raise ConfigError(
            f"metric must measure hits and have a value per user, as ndcg@100; not {name!r}"
        )


def rank_batches(
    score_rows: Scoring,
    request: Request,
    k: int,
    *,
    exclude: Any | None,
    allowed: np.ndarray | None = None,
    popularity: np.ndarray | None = None,
    batch_size: int | str = "auto",
) -> RankedLists:
    """Yields the top k of each batch of rows, in order; one empty batch when there are no rows.

    exclude: CSR (rows, n_items) of cells that must not come back; allowed: (n_items,) bool;
    popularity: (n_items,) scores for the rows of whom nothing is known (None: score them as usual).
    """
    n_rows, n_items = request.matrix.shape
    step, start = rows_per_batch(batch_size, n_items), 0
    while start < n_rows or start == 0:
        rows = slice(start, min(start + step, n_rows))
        part = request.part(rows)
        scores = score_rows(part.matrix)
        excluded = None if exclude is None else exclude[rows]
        strangers = np.flatnonzero(~part.known)
        instead = (strangers, popularity) if popularity is not None and len(strangers) else None
        if isinstance(scores, Products):
            top = stream_top_k(scores, k, exclude=excluded, allowed=allowed, instead=instead)
            step = max(step, STREAMED_ROWS) if batch_size == "auto" else step
        else:
            if instead is not None:
                rows_of_strangers, counts = (torch.from_numpy(part) for part in instead)
                scores[rows_of_strangers.to(scores.device)] = counts.to(scores)
            top = top_k(scores, k, exclude=excluded, allowed=allowed, overwrite=True)
        del scores  # before the next are made
        yield rows, top
        start = max(rows.stop, 1)


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
