"""How near users are to the nearest of some others."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from recae.splits.twins import equal_partners, similar_partners

FloatArray = npt.NDArray[np.float64]

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


def share_nearer(ours: FloatArray, theirs: FloatArray) -> float:
    """How often one drawn from `ours` is higher than one from `theirs`, ties half: 0.5 if alike."""
    ordered = np.sort(theirs)
    below = np.searchsorted(ordered, ours, side="left")
    to = np.searchsorted(ordered, ours, side="right")
    return float((below + to).mean() / 2 / len(theirs))


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
