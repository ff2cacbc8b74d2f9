"""The reconstruction of hidden interactions reads the rows that are asked for."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from recae.apply.anomaly.reconstruction import _read
from recae.nn import Batch, DenseScores


class Counts(torch.nn.Module):
    """Scores an item by its column, plus 100 for each visible interaction of the user."""

    def forward(self, batch: Batch) -> Any:
        lengths: Any = batch.input
        columns = torch.arange(float(lengths.n_columns))
        return DenseScores(100 * lengths.lengths[:, None] + columns), None


def test_hidden_interactions_are_scored_from_the_visible_ones() -> None:
    matrix = sp.csr_matrix(np.array([[1, 1, 0], [0, 0, 0], [1, 1, 1.0]], dtype=np.float32))
    hidden = np.array([False, True, True, False, True])
    users = np.array([2, 0])
    net: Any = Counts()
    ((asked, scores, sums),) = _read(net, matrix, users, hidden, lambda scores: scores)
    assert asked.tolist() == [2, 4, 1]
    assert scores.tolist() == [100, 102, 101]
    assert sums.tolist() == [200, 202, 204]


def test_a_batch_takes_the_memory_of_its_users() -> None:
    matrix = sp.csr_matrix(np.ones((100_000, 20), dtype=np.float32))  # 16 MB as one number each
    hidden = np.zeros(matrix.nnz, dtype=bool)
    tracemalloc.start()
    try:
        net: Any = Counts()
        for _ in _read(net, matrix, np.arange(10), hidden, lambda scores: scores):
            pass
        assert tracemalloc.get_traced_memory()[1] < 2e6
    finally:
        tracemalloc.stop()
