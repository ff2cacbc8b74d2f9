"""SparseEASE: EASE restricted to the nearest neighbours of each item."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from recae import training
from recae.data import Interactions
from recae.data.splits import Fold
from recae.errors import CapacityError
from recae.estimators.params import estimator, param
from recae.models.linear._scaled import ScaledRecommender
from recae.models.linear._sparse import SparseLinear
from recae.recommend.sparse import nearest_columns
from recae.system.machine import total_memory
from recae.system.progress import bar

SPARE = 0.5
"""Share of the memory that co-occurrences may take."""

BLOCK = 256
"""Items solved at a time."""


@estimator
class SparseEASE(SparseLinear, ScaledRecommender):
    """A linear autoencoder in which few items predict each item.

    For every item j, B_Nj = argmin |X_j - X_N b|^2 + l2 |b|^2, with N the `neighbours` items whose
    columns have the largest cosines with X_j: (X_N'X_N + l2 I)^-1 X_N'X_j. All other entries of B
    are zero, its diagonal too; items without a common user are no neighbours. With all items for
    neighbours it is EASE.

    After Steck, "Markov Random Fields for Collaborative Filtering", NeurIPS 2019, which inverts
    blocks of a thresholded X'X; here each column is solved for exactly on its own neighbours, found
    by `implicit`. For large catalogues of items with few users each. Costs items x neighbours^3 / 3
    operations, the co-occurrences of items (about the sum over users of the square of their items)
    in memory while fitting, and items x neighbours numbers after. Runs on the CPU.

    >>> recae.SparseEASE(l2=1.0).fit(data).recommend(0)["item_id"].tolist()
    [2, 3]
    """

    name = "sparse-ease"
    small = dict(relative_l2=1.0, neighbours=15, input_power=-0.1, output_power=0.1)

    neighbours: int = param(
        "items that predict an item, at most", default=100, low=1, usual=(20, 300)
    )
    l2: float = param("ridge; grows with the density of the data, tune it", default=50.0, above=0)

    def _fit(self, data: Interactions, validation: Fold | None, run: training.Run) -> None:
        """Solves EASE for each item among its nearest columns only, so that no matrix of all items
        is needed."""
        self._check_memory(data.matrix)
        rows = self._scaled(data)
        matrix = sp.vstack([part.astype(np.float64) for part in rows], format="csr")
        lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=0)).ravel())
        unit = sp.csr_matrix(matrix @ sp.diags(1 / np.where(lengths > 0, lengths, 1)))
        l2 = self._l2(lengths**2)
        support = nearest_columns(unit, self.neighbours)  # row j: N
        gram = sp.csr_matrix(matrix.T @ matrix)
        n, parts = data.n_items, []
        with bar(-(-n // BLOCK), type(self).__name__, "block", run.progress) as progress_bar:
            for start in range(0, n, BLOCK):
                items = range(start, min(start + BLOCK, n))
                parts.append(self._solve(gram, support, items, l2))
                progress_bar.update()
        solved = np.concatenate(parts).astype(np.float32)
        by_column = (solved, support.indices, support.indptr)
        solution: Any = sp.csr_matrix(sp.csr_matrix(by_column, shape=(n, n)).T)
        before, after = self._degree_factors(rows)
        if before is not None:
            solution = sp.diags(before) @ solution
        if after is not None:
            solution = solution @ sp.diags(after)
        self.weights_ = sp.csr_matrix(solution.astype(np.float32))

    def _check_memory(self, matrix: Any) -> None:
        n, needed = matrix.shape[1], cooccurrence_bytes(matrix)
        available = SPARE * total_memory()
        if needed > available:
            raise CapacityError(
                f"SparseEASE on {n:,} items may need {needed / 1e9:.1f} GB for co-occurrences, and "
                f"{available / 1e9:.1f} GB may be used: leave out users with very many items, or "
                "use ELSA"
            )

    def _solve(self, gram: Any, support: Any, items: range, l2: float) -> np.ndarray:
        """The entries of B for some items, in the order of their rows of `support`."""
        sizes = np.diff(support.indptr)[items.start : items.stop]
        width = max(int(sizes.max(initial=0)), 1)
        systems = np.tile(np.eye(width), (len(items), 1, 1))  # empty slots solve to zero
        rights = np.zeros((len(items), width))
        place = np.full(gram.shape[0], -1)
        for number, item in enumerate(items):
            near = support.indices[support.indptr[item] : support.indptr[item + 1]]
            place[near] = np.arange(len(near))
            rows = gram[near]
            row = np.repeat(np.arange(len(near)), np.diff(rows.indptr))
            column = place[rows.indices]
            inside = column >= 0
            block = np.zeros((len(near), len(near)))
            block[row[inside], column[inside]] = rows.data[inside]
            own = rows.indices == item
            rights[number, row[own]] = rows.data[own]
            block[np.diag_indices(len(near))] += l2
            systems[number, : len(near), : len(near)] = block
            place[near] = -1
        solved = torch.linalg.solve(torch.from_numpy(systems), torch.from_numpy(rights))
        filled = np.arange(width) < sizes[:, None]
        entries: np.ndarray = solved.numpy()[filled]
        return entries


def cooccurrence_bytes(matrix: Any) -> float:
    """Bytes of memory that the co-occurrences of a CSR may take, in two formats for a moment."""
    lengths = np.diff(matrix.indptr).astype(np.float64)
    return 28 * min(float((lengths**2).sum()), float(matrix.shape[1]) ** 2)
