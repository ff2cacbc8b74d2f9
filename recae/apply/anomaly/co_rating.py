"""Co-rating features: do the same few users rate the same items, and do their ratings agree?"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from recae.system.machine import row_batches
from recae.system.progress import bar

LEVELS = 20
"""Ratings with more distinct values than this are binned into ten classes of equal size."""
SPARE = 4
"""Items added to the length of every profile, which no other user shares."""
CELLS = 1 << 22
"""Largest number of pairs of users held at once: 2^22 take some 300 MB."""


class CoRating:
    """The chance that two random ratings of a user lead to the same other user, who agrees.

    Draw a rating of user u, of item i, and then another user who rated i: each is met with
    probability 1 / (other raters of i). A meeting counts 1 with a user who gave the same rating r,
    and -f_r / (1 - f_r) with any other user. f_r is the share of r among all ratings, so agreement
    by chance sums to 0 (as in Cohen's kappa, 1960). With s_iv the count of a meeting,

        c_u = sum over v of max(sum over i != j of s_iv s_jv, 0) / ((n_u + 4)(n_u + 3)),

    over the users v with sum_i s_iv > 0. Users with common tastes meet many users and often
    disagree: c_u is near 0. Users who work through the same list meet each other again and again,
    and agree. The four added items keep a single coincidence from deciding on a short profile.
    Without ratings every meeting counts 1.
    """

    def __init__(self, matrix: Any, rated: bool) -> None:
        items, n_items = matrix.indices.astype(np.int64), matrix.shape[1]
        level = _levels(matrix.data) if rated else np.zeros(matrix.nnz, dtype=np.int64)
        share = np.bincount(level) / max(matrix.nnz, 1)
        odds = (share / (1 - share))[level] if len(share) > 1 else np.zeros(matrix.nnz)
        raters = np.bincount(items, minlength=n_items)[items]
        reach = np.where(raters > 1, 1 / np.maximum(raters - 1, 1), 0.0)
        distinct, same = np.unique(items * len(share) + level, return_inverse=True)
        self.also = np.bincount(same, minlength=len(distinct))[same] - 1  # (nnz,)
        self.n_items = n_items
        # A column for each item, then one for each item and rating: a meeting adds -odds in the
        # first, and 1 + odds in the second where both ratings are the same.
        shape = (matrix.shape[0], n_items + len(distinct))
        columns = np.concatenate([items[:, None], n_items + same[:, None]], axis=1).ravel()
        indptr = 2 * matrix.indptr.astype(np.int64)

        def stacked(of_item: np.ndarray, of_rating: np.ndarray) -> Any:
            values = np.stack([of_item, of_rating], axis=1).ravel()
            return sp.csr_matrix((values, columns, indptr), shape=shape)

        ones = np.ones(matrix.nnz)
        self.there = stacked(ones, ones)
        self.counts = stacked(-reach * odds, reach * (1 + odds))
        self.squares = stacked((reach * odds) ** 2, reach**2 - (reach * odds) ** 2)

    def chances(self, progress: bool | None) -> np.ndarray:
        """c_u of every user, (n_users,) float64.

        Time: the sum over the items of the squared number of raters.
        """
        n_users = self.there.shape[0]
        found = np.empty(n_users)
        people = self.there.T.tocsr()
        with bar(n_users, "comparing users", "user", progress) as progress_bar:
            for rows in row_batches(n_users, n_users, CELLS):
                counts = (self.counts[rows] @ people).tocoo()  # (users, n_users)
                squares = (self.squares[rows] @ people).tocsr()
                met = (counts.data > 1e-12) & (counts.col != counts.row + rows.start)
                row, column = counts.row[met], counts.col[met]
                pairs = counts.data[met] ** 2 - np.asarray(squares[row, column]).ravel()
                found[rows] = np.bincount(row, np.maximum(pairs, 0), minlength=counts.shape[0])
                progress_bar.update(counts.shape[0])
        sizes = np.diff(self.there.indptr) // 2
        return np.asarray(found / ((sizes + SPARE) * (sizes + SPARE - 1)))

    def parts(self, user: int) -> np.ndarray:
        """The contribution of each of a user's ratings to c_u, before the division; (n_u,)."""
        own = slice(self.there.indptr[user], self.there.indptr[user + 1])
        columns, counts = self.there.indices[own], self.counts.data[own]
        meetings = (self.counts[user] @ self.there.T).toarray().ravel()  # (n_users,)
        pairs = meetings**2 - (self.squares[user] @ self.there.T).toarray().ravel()
        met = (meetings > 1e-12) & (pairs > 0)
        met[user] = False
        people = np.flatnonzero(met)
        # The count of each rating with each of them, (people, n_u): two columns are one rating.
        each = self.there[people][:, columns].multiply(counts).toarray()
        each = each[:, 0::2] + each[:, 1::2]
        return np.asarray((each * (meetings[people][:, None] - each)).sum(axis=0))


def _levels(ratings: np.ndarray) -> np.ndarray:
    distinct, level = np.unique(ratings, return_inverse=True)
    if len(distinct) > LEVELS:
        edges = np.quantile(ratings, np.linspace(0, 1, 11)[1:-1])
        level = np.unique(np.searchsorted(edges, ratings, side="right"), return_inverse=True)[1]
    return level.astype(np.int64)
