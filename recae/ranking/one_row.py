"""The scores of one row, and the best of them in the order of `top_k`: for answers to one user."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from recae.nn.products import FactoredScores
from recae.ranking.batches import RowScores, dense
from recae.ranking.top_k import LOWEST, bad_numbers

GROUPS = 32
"""Slices that a row is cut into. A group has one column of each slice."""

ENOUGH = 4
"""Groups for each place of the list. With fewer, the bound of their maxima is too low to help."""

Scores = npt.NDArray[np.float32]
Columns = npt.NDArray[np.int64]


def one_row(scores: RowScores | Scores) -> Scores:
    """The scores of a single row, (n_items,) float32; a fresh array if those given are fresh."""
    if isinstance(scores, np.ndarray):
        return scores
    if not isinstance(scores, FactoredScores) or scores.minus is not None:
        found = dense(scores)[0]
    elif scores.bias is None:
        found = torch.mv(scores.columns, scores.rows[0])
    else:
        found = torch.addmv(scores.bias, scores.columns, scores.rows[0])
    row: Scores = found.detach().cpu().numpy()
    return row


def kth_highest(scores: Scores, k: int) -> float:
    """A number that at least k scores reach, and often few more; -inf if there are fewer than k.

    scores: (n,) float32 without NaN.

    >>> kth_highest(np.array([0.5, 2, 3, -1], dtype=np.float32), 2)
    2.0
    """
    width = len(scores) // GROUPS
    if width >= ENOUGH * k:
        # The k highest maxima of groups are k cells, so the k best reach the lowest of them.
        peaks = scores[: width * GROUPS].reshape(GROUPS, width).max(0)
    else:
        peaks = scores
    if len(peaks) < k or not k:
        return -np.inf
    return float(np.partition(peaks, len(peaks) - k)[len(peaks) - k])


def best_of_row(scores: Scores, k: int) -> tuple[Columns, Scores]:
    """The k columns with the highest scores, best first, and their scores; fewer if fewer are left.

    scores: (n_items,) float32, -inf for what must not be listed. Equal scores are in the order of
    their columns. Raises DataError for NaN and +inf.

    >>> best_of_row(np.array([0.5, 2, -np.inf, 2], dtype=np.float32), 3)[0].tolist()
    [1, 3, 0]
    """
    if not len(scores):
        return np.empty(0, dtype=np.int64), scores
    highest = scores.max()
    if not highest < np.inf:
        raise bad_numbers(torch.from_numpy(scores)[None])
    least = max(LOWEST, kth_highest(scores, k))
    columns = np.flatnonzero(scores >= np.float32(least))
    found = scores[columns]
    order = np.argsort(-found, kind="stable")[:k]
    return columns[order], found[order]
