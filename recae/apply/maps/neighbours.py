"""Exact nearest neighbours, a block of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from recae.system.progress import bar

CELLS = 1 << 24
"""Distances held at a time (128 MiB)."""
Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


def blocks(rows: int, n: int) -> Iterator[slice]:
    """Slices of rows whose distances to n points fit in CELLS."""
    step = max(CELLS // n, 1)
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def squared_distances(vectors: Floats, norms: Floats, rows: Places) -> Floats:
    """Squared distances of some rows to all, (rows, n), infinite to themselves.

    norms: the squared length of every vector, (n,).
    """
    some = vectors[rows]
    found = norms[rows, None] + norms - 2 * (some @ vectors.T)
    np.maximum(found, 0, out=found)
    found[np.arange(len(rows)), rows] = np.inf
    return found


def nearest(vectors: Floats, k: int, progress: bool | None = None) -> tuple[Places, Floats]:
    """The k nearest others of every row of (n, d) vectors, (n, k) places, and their squared
    distances, nearest first; k < n."""
    n = len(vectors)
    norms = np.einsum("nd,nd->n", vectors, vectors)
    places, distances = np.empty((n, k), dtype=np.int64), np.empty((n, k))
    with bar(n, "neighbours", "point", progress) as shown:
        for rows in blocks(n, n):
            found = squared_distances(vectors, norms, np.arange(rows.start, rows.stop))
            near = np.sort(np.argpartition(found, k - 1, axis=1)[:, :k], axis=1)
            apart = np.take_along_axis(found, near, axis=1)
            order = np.argsort(apart, axis=1, kind="stable")  # ties: the lower place first
            places[rows] = np.take_along_axis(near, order, axis=1)
            distances[rows] = np.take_along_axis(apart, order, axis=1)
            shown.update(rows.stop - rows.start)
    return places, distances


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
