"""Positions of points in the plane by PCA and t-SNE, and how well they keep neighbours."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from recae.rng import numpy_generator, random_kept
from recae.system.machine import row_batches
from recae.system.progress import bar

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]

K = 10
"""Neighbours of each point that the measures count."""
SAMPLE = 2000
"""Points over which trustworthiness is averaged, if there are more."""
PERPLEXITY = 30.0
TINY = 1e-6
"""Vectors whose largest number is below this or above its inverse are rescaled for t-SNE, which
computes in float32."""
ROWS = 1024
"""Distinct sets of labels compared at a time."""


def pca(vectors: Floats) -> tuple[Floats, Floats]:
    """Positions (n, 2) on the first two principal components of (n, d) vectors, and the shares of
    the variance that these explain, (2,).

    Each axis has the sign that makes its largest loading positive. With fewer than two components
    the rest are zeros.
    """
    with random_kept():
        from sklearn.decomposition import PCA

    model = PCA(min(2, *vectors.shape), svd_solver="full")
    with np.errstate(invalid="ignore"):  # vectors that are all equal have no variance to divide by
        positions = model.fit_transform(vectors)
    axes = model.components_  # (2, d)
    largest = np.abs(axes).argmax(axis=1)
    positions = positions * np.where(axes[np.arange(len(axes)), largest] < 0, -1, 1)
    total = float(np.square(vectors - model.mean_).sum())
    shares = np.square(positions).sum(axis=0) / max(total, 1e-300)
    missing = (0, 2 - len(axes))
    return np.pad(positions, ((0, 0), missing)), np.pad(shares, missing)


def tsne(vectors: Floats, seed: int, progress: bool | None = None) -> tuple[Floats, float]:
    """Positions (n, 2) by t-SNE, and the divergence that they reach, in nats.

    van der Maaten & Hinton, "Visualizing data using t-SNE", JMLR 9, 2008, in scikit-learn's
    Barnes-Hut version. Starts from the first two principal components (Kobak & Berens, Nature
    Communications 10, 2019). One thread, so that the same seed gives the same map. Time: about
    n log n.
    """
    with random_kept():
        from sklearn.manifold import TSNE

    n = len(vectors)
    largest = float(np.abs(vectors).max())
    if not TINY < largest < 1 / TINY:  # squares of float32 would be 0 or infinite
        vectors = vectors / max(largest, 1e-300)
    start = pca(vectors)[0]
    start = start / max(float(start[:, 0].std()), 1e-12) * 1e-4
    start += numpy_generator(seed).normal(scale=1e-6, size=start.shape)  # separates equal vectors
    model = TSNE(
        perplexity=min(PERPLEXITY, (n - 1) / 3), init=start.astype(np.float32), random_state=0
    )
    with bar(1, "t-SNE", "map", progress) as progress_bar, threadpool_limits(1):
        points = model.fit_transform(np.asarray(vectors, dtype=np.float32))
        progress_bar.update()
    return points.astype(np.float64), float(model.kl_divergence_)


def nearest(vectors: Floats, k: int) -> Places:
    """The k nearest other rows of each row of (n, d) vectors, nearest first: (n, k), k < n."""
    with random_kept():
        from sklearn.neighbors import NearestNeighbors

    model = NearestNeighbors(n_neighbors=k).fit(vectors)
    return np.asarray(model.kneighbors(return_distance=False).astype(np.int64))


class Coherence(NamedTuple):
    """The share of neighbours on a map that have a label in common, and the share of all pairs.

    >>> recae.apply.maps.Coherence(share=0.8, chance=0.3).share
    0.8
    """

    share: float
    chance: float


def trustworthiness(
    vectors: Floats, positions: Floats, k: int, seed: int = 0, *, sample: int = SAMPLE
) -> float:
    """1 - 2 / (n k (2 n - 3 k - 1)) * sum_i sum_j max(0, r(i, j) - k), over the k nearest j of each
    i on the map, where r(i, j) is the rank of j by the distance from i between vectors.

    1: all neighbours on the map are neighbours by vectors; about 0.5: the map is random. Venna &
    Kaski, "Neighborhood preservation in nonlinear projection methods", ICANN 2001. k < n / 2.
    scikit-learn's function computes the same from all n x n distances. This one averages over
    `sample` points drawn with the seed if there are more, so that large maps fit in memory.
    """
    with random_kept():
        from sklearn.metrics import pairwise_distances_chunked

    n = len(vectors)
    rows = np.arange(n)
    if n > sample:
        rows = np.sort(numpy_generator(seed).choice(n, sample, replace=False))
    near = nearest(positions, k)[rows]

    def excess(distances: Floats, start: int) -> Places:
        some = near[start : start + len(distances)]
        distances[np.arange(len(some)), rows[start : start + len(some)]] = np.inf
        limits = np.take_along_axis(distances, some, axis=1)
        ranks = [(distances < limits[:, j, None]).sum(axis=1) + 1 for j in range(k)]
        return np.asarray(sum(np.maximum(rank - k, 0) for rank in ranks))

    parts = pairwise_distances_chunked(vectors[rows], vectors, reduce_func=excess)
    return 1 - 2 * sum(int(part.sum()) for part in parts) / (len(rows) * k * (2 * n - 3 * k - 1))


def coherence(labels: sp.csr_matrix, positions: Floats, k: int) -> Coherence:
    """The share of the k nearest points on the map that have a label in common with a point, beside
    the share of all others that have. labels: (n, labels) of ones. Ignores points without a label.
    """
    known = np.flatnonzero(np.diff(labels.indptr))
    labels = sp.csr_matrix(labels[known], dtype=np.int64)
    near = nearest(positions[known], k)
    shared = [np.asarray(labels.multiply(labels[near[:, j]]).sum(axis=1)) > 0 for j in range(k)]
    # All pairs are counted on distinct sets of labels, which the sums of a random 62-bit number for
    # each label distinguish.
    numbers = numpy_generator(0).integers(1, 1 << 62, size=labels.shape[1])
    _, first, counts = np.unique(labels @ numbers, return_index=True, return_counts=True)
    distinct, pairs = labels[first], 0
    for part in row_batches(len(first), 1, ROWS):
        common = (distinct[part] @ distinct.T).toarray() > 0
        pairs += int(counts[part] @ (common @ counts))
    n = len(known)
    return Coherence(float(np.mean(shared)), (pairs - n) / (n * (n - 1)))
