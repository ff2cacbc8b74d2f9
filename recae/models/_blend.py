"""The weights of a blend, learnt from the standardised scores of validation users.

Only the best items of every member are kept of each user. So the scores of all validation users fit
in memory, and not only of a sample of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recae.errors import DataError
from recae.metrics import Metric, MetricAccumulator
from recae.ranking.batches import rows_per_batch
from recae.ranking.top_k import TopK
from recae.rng import Stream, numpy_generator

CELLS = 1 << 27
"""Scores that are held while the weights are learnt: 2^27 are 512 MiB."""

BEST = 100
"""Best items of each member that are candidates; five times the k of the metric if that is more."""

STEPS = (2.0, 1.5)
"""Factors by which one weight is raised and lowered while that ranks better."""

ROUNDS = 2
"""Times that all weights are tried with one factor, at most."""


@dataclass(frozen=True)
class Candidates:
    """The items that can be listed for some users, with the scores of all members.

    items: (rows, width) int64, columns of `target`, -1 where a row has no more; scores: (members,
    rows, width) float32, 0 there; target: CSR (rows, n_items).
    """

    items: Tensor
    scores: Tensor
    target: Any

    @classmethod
    def of(
        cls,
        members: int,
        score_rows: Callable[[Any], Sequence[Tensor]],
        history: Any,
        mask: Any,
        target: Any,
        metric: Metric,
        seed: int,
    ) -> Candidates:
        """The candidates of all users with a target, or of as many as fit.

        score_rows: from CSR histories to the standardised scores of each member, (rows, n_items).
        history, mask, target: CSR (users, n_items) each. Raises DataError for no target.
        """
        n_items = history.shape[1]
        best = min(max(BEST, 5 * metric.k), n_items)
        asked = np.flatnonzero(np.diff(target.indptr))
        if not len(asked):
            raise DataError("no target of the validation fold is an item that all members know")
        width = min(members * best, n_items)
        most = max(CELLS // ((members + 2) * width), 1)
        if len(asked) > most:
            asked = np.sort(numpy_generator(seed).choice(asked, most, replace=False))
        target = target[asked]
        rows, columns, values = [], [], []
        step = rows_per_batch("auto", n_items * members)
        for start in range(0, len(asked), step):
            some = asked[start : start + step]
            parts = torch.stack(list(score_rows(history[some])))  # (members, batch, n_items)
            hidden = _cells_of(mask[some])
            kept = torch.zeros(parts.shape[1:], dtype=torch.bool)
            for part in parts:
                shown = part.masked_fill(hidden, -torch.inf)
                kept.scatter_(1, shown.topk(best, dim=1, sorted=False).indices, True)
            row, column = (kept & ~hidden).nonzero(as_tuple=True)
            rows.append(row + start)
            columns.append(column)
            values.append(parts[:, row, column])
        row, column = torch.cat(rows), torch.cat(columns)
        counts = torch.bincount(row, minlength=len(asked))
        place = torch.arange(len(row)) - (counts.cumsum(0) - counts)[row]
        shape = len(asked), max(int(counts.max()), 1)
        items = torch.full(shape, -1)
        items[row, place] = column
        scores = torch.zeros(members, *shape)
        scores[:, row, place] = torch.cat(values, dim=1)
        return cls(items, scores, target)

    def __len__(self) -> int:
        return len(self.items)

    def part(self, rows: Tensor) -> Candidates:
        """Some of the users, (n,) int64."""
        return Candidates(self.items[rows], self.scores[:, rows], self.target[rows.numpy()])

    def blended(self, weights: np.ndarray) -> Tensor:
        """The weighted sums, (rows, width), -inf where a row has no more items."""
        total = torch.from_numpy(weights).float() @ self.scores.view(len(weights), -1)
        return total.view(self.items.shape).masked_fill_(self.items < 0, -torch.inf)

    def value(self, weights: np.ndarray, metric: Metric) -> float:
        """The metric of the lists of a blend, the mean over the users."""
        return float(np.nanmean(self.per_user(weights, metric)))

    def per_user(self, weights: np.ndarray, metric: Metric) -> np.ndarray:
        """The metric of each user's list, (rows,) float64."""
        blended = self.blended(weights)
        k = min(metric.k, blended.shape[1])
        top, places = blended.topk(k, dim=1)
        items = self.items.gather(1, places).masked_fill(top == -torch.inf, -1)
        lists = np.full((len(self), metric.k), -1)
        lists[:, :k] = items.numpy()
        measured = MetricAccumulator([metric], self.target.shape[1])
        measured.update(TopK(lists, np.zeros(lists.shape, dtype=np.float32)), self.target)
        found: np.ndarray = measured.per_user()[str(metric)]
        return found


def _cells_of(matrix: Any) -> Tensor:
    """(rows, n_items) bool, True where a CSR has an entry."""
    found = torch.zeros(matrix.shape, dtype=torch.bool)
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    found[torch.from_numpy(rows), torch.from_numpy(matrix.indices.astype(np.int64))] = True
    return found


def fit_weights(candidates: Candidates, metric: Metric) -> np.ndarray:
    """The weights >= 0 with the highest metric that a search finds, (members,), their mean one.

    From equal weights, the member without which the others rank best is left out while that
    helps. Then one weight at a time is changed by a factor while that helps. No member alone ranks
    better.
    """

    def value(weights: np.ndarray) -> float:
        return candidates.value(weights, metric)

    best = np.ones(len(candidates.scores))
    highest = value(best)
    while best.sum() > 1:
        trials = [np.where(np.arange(len(best)) == m, 0.0, best) for m in np.flatnonzero(best)]
        values = [value(trial) for trial in trials]
        if max(values) <= highest:
            break
        best, highest = trials[int(np.argmax(values))], max(values)
    alone = list(np.eye(len(best)))
    values = [value(weights) for weights in alone]
    if max(values) > highest:
        best, highest = alone[int(np.argmax(values))], max(values)
    for step in STEPS:
        for _ in range(ROUNDS):
            before = highest
            for trial in _neighbours(best, step):
                if (reached := value(trial)) > highest:
                    best, highest = trial, reached
            if highest == before:
                break
    found: np.ndarray = best / best.mean()
    return found


def _neighbours(weights: np.ndarray, step: float) -> Iterator[np.ndarray]:
    """The weights with one of those above 0 larger or smaller."""
    for member in np.flatnonzero(weights):
        for factor in (step, 1 / step):
            trial = weights.copy()
            trial[member] *= factor
            yield trial


def cross_fitted(candidates: Candidates, metric: Metric, seed: int) -> np.ndarray:
    """Each user's metric under the weights that the other half of the users gives, (rows,); of one
    user alone under equal weights."""
    if len(candidates) < 2:
        return candidates.per_user(np.ones(len(candidates.scores)), metric)
    drawn = numpy_generator(seed, Stream.BLEND_HALVES).permutation(len(candidates))
    halves = [torch.from_numpy(np.sort(half)) for half in np.array_split(drawn, 2)]
    found = np.empty(len(candidates))
    for half, other in (halves, halves[::-1]):
        weights = fit_weights(candidates.part(other), metric)
        found[half.numpy()] = candidates.part(half).per_user(weights, metric)
    return found
