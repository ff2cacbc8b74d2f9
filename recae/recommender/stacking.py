"""Weights of blended scores, learnt on users whose targets are known (stacking, Wolpert 1992)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recae.metrics import Metric, MetricAccumulator
from recae.ranking import top_k
from recae.recommender.rank import rows_per_batch
from recae.recommender.sparse import cells

ROWS = 64
"""Users at a time whose blended scores are formed for the likelihood."""

STEPS = (2.0, 1.5, 1.2)
"""Factors by which one weight is raised and lowered while that ranks better, coarse ones first."""

ROUNDS = 3
"""Times that all weights are tried with one factor, at most."""


def likeliest(scores: Tensor, mask: Any, target: Any) -> np.ndarray:
    """The weights >= 0 under which the targets are likeliest, (members,).

    Likelihood is that of softmax(sum_m w_m scores_m) over the cells that are not masked, as in
    Liang et al. (2018): convex in w. scores: (members, rows, n_items) float32; mask, target: CSR
    (rows, n_items). Ones where no weight above zero helps.
    """
    from scipy.optimize import minimize  # which leaves a warning filter behind: not at import

    totals = torch.from_numpy(np.diff(target.indptr)).float()  # (rows,)
    flat = scores.view(len(scores), -1)
    of_targets = flat[:, torch.from_numpy(cells(target))].sum(1).double()
    seen = torch.zeros(scores.shape[1:], dtype=torch.bool)
    seen.view(-1)[torch.from_numpy(cells(mask))] = True

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        """Minus the log likelihood of a user, on average, and its slope."""
        w = torch.from_numpy(weights)
        value, slope = -(of_targets @ w), -of_targets
        for start in range(0, len(totals), ROWS):
            rows = slice(start, start + ROWS)
            logits = torch.einsum("m,mri->ri", w.float(), scores[:, rows])
            logits.masked_fill_(seen[rows], -torch.inf)
            value = value + (logits.logsumexp(1) * totals[rows]).sum()
            shares = logits.softmax(1) * totals[rows, None]
            slope = slope + torch.einsum("ri,mri->m", shares, scores[:, rows])
        return float(value) / len(totals), slope.numpy() / len(totals)

    found = minimize(
        loss, np.ones(len(scores)), jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(scores)
    )
    weights: np.ndarray = found.x if found.x.any() else np.ones(len(scores))
    return weights


def best_ranking(
    scores: Tensor, mask: Any, target: Any, metric: Metric, start: np.ndarray
) -> np.ndarray:
    """The weights >= 0 with the highest metric that a search finds, (members,), their mean one.

    Shapes as in `likeliest`. It begins with the best of `start`, equal weights and each member
    alone, so that none of them ranks better, and then changes one weight after the other.
    """

    def value(weights: np.ndarray) -> float:
        measured = MetricAccumulator([metric], scores.shape[2])
        w, step = torch.from_numpy(weights).float(), rows_per_batch("auto", scores.shape[2])
        for first in range(0, scores.shape[1], step):
            rows = slice(first, first + step)
            blended = torch.einsum("m,mri->ri", w, scores[:, rows])
            top = top_k(blended, metric.k, exclude=mask[rows], overwrite=True)
            measured.update(top, target[rows])
        return float(np.nanmean(measured.per_user()[str(metric)]))

    starts = [start, np.ones(len(scores)), *np.eye(len(scores))]
    values = [value(weights) for weights in starts]
    best, highest = starts[int(np.argmax(values))].copy(), max(values)
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
    """The weights with one of them larger or smaller; a zero becomes a share of the mean."""
    for member, weight in enumerate(weights):
        for changed in (weight * step, weight / step) if weight else (weights.mean() * (step - 1),):
            trial = weights.copy()
            trial[member] = changed
            yield trial
