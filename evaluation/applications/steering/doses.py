"""Measures the top 10 of all users when scores are shifted along a direction by a dose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import recae
from recae.metrics import MetricAccumulator, parse_metrics
from recae.ranking.top_k import top_k

K = 10
METRIC = f"ndcg@{K}"
BUDGET = 0.01
"""Share of NDCG@10 that steering may lose."""


@dataclass(frozen=True)
class Audience:
    """The users of a fold, with their scores by a model, (users, n_items)."""

    fold: recae.Fold
    scores: torch.Tensor

    @classmethod
    def of(cls, model: recae.Recommender, fold: recae.Fold, rows: Any = None) -> Audience:
        """The users of some rows of a fold, which has the items of the model."""
        parts = fold.history, fold.target, fold.mask or fold.history
        if rows is not None:
            parts = tuple(part.select_users(rows) for part in parts)
        some = recae.Fold(*parts)
        return cls(some, torch.from_numpy(model.score(some.history)))

    def lists(self, change: np.ndarray | None = None) -> recae.ranking.TopK:
        """The top 10 after `change`, (n_items,), is added to the scores of all users."""
        scores = self.scores if change is None else self.scores + torch.from_numpy(change)
        assert self.fold.mask is not None
        return top_k(scores.clone() if change is None else scores, K, exclude=self.fold.mask.matrix)

    def ndcg(self, lists: recae.ranking.TopK) -> np.ndarray:
        """NDCG@10 of each user."""
        accumulator = MetricAccumulator(parse_metrics([METRIC]), self.fold.target.n_items, None)
        accumulator.update(lists, self.fold.target.matrix, self.fold.history.matrix)
        return accumulator.per_user()[METRIC]

    def curve(
        self,
        rises: np.ndarray,
        doses: Sequence[float],
        sets: dict[str, np.ndarray],
        stop: float | None = None,
    ) -> dict[str, list[float]]:
        """NDCG@10 and the share of the top 10 in each set of items, (n_items,) bool, at each dose.

        stop: share of NDCG@10 whose loss ends the curve.
        """
        found: dict[str, list[float]] = {"dose": [], METRIC: [], **{name: [] for name in sets}}
        for dose in doses:
            lists = self.lists(np.float32(dose) * rises.astype(np.float32) if dose else None)
            found["dose"].append(float(dose))
            found[METRIC].append(float(np.nanmean(self.ndcg(lists))))
            for name, members in sets.items():
                found[name].append(float(members[lists.items].mean()))
            if stop is not None and found[METRIC][-1] < (1 - stop) * found[METRIC][0]:
                break
        return found


def dose_within(curve: dict[str, list[float]], budget: float = BUDGET) -> float:
    """The dose at which a curve that starts unsteered has lost this share of NDCG@10.

    Interpolated between the last dose within the budget and the first dose beyond it; the largest
    dose if none is beyond.
    """
    lost = 1 - np.array(curve[METRIC]) / curve[METRIC][0]
    beyond = np.flatnonzero(lost > budget)
    if not len(beyond):
        return curve["dose"][-1]
    after = int(beyond[0])
    part = (budget - lost[after - 1]) / (lost[after] - lost[after - 1])
    low, high = curve["dose"][after - 1 : after + 1]
    return float(low + part * (high - low))


def steps(rises: np.ndarray) -> list[float]:
    """Doses of a direction from 0 to the dose at which the shift has the spread of the scores."""
    spread = float(rises.std())
    grid = (0, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1, 1.5)
    return [dose / spread for dose in grid]
