"""Cells of sparse tables, and histories side by side."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch

from recae.recommend.explain.parts import Padded, cells_of


def test_cells_are_those_of_the_dense_table() -> None:
    generator = np.random.default_rng(1)
    dense = np.where(generator.random((7, 11)) < 0.4, generator.random((7, 11)), 0)
    rows = torch.tensor([[3, 0, -1], [6, 6, 2]])
    columns = torch.tensor([[10, 0, 4, -1], [0, 1, 2, 10]])
    found = cells_of(sp.csr_matrix(dense), rows, columns).numpy()
    for group in range(2):
        for a, row in enumerate(rows[group].tolist()):
            for b, column in enumerate(columns[group].tolist()):
                expected = 0 if min(row, column) < 0 else dense[row, column]
                assert found[group, a, b] == expected


def test_histories_side_by_side() -> None:
    matrix = sp.csr_matrix(np.array([[0, 2, 0, 3], [0, 0, 0, 0], [5, 0, 0, 0]], dtype=float))
    some = Padded.of(matrix)
    assert some.items.tolist() == [[1, 3], [-1, -1], [0, -1]]
    assert some.values.tolist() == [[2, 3], [0, 0], [5, 0]]
    entries = torch.tensor([1.0, 2.0, 3.0])
    assert some.spread(entries).tolist() == [[1, 2], [0, 0], [3, 0]]
    assert Padded.of(matrix[:0]).items.shape == (0, 1)
