"""How good a map is: whether its neighbours are true ones, and whether they belong together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from recae.apply.maps.neighbours import Floats, blocks, nearest, squared_distances
from recae.rng import numpy_generator

K = 10
"""Neighbours that count, of every point."""
SAMPLE = 2000
"""Points that trustworthiness is the mean over, where there are more."""


class Coherence(NamedTuple):
    """The share of neighbours on a map that share a label, and that of all pairs.

    >>> recae.apply.maps.Coherence(share=0.8, chance=0.3).share
    0.8
    """

    share: float
    chance: float


def trustworthiness(vectors: Floats, positions: Floats, k: int, seed: int = 0) -> float:
    """1 - 2 / (n k (2 n - 3 k - 1)) * sum_i sum_j max(0, r(i, j) - k), over the k nearest j of each
    i on the map, r(i, j) being the rank of j by the distance from i between vectors.

    1: all neighbours on the map are true ones; about 0.5: they are anybody. Venna & Kaski,
    "Neighborhood preservation in nonlinear projection methods", ICANN 2001. k < n / 2. Of more than
    SAMPLE points it is the mean over so many, drawn with the seed.
    """
    n = len(vectors)
    rows = np.arange(n)
    if n > SAMPLE:
        rows = np.sort(numpy_generator(seed).choice(n, SAMPLE, replace=False))
    norms = np.einsum("nd,nd->n", vectors, vectors)
    flat = np.einsum("nd,nd->n", positions, positions)
    excess = 0
    for part in blocks(len(rows), n):
        some = rows[part]
        near = np.argpartition(squared_distances(positions, flat, some), k - 1, axis=1)[:, :k]
        apart = squared_distances(vectors, norms, some)
        limit = np.take_along_axis(apart, near, axis=1)
        for j in range(k):
            rank = (apart < limit[:, j, None]).sum(axis=1) + 1
            excess += int(np.maximum(rank - k, 0).sum())
    return 1 - 2 * excess / (len(rows) * k * (2 * n - 3 * k - 1))


def coherence(labels: sp.csr_matrix, positions: Floats, k: int) -> Coherence:
    """How many of the k nearest on the map have a label in common with a point, and how many of all
    others have; labels: (n, labels), of ones. Points without a label are left out."""
    known = np.flatnonzero(np.diff(labels.indptr))
    labels = sp.csr_matrix(labels[known], dtype=np.int64)
    near = nearest(positions[known], k)[0]
    shared = [np.asarray(labels.multiply(labels[near[:, j]]).sum(axis=1)) > 0 for j in range(k)]
    return Coherence(float(np.mean(shared)), _chance(labels))


def _chance(labels: sp.csr_matrix) -> float:
    """The share of all pairs of rows that have a label in common, by their distinct rows."""
    n = labels.shape[0]
    dense, counts = _distinct(labels)
    together = 0
    for part in blocks(dense.shape[0], dense.shape[0]):
        meet = (dense[part] @ dense.T).toarray() > 0
        together += int(counts[part] @ (meet @ counts))
    return (together - n) / (n * (n - 1))


def _distinct(labels: sp.csr_matrix) -> tuple[sp.csr_matrix, np.ndarray]:
    """The distinct rows, and how often each stands there."""
    # A random 62-bit number for each label: their sums tell sets of labels apart.
    numbers = numpy_generator(0).integers(1, 1 << 62, size=labels.shape[1])
    _, first, counts = np.unique(labels @ numbers, return_index=True, return_counts=True)
    return labels[first], counts
