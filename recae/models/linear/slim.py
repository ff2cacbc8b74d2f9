"""SLIM: a sparse linear autoencoder with non-negative weights, by elastic nets."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from recae import training
from recae.data import Interactions
from recae.data.nonnegative import nonnegative
from recae.data.splits import Fold
from recae.errors import TrainingError
from recae.estimators.params import estimator, param
from recae.models.linear._gram import gram_matrix
from recae.models.linear._sparse import SparseLinear
from recae.recommend.weights import weighted
from recae.system.progress import bar
from recae.system.threads import in_threads

BLOCK, CELLS = 128, 1 << 23
"""Items solved at a time in a thread, and the most numbers of a matrix that is made for them."""

ADDED = 64
"""Items that an item may gain before its weights are solved for again, or as many as it has."""

STEP = 1e-6
"""The weight up to which an item that is left out would grow alone."""

MOST = 1 << 26
"""Numbers of X'X up to which it is kept, 512 MiB; above, its parts are made when needed."""

SOLVED = 1 << 21
"""Numbers of the systems solved at a time: 16 MiB."""


@estimator
class SLIM(SparseLinear):
    """A linear autoencoder of few positive weights, which may not use an item to explain itself.

    B = argmin |X - X B|^2 / 2 + l2 |B|^2 / 2 + l1 sum B_ij, subject to B >= 0 and diag(B) = 0: an
    elastic net for every item.

    Ning & Karypis, "SLIM: Sparse Linear Methods for Top-N Recommender Systems", ICDM 2011, eq. 4.
    (scikit-learn's ElasticNet(positive=True, fit_intercept=False) has l1 = alpha l1_ratio n_users
    and l2 = alpha (1 - l1_ratio) n_users.) A strong baseline that is quick to score and to explain.
    Solved exactly: each item begins with the items of the steepest slopes and gains others until no
    slope is positive, the weights in between by block principal pivoting. Blocks of items are
    solved in all threads. Costs some interactions x items + items x neighbours^3 operations a
    round, of which 3 to 6 are needed, with as many neighbours as an item has positive weights; the
    smaller l1, the more. The memory holds the weights that are not
    zero, while fitting some 64 MiB in each thread, and X'X where that is small (up to 8,192 items).
    Runs on the CPU.

    >>> recae.SLIM(l1=0.1, l2=1.0).fit(data).recommend(0)["item_id"].tolist()
    [2, 3]
    """

    name = "slim"
    small = dict(l1=0.3, l2=2.0)

    l1: float = param(
        "weight of the sum of B; the larger, the fewer weights", default=1.0, low=0, usual=(0.1, 20)
    )
    l2: float = param(
        "ridge; grows with the density of the data, tune it", default=50.0, above=0, usual=(1, 5000)
    )

    def _fit(self, data: Interactions, validation: Fold | None, run: training.Run) -> None:
        """The elastic nets of the items, a block of columns for each thread. Raises TrainingError
        if one has no solution, or if all weights are zero."""
        rows = weighted(self, data.matrix, "both")
        width = min(max(CELLS // max(rows.shape), 1), BLOCK)
        starts = range(0, data.n_items, width)
        with bar(len(starts), type(self).__name__, "block", run.progress) as progress_bar:
            nets = _Nets(rows.astype(np.float64), self.l1, self.l2)

            def solve(start: int) -> Any:
                found = nets.weights(np.arange(start, min(start + width, data.n_items)))
                progress_bar.update()
                return found

            by_column = sp.vstack(in_threads(solve, starts), format="csr")
        if not np.isfinite(by_column.data).all():
            raise TrainingError(
                f"the elastic nets have no solution at l2={self.l2}: raise l2",
                parameter="l2",
                value=self.l2,
            )
        self._keep(by_column, data, self.l1)


class _Nets:
    """The elastic nets of all items."""

    def __init__(self, rows: Any, l1: float, l2: float) -> None:
        self.rows, self.columns, self.l1, self.l2 = rows, rows.T.tocsr(), l1, l2
        self.curvature = np.asarray(rows.multiply(rows).sum(axis=0)).ravel() + l2  # (n_items,)
        self.gram: np.ndarray | None = None
        if rows.shape[1] ** 2 <= MOST:
            self.gram = gram_matrix([rows], rows.shape[1], np.dtype(np.float64))

    def weights(self, items: np.ndarray) -> Any:
        """The columns of B of some items, as rows: CSR (items, n_items)."""
        slopes = (self.columns[items] @ self.rows).toarray()  # X_j'X, (items, n_items)
        slopes -= self.l1
        slopes[np.arange(len(items)), items] = -np.inf
        at_zero, left = slopes, np.arange(len(items))
        known: Any = sp.csr_matrix(slopes.shape)
        solved, order = [], []
        while len(left):
            chosen = self._gained(slopes, known)
            grows = np.diff(chosen.indptr) > np.diff(known.indptr)
            solved.append(known[~grows])
            order.append(left[~grows])
            left, known, chosen = left[grows], known[grows], chosen[grows]
            if len(left):
                known = self._solve(at_zero[left], chosen)
                predicted = (self.rows @ known.T).toarray()  # (n_users, left)
                slopes = at_zero[left] - (self.columns @ predicted).T
        return sp.vstack(solved, format="csr")[np.argsort(np.concatenate(order))]

    def _gained(self, slopes: np.ndarray, known: Any) -> Any:
        """The items with a weight, and of the others those of which the objective falls most: CSR
        (items, n_items) of ones, of which the new ones are 0 in `known`."""
        gain = slopes / np.sqrt(self.curvature)
        gain[slopes <= STEP * self.curvature] = -np.inf
        gain[np.repeat(np.arange(len(gain)), np.diff(known.indptr)), known.indices] = -np.inf
        most = min(max(ADDED, int(np.diff(known.indptr).max(initial=0))), gain.shape[1])
        best, place = torch.from_numpy(gain).topk(most, dim=1)
        row, rank = np.nonzero(np.isfinite(best.numpy()))
        ones = np.ones(len(row))
        new = sp.csr_matrix((ones, (row, place.numpy()[row, rank])), shape=gain.shape)
        old = sp.csr_matrix((np.ones(known.nnz), known.indices, known.indptr), shape=gain.shape)
        return new + old

    def _solve(self, at_zero: np.ndarray, chosen: Any) -> Any:
        """The weights, given the items that may have one: CSR (items, n_items), positive ones."""
        n, sizes = chosen.shape[1], np.diff(chosen.indptr)
        values = np.zeros(chosen.nnz)
        order = np.argsort(-sizes, kind="stable")  # systems of like size are solved together
        start = 0
        while start < len(order):
            width = int(sizes[order[start]])
            some = order[start : start + max(SOLVED // width**2, 1)]
            start += len(some)
            filled = np.arange(width) < sizes[some, None]
            entries = (chosen.indptr[some, None] + np.arange(width))[filled]
            near = np.full((len(some), width), -1)
            near[filled] = chosen.indices[entries]
            rights = np.full(near.shape, -1.0)  # what fills a row up stays at zero
            rights[filled] = np.take_along_axis(at_zero[some], near, axis=1)[filled]
            systems, used = torch.from_numpy(self._systems(near)), torch.from_numpy(filled)
            found = nonnegative(systems, torch.from_numpy(rights), used)
            values[entries] = found.numpy()[filled]
        weights: Any = sp.csr_matrix((values, chosen.indices, chosen.indptr), shape=(len(sizes), n))
        weights.eliminate_zeros()
        return weights

    def _systems(self, near: np.ndarray) -> np.ndarray:
        """X_N'X_N + l2 I for the items N of each row, (rows, width, width); near: (rows, width),
        -1 behind the last one."""
        if self.gram is not None:
            systems: np.ndarray = self.gram[near[:, :, None], near[:, None, :]]
            systems *= (near >= 0)[:, :, None] & (near >= 0)[:, None, :]
        else:
            systems = np.zeros((*near.shape, near.shape[1]))
            for row, items in enumerate(near):
                x = self.columns[items[items >= 0]]
                systems[row, : x.shape[0], : x.shape[0]] = (x @ x.T).toarray()
        systems[:, range(near.shape[1]), range(near.shape[1])] += self.l2
        return systems
