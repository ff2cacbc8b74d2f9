"""Privacy: how near synthetic users are to real ones, and who can be told to be trained on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from recae.apply.generate.marginals import middle_ranks
from recae.data.splits.twins import equal_partners, similar_partners

FloatArray = npt.NDArray[np.float64]

Z = 1.959963984540054
"""The 0.975 quantile of the standard normal."""
CELLS = 1 << 23
"""Similarities held at once."""


def nearest(users: Any, others: Any, on_rows: Any = lambda rows: None) -> FloatArray:
    """The Jaccard similarity of each user to the most similar of the others, (users,).

    users, others: CSR of ones over the same items. |A and B| / |A or B|: 1 for equal sets, 0 for
    nothing in common. Sparse products, in blocks of users near 2^23 cells.
    """
    found = np.zeros(users.shape[0])
    sizes, theirs = (np.diff(part.indptr).astype(np.float32) for part in (users, others))
    columns = sp.csr_matrix(others.T).astype(np.float32)
    step = max(CELLS // max(others.shape[0], 1), 1)
    for start in range(0, len(found), step):
        rows = slice(start, start + step)
        shared = (users[rows].astype(np.float32) @ columns).toarray()  # (block, others)
        either = sizes[rows, None] + theirs - shared
        np.divide(shared, either, out=shared, where=either > 0)
        found[rows] = shared.max(axis=1, initial=0)
        on_rows(len(shared))
    return found


def copies(users: Any, training: Any) -> tuple[float, float]:
    """Shares of users with exactly, and nearly or exactly, the items of some training user.

    Exactly: the same set, of 5 or more items. Nearly: a Jaccard similarity of 0.8 or more, of sets
    with 10 or more; by MinHash, which misses some 2 in 100. Smaller sets are equal by accident.
    """
    sets = sp.vstack([training, users], format="csr")
    trained = np.arange(sets.shape[0]) < training.shape[0]
    exact = equal_partners(sets, trained)[~trained] >= 0
    near = similar_partners(sets, trained)[~trained] >= 0
    return float(exact.mean()), float((exact | near).mean())


@dataclass(frozen=True)
class Attack:
    """How well an attack tells members from non-members.

    auc: how often a member scores higher than a non-member, ties half: 0.5 for a blind guess; low,
    high: its 95 % interval; members, others: how many of each were tried.
    """

    auc: float
    low: float
    high: float
    members: int
    others: int


def attack(members: FloatArray, others: FloatArray) -> Attack:
    """The attack whose scores, higher for a suspected member, these are: (members,), (others,).

    The interval is that of DeLong, DeLong & Clarke-Pearson (Biometrics 1988); with one of a kind,
    of whose spread nothing is known, it is 0 to 1.
    """
    m, n = len(members), len(others)
    ranks = middle_ranks(np.concatenate([members, others]))
    # How many of the other kind each one beats, ties half: the ranks among all less those among
    # one's own kind.
    beaten = (ranks[:m] - middle_ranks(members)) / n
    beating = 1 - (ranks[m:] - middle_ranks(others)) / m
    auc = float(beaten.mean())
    if min(m, n) < 2:
        return Attack(auc, 0.0, 1.0, m, n)
    half = Z * math.sqrt(beaten.var(ddof=1) / m + beating.var(ddof=1) / n)
    return Attack(auc, max(auc - half, 0.0), min(auc + half, 1.0), m, n)


def own_fit(weights: Any, matrix: Any) -> FloatArray:
    """How well a linear item-item model foretells each history from its other items, (users,).

    weights: (n_items, n_items), the diagonal zero, so that an item's score comes from the others of
    the history alone; matrix: CSR of ones. The mean over the items of a history; 0 for none.
    """
    found = np.zeros(matrix.shape[0])
    for start in range(0, len(found), 512):
        some = matrix[start : start + 512]
        scores = np.asarray(some @ weights)  # (block, n_items)
        rows = np.repeat(np.arange(some.shape[0]), np.diff(some.indptr))
        sums = np.bincount(rows, weights=scores[rows, some.indices], minlength=some.shape[0])
        found[start : start + 512] = sums / np.maximum(np.diff(some.indptr), 1)
    return found
