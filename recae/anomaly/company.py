"""Company: whether the same few people turn up wherever a user has been."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from recae.data.csr import row_numbers
from recae.progress import bar

LEVELS = 20
"""Ratings with more distinct values than this are cut into ten classes of the same size."""
SPARE = 4
"""Items that every profile is taken to have beside its own, shared with nobody."""
CELLS = 1 << 24
"""Pairs of users held at once, at most: 2^24 take some 200 MB."""


class Company:
    """How often two of a user's ratings, drawn at random, lead to the same other person.

    Draw two ratings of user u, and for each of them somebody else who gave the same item the same
    rating; c_u is the chance that it is one person:

        c_u = sum over i != j of u's ratings, and over v, of r_iv r_jv / ((n_u + 4)(n_u + 3)),

    with r_iv = 1 / (others who gave that rating) for those who did and 0 for all else. Users with
    common tastes meet many people once, so that c_u is about one in the number of users; those who
    work through a list together meet each other again and again. The four spare items keep short
    profiles from being convicted by one coincidence.
    """

    def __init__(self, matrix: Any, rated: bool) -> None:
        columns = matrix.indices.astype(np.int64)
        if rated:
            level = _levels(matrix.data)
            columns = columns * (int(level.max(initial=0)) + 1) + level
        distinct, columns = np.unique(columns, return_inverse=True)
        counts = np.bincount(columns, minlength=len(distinct))
        self.others = counts[columns] - 1  # (nnz,)
        shape = (matrix.shape[0], len(distinct))
        reach = np.where(self.others > 0, 1 / np.maximum(self.others, 1), 0.0)
        self.reach: Any = sp.csr_matrix((reach, columns, matrix.indptr), shape=shape)
        self.visits: Any = sp.csr_matrix((np.ones(matrix.nnz), columns, matrix.indptr), shape=shape)

    def chances(self, progress: bool | None) -> np.ndarray:
        """c_u of every user, (n_users,) float64.

        Costs the sum over items and ratings of the square of how many gave it.
        """
        n_users = self.reach.shape[0]
        rows = row_numbers(self.reach.indptr)
        alone = np.bincount(rows, self.reach.data, minlength=n_users)  # i = j, and what v = u is
        meetings, step = np.empty(n_users), max(1, CELLS // max(n_users, 1))
        people = self.visits.T.tocsr()
        with bar(n_users, "comparing users", "user", progress) as shown:
            for start in range(0, n_users, step):
                shared = self.reach[start : start + step] @ people  # (users, n_users) sparse
                meetings[start : start + step] = np.asarray(shared.power(2).sum(axis=1)).ravel()
                shown.update(shared.shape[0])
        sizes = np.diff(self.reach.indptr)
        pairs = (sizes + SPARE) * (sizes + SPARE - 1)
        chances: np.ndarray = np.maximum(meetings - alone**2 - alone, 0) / pairs
        return chances

    def parts(self, user: int) -> np.ndarray:
        """How much each of a user's ratings adds to c_u, before it is divided; (n_u,) >= 0."""
        own = slice(self.reach.indptr[user], self.reach.indptr[user + 1])
        reach = self.reach.data[own]
        shared = (self.reach[user] @ self.visits.T).toarray().ravel()  # (n_users,)
        shared[user] = 0
        met = (self.visits[:, self.reach.indices[own]].T @ shared).ravel()
        parts: np.ndarray = np.maximum(reach * (met - reach * self.others[own]), 0)
        return parts


def _levels(ratings: np.ndarray) -> np.ndarray:
    distinct, level = np.unique(ratings, return_inverse=True)
    if len(distinct) <= LEVELS:
        return level
    edges = np.quantile(ratings, np.linspace(0, 1, 11)[1:-1])
    return np.searchsorted(edges, ratings)
