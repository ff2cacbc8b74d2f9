"""Notices that a model was fitted on the targets that it is judged by."""

from __future__ import annotations

import numpy as np

from recae.data import Interactions
from recae.data.csr import cells
from recae.data.splits import Fold
from recae.errors import DataError, warn

SHARE, FEW = 0.5, 10
"""Share and number of the targets that a model may have been fitted on without a warning: real data
repeat some pairs, and two matrices without ids number different users alike."""
ROWS = 1 << 16
"""Users whose interactions are compared with the targets at a time."""


def warn_if_seen(fitted: Interactions, fold: Fold, by_whom: str) -> bool:
    """Warns if more than half of the targets (and more than 10) are in `fitted`; whether it did.

    by_whom: the rest of the sentence. Users and items are matched by id; ids of another kind are
    those of others.
    """
    target = fold.target
    try:
        rows = fitted.users.lookup(target.users.ids)
        columns = target.items.lookup(fitted.items.ids)
    except DataError:  # text and integers
        return False
    shared, seen = np.flatnonzero(rows >= 0), 0
    for start in range(0, len(shared), ROWS):
        some = shared[start : start + ROWS]
        theirs = fitted.matrix[rows[some]]
        row = np.repeat(np.arange(len(some), dtype=np.int64), np.diff(theirs.indptr))
        place = columns[theirs.indices]
        known = row[place >= 0] * target.n_items + place[place >= 0]
        seen += len(np.intersect1d(cells(target.matrix[some]), known, assume_unique=True))
    if seen <= max(SHARE * target.nnz, FEW):
        return False
    warn(
        f"{seen:,} of the {target.nnz:,} targets are among the interactions that {by_whom}: fit on "
        "the training part of the split alone"
    )
    return True
