"""What the users of a map like most, by the labels of their items."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from recae.apply.maps.about import TITLE, about_points
from recae.apply.maps.colours import Groups, colour_of, grouped
from recae.data import Interactions
from recae.errors import DataError

MOST = 64
"""Labels that are looked at: those with the most interactions."""


def taste(history: Interactions, titles: Any) -> dict[str, Groups]:
    """Of each user the label that stands out, as a colour named like the column of the labels.

    With p the share of all interactions that are with items of a label, and m of a user's n: the
    largest (m - n p) / sqrt(n p (1 - p)) among the labels with m > 0; users whose items have no
    label have none. Raises DataError for titles without a column of labels.
    """
    frame = about_points(titles, history.items)
    for name in (str(name) for name in frame.columns if name != TITLE):
        labels = colour_of(frame[name], name)
        if isinstance(labels, Groups) and labels.names:
            return {name: _standing_out(history, labels)}
    raise DataError(
        "titles have no column of labels, such as genres: users cannot be coloured by them"
    )


def _standing_out(history: Interactions, labels: Groups) -> Groups:
    items = sp.csr_matrix(history.matrix, copy=True)
    items.data = np.ones_like(items.data)
    weight = np.asarray(items.sum(axis=0)).ravel() @ labels.labels
    often = np.sort(np.argsort(-weight, kind="stable")[:MOST])
    had = (items @ labels.labels[:, often]).toarray().astype(np.float64)  # (n_users, labels)
    length = np.diff(items.indptr)[:, None]
    share = weight[often] / max(items.nnz, 1)
    spread = np.sqrt(length * share * (1 - share))
    with np.errstate(invalid="ignore", divide="ignore"):
        beyond = np.where(spread > 0, (had - length * share) / spread, 0)
    beyond[had == 0] = -np.inf  # what a history does not have at all cannot stand out in it
    users = np.flatnonzero((had > 0).any(axis=1))
    best = beyond[users].argmax(axis=1)
    one_each = np.ones(len(users), dtype=np.int64), (users, best)
    found = sp.csr_matrix(one_each, shape=(len(had), len(often)))
    return grouped(found, [labels.names[place] for place in often])
