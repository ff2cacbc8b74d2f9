"""Random interactions over as many items as wanted, for measuring time."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from recae import Interactions


def planted(n_items: int, seed: int = 0) -> Interactions:
    """5,000 random users, with items drawn by a falling popularity."""
    generator = np.random.default_rng(seed)
    chances = 1 / np.arange(10, n_items + 10)
    rows = np.repeat(np.arange(5000), 60)
    columns = generator.choice(n_items, len(rows), p=chances / chances.sum())
    columns[:n_items] = np.arange(n_items)[: len(columns)]  # every item occurs
    matrix = sp.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)))
    matrix.data[:] = 1
    return Interactions.from_csr(matrix)
