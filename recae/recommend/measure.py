"""Measures a recommender on a fold: its lists, or its scores taken as ratings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from recae.data import IdMap, Interactions
from recae.data.splits import Fold
from recae.errors import ConfigError
from recae.metrics import AnyMetric, MetricAccumulator, parse_metric
from recae.ranking.batches import (
    RankedLists,
    Request,
    ScoreRows,
    rank_batches,
    rows_per_batch,
)
from recae.ranking.scores import dense
from recae.ranking.top_k import TopK
from recae.recommend.requests import align


def check_metric(name: str) -> None:
    """Raises ConfigError unless the metric can choose among epochs or weights."""
    metric = parse_metric(name)
    if not metric.of_hits:
        raise ConfigError(
            f"metric must measure hits and have a value per user, as ndcg@100; not {name!r}",
            parameter="metric",
            value=name,
        )


@dataclass(frozen=True)
class AlignedFold:
    """A fold in the items of a model: histories to rank for, what to leave out, and the targets.

    history, target: as the fold has them, with items that the model may not know. to_fold: the
    column of each item of the model in the fold, -1 for none, (n_items + 1,); the last entry maps
    -1, an empty place of a list, to itself. None where both have the same items.
    """

    request: Request
    mask: Any
    history: Interactions
    target: Interactions
    items: IdMap
    to_fold: np.ndarray | None

    @classmethod
    def of(cls, fold: Fold, items: IdMap) -> AlignedFold:
        """Matches the fold's items to the model's by id. A target that the model does not know
        counts as a miss; in a history it is left out with a warning."""
        history = align(fold.history, items)
        mask = history if fold.mask is None else align(fold.mask, items)
        request = Request(history.users.ids, history.matrix, np.ones(history.n_users, dtype=bool))
        same = fold.target.items == items
        to_fold = None if same else np.append(fold.target.items.lookup(items.ids), -1)
        return cls(request, mask.matrix, fold.history, fold.target, items, to_fold)

    def counts(self, item_counts: np.ndarray) -> np.ndarray:
        """Counts of the model's items, in the order of the fold's items; 0 for other items."""
        if self.to_fold is None:
            return item_counts
        places = self.items.lookup(self.target.items.ids)  # -1, not found, is the added 0
        return np.append(item_counts, 0)[places]

    def ranked(self, score_rows: ScoreRows, k: int, batch_size: int | str = "auto") -> RankedLists:
        """Yields the top k of each batch of the fold's rows, in order, as columns of the fold."""
        for rows, top in rank_batches(
            score_rows, self.request, k, exclude=self.mask, batch_size=batch_size
        ):
            to_fold = self.to_fold
            yield rows, top if to_fold is None else TopK(to_fold[top.items], top.scores)


def measure(
    score_rows: ScoreRows,
    fold: AlignedFold,
    metrics: AnyMetric | Sequence[AnyMetric],
    *,
    batch_size: int | str = "auto",
) -> MetricAccumulator:
    """Ranks the histories of a fold and measures the lists against its targets, batch by batch."""
    accumulator = MetricAccumulator(metrics, fold.target.n_items)
    for rows, top in fold.ranked(score_rows, accumulator.max_k, batch_size):
        accumulator.update(top, fold.target.matrix[rows], fold.history.matrix[rows])
    return accumulator


def rating_error(score_rows: ScoreRows, histories: Any, targets: Any) -> float:
    """sqrt(mean over the entries of `targets` of (score - value)^2); CSR (rows, n_items) both."""
    total, step = 0.0, rows_per_batch("auto", histories.shape[1])
    for start in range(0, histories.shape[0], step):
        target = targets[start : start + step]
        scores = dense(score_rows(histories[start : start + step])).cpu()
        rows = np.repeat(np.arange(target.shape[0]), np.diff(target.indptr))
        cells = torch.from_numpy(rows), torch.from_numpy(target.indices.astype(np.int64))
        off = scores[cells].double() - torch.from_numpy(target.data)
        total += float(off.square().sum())
    return math.sqrt(total / targets.nnz)
