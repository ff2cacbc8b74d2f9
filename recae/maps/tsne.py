"""t-SNE: positions whose neighbours are the neighbours of high-dimensional vectors."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from recae.maps.neighbours import Floats, Places
from recae.maps.pca import pca
from recae.maps.repulsion import repulsion
from recae.progress import bar
from recae.rng import numpy_generator

PERPLEXITY = 30.0
EXAGGERATION, EARLY, STEPS = 12.0, 250, 750
"""Attraction is so many times stronger in the first EARLY of all STEPS."""


def neighbours_needed(n: int) -> int:
    """How many nearest neighbours of each of n points `tsne` wants: three times the perplexity."""
    return min(int(3 * PERPLEXITY), n - 1)


def tsne(
    vectors: Floats, near: Places, distances: Floats, seed: int, progress: bool | None = None
) -> tuple[Floats, float]:
    """Positions (n, 2) that minimise the divergence of van der Maaten & Hinton, "Visualizing data
    using t-SNE", JMLR 9, 2008, and that divergence, over pairs of neighbours, in nats.

    Attraction acts between nearest neighbours, repulsion is interpolated (`repulsion.py`). It
    starts from the first two principal components (Kobak & Berens, Nature Communications 10, 2019)
    with a learning rate of n / 12 (Belkina et al., ibid.). near, distances: of `nearest`. The seed
    is of the noise that parts equal vectors. Time: about (n * 90 + 300,000) operations a step.
    """
    n = len(vectors)
    pairs = affinities(near, distances)
    start = pca(vectors)[0]
    points = start / max(float(start[:, 0].std()), 1e-12) * 1e-4
    points += numpy_generator(seed).normal(scale=1e-6, size=points.shape)
    rate = max(n / EXAGGERATION, 50.0)
    velocity, gain = np.zeros_like(points), np.ones_like(points)
    with bar(STEPS, "t-SNE", "step", progress) as shown:
        for step in range(STEPS):
            early = step < EARLY
            pull, push = attraction(pairs, points), repulsion(points)[0]
            gradient = 4 * ((EXAGGERATION if early else 1.0) * pull - push)
            turned = np.sign(gradient) != np.sign(velocity)
            gain = np.where(turned, gain + 0.2, np.maximum(gain * 0.8, 0.01))
            velocity = (0.5 if early else 0.8) * velocity - rate * gain * gradient
            points = points + velocity
            points -= points.mean(axis=0)
            shown.update()
    return points, divergence(pairs, points)


def affinities(near: Places, distances: Floats) -> sp.csr_matrix:
    """p_ij, (n, n) symmetric with sum 1: Gaussian weights of the neighbours, as wide around every
    point as gives the perplexity, found by bisection."""
    n, k = near.shape
    wanted = np.log(min(PERPLEXITY, k / 3) if k >= 6 else k / 2 + 0.5)
    shifted = distances - distances[:, :1]  # the nearest first
    low, high = np.zeros(n), np.full(n, np.inf)
    precision = 1 / np.maximum(shifted.mean(axis=1), 1e-300)
    for _ in range(64):
        weights = np.exp(-shifted * precision[:, None])
        total = weights.sum(axis=1)
        entropy = np.log(total) + precision * (shifted * weights).sum(axis=1) / total
        flat = entropy > wanted
        low, high = np.where(flat, precision, low), np.where(flat, high, precision)
        with np.errstate(invalid="ignore"):
            precision = np.where(np.isinf(high), precision * 2, (low + high) / 2)
    weights = np.exp(-shifted * precision[:, None])
    weights /= weights.sum(axis=1, keepdims=True)
    starts = np.arange(0, n * k + 1, k)
    directed = sp.csr_matrix((weights.ravel(), near.ravel(), starts), shape=(n, n))
    both = sp.csr_matrix(directed + directed.T)
    both.sort_indices()
    return sp.csr_matrix(both / both.sum())


def attraction(pairs: sp.csr_matrix, points: Floats) -> Floats:
    """sum_j (y_i - y_j) p_ij q_ij, (n, 2)."""
    weights = sp.csr_matrix((pairs.data * _kernel(pairs, points), pairs.indices, pairs.indptr))
    sums = weights @ np.column_stack([points, np.ones(len(points))])
    found: Floats = sums[:, 2:] * points - sums[:, :2]
    return found


def divergence(pairs: sp.csr_matrix, points: Floats) -> float:
    """KL(P || Q) over the pairs with p_ij > 0, in nats."""
    some = pairs.data > 0
    kernel, p = _kernel(pairs, points)[some], pairs.data[some]
    return float((p * np.log(p / (kernel / repulsion(points)[1]))).sum())


def _kernel(pairs: sp.csr_matrix, points: Floats) -> Floats:
    """1 / (1 + |y_i - y_j|^2) of the pairs, beside `pairs.data`."""
    x, y = points.T
    lengths = np.diff(pairs.indptr)
    across = np.repeat(x, lengths) - x[pairs.indices]
    down = np.repeat(y, lengths) - y[pairs.indices]
    across *= across
    down *= down
    across += down
    across += 1
    found: Floats = 1 / across
    return found
