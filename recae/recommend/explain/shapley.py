"""Shapley values of any model: what items add to a score, on average over orders of the history."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from math import factorial
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from recae.nn.products import BlockScores
from recae.recommend.explain.parts import Padded, Parts
from recae.rng import numpy_generator

HISTORIES = 2048
"""Parts of a history that are scored, about; a long history takes two orders, whatever its length.
"""

ALL_ORDERS = 5
"""Items of a history up to which all orders are taken."""

CELLS = 1 << 22
"""Scores held at a time."""

EXACT = "Shapley values over all orders of the history"
SAMPLED = "Shapley values over sampled orders of the history"

ScoreRows = Callable[[Any], Tensor | BlockScores]


def shapley(score_rows: ScoreRows, matrix: Any, columns: Tensor) -> Parts:
    """The Shapley values of the items of CSR histories for the scores of items, (rows, asked).

    The value of an item is what it adds to the score when it comes to the items before it, on
    average over orders of the history: all of them for at most 5 items, otherwise a sample, each
    order with its reverse. In every order the additions sum to score - score of an empty history.
    Shapley 1953; Strumbelj & Kononenko, JMLR 2010; reversed orders: Mitchell et al., JMLR 2022.

    A score of -inf counts as the lowest finite one of the item among the parts of its history.
    """
    some = Padded.of(matrix)
    out = torch.zeros(*some.items.shape, columns.shape[1], dtype=torch.float64)
    baseline = torch.zeros(columns.shape, dtype=torch.float64)
    sampled = False
    for row, own in enumerate(columns):
        history = matrix[row]
        n = history.nnz
        orders = _orders(n)
        sampled |= len(orders) < factorial(min(n, ALL_ORDERS + 1))
        scores = _scores(score_rows, history, orders, own)  # (orders, n + 1, asked)
        added = np.diff(scores, axis=1)
        mean = np.zeros((n, len(own)))
        np.add.at(mean, orders.reshape(-1), added.reshape(-1, len(own)))
        out[row, :n] = torch.from_numpy(mean / len(orders))
        baseline[row] = torch.from_numpy(scores[0, 0])
    return Parts(out, baseline, SAMPLED if sampled else EXACT)


def _orders(n: int) -> np.ndarray:
    """Orders of n items, (orders, n): all, or pairs of one drawn and its reverse."""
    if n <= ALL_ORDERS:
        return np.array([*permutations(range(n))], dtype=np.int64).reshape(-1, n)
    generator = numpy_generator(n)  # the same history is explained the same way each time
    drawn = generator.permuted(np.tile(np.arange(n), (max(HISTORIES // (2 * n), 1), 1)), axis=1)
    return np.concatenate([drawn, drawn[:, ::-1]])


def _scores(score_rows: ScoreRows, history: Any, orders: np.ndarray, own: Tensor) -> np.ndarray:
    """Scores of the empty history and of each beginning of each order, (orders, n + 1, asked)."""
    n, n_items = history.nnz, history.shape[1]
    out = np.empty((len(orders) * (n + 1), len(own)))
    place = np.argsort(orders, axis=1)  # of each item in each order
    step = max(CELLS // n_items, 1)
    for start in range(0, len(out), step):
        rows = np.arange(start, min(start + step, len(out)))
        within = place[rows // (n + 1)] < (rows % (n + 1))[:, None]  # (rows, n)
        starts = np.append(0, np.cumsum(within.sum(1)))
        entries = np.nonzero(within)[1]
        cells = history.data[entries], history.indices[entries], starts
        found = score_rows(sp.csr_matrix(cells, shape=(len(rows), n_items)))
        scores = found if isinstance(found, Tensor) else found.dense()
        out[rows] = scores[:, own.to(scores.device)].double().cpu().numpy()
    lowest = np.where(np.isfinite(out), out, np.inf).min(0)
    lowest[~np.isfinite(lowest)] = 0
    return np.where(np.isfinite(out), out, lowest).reshape(len(orders), n + 1, len(own))
