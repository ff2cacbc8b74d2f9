"""Which points of a map are worth a name: the important ones, spread over it."""

from __future__ import annotations

import numpy as np

from recae.maps.neighbours import Floats, Places

APART = 0.7
"""Chosen points are at least so far apart, in sides of the square that each would have alone."""
CANDIDATES = 4000
"""Points looked at, the most important first."""


def chosen(positions: Floats, importance: Floats, most: int) -> Places:
    """At most so many places, the most important first, ties in their order, none near another."""
    order = np.argsort(-importance, kind="stable")
    if importance.max() == importance.min() and len(order) > CANDIDATES:
        order = order[:: len(order) // CANDIDATES]  # of equals, some from everywhere
    order = order[:CANDIDATES]
    spans = positions.max(axis=0) - positions.min(axis=0)
    area = float(np.maximum(spans, spans.max() / 100).prod())
    least = APART**2 * area / max(most, 1)
    found: list[int] = []
    free = np.ones(len(order), dtype=bool)
    while free.any() and len(found) < most:
        at = int(free.argmax())
        found.append(int(order[at]))
        apart = ((positions[order] - positions[order[at]]) ** 2).sum(axis=1)
        free &= apart > least
        free[at] = False
    return np.array(found, dtype=np.int64)
