"""A mixture of normal distributions with full covariances, fitted by EM."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recae.rng import numpy_generator
from recae.system.progress import bar

FloatArray = npt.NDArray[np.float64]

LLOYD, EM = 10, 50
"""Rounds of k-means to begin with, and of EM at most."""
SMALL = 1e-3
"""EM ends when the mean log likelihood gains less."""


@dataclass(frozen=True)
class Mixture:
    """sum_k shares_k N(means_k, L_k L_k'): shares (k,), means (k, d), factors L (k, d, d)."""

    shares: FloatArray
    means: FloatArray
    factors: FloatArray

    @classmethod
    def fit(
        cls, points: FloatArray, components: int, seed: int, progress: bool | None = False
    ) -> Mixture:
        """The mixture of points (n, d), by k-means and EM (Dempster, Laird & Rubin 1977).

        A component's covariance is drawn towards that of all components together, with a weight of
        d points (as in regularised discriminant analysis, Friedman 1989), and has a thousandth of
        the mean variance on its diagonal: no component closes in on a few points. Memory is
        components x (n + d^2) numbers, an EM round costs components x n x d^2 operations.
        """
        n, d = points.shape
        floor = 1e-3 * max(float(points.var(axis=0).mean()), 1e-12)
        weights = _nearest(points, components, seed)
        model, before = cls._maximise(points, weights, floor), -math.inf
        with bar(EM, "fitting the mixture", "round", progress) as shown:
            for _ in range(EM):
                logs = model._joint_logs(points)
                highest = logs.max(axis=1, keepdims=True)
                weights = np.exp(logs - highest)
                total = weights.sum(axis=1, keepdims=True)
                now = float((highest + np.log(total)).mean())
                weights /= total
                model = cls._maximise(points, weights, floor)
                shown.update()
                if components == 1 or now - before < SMALL:
                    break
                before = now
        return model

    def log_density(self, points: FloatArray) -> FloatArray:
        """log p of points (n, d), (n,)."""
        logs = self._joint_logs(points)
        highest = logs.max(axis=1)
        density: FloatArray = highest + np.log(np.exp(logs - highest[:, None]).sum(axis=1))
        return density

    def draw(self, n: int, generator: np.random.Generator) -> FloatArray:
        """n points, (n, d)."""
        edges = np.cumsum(self.shares)[:-1]
        chosen = np.searchsorted(edges, generator.random(n), side="right")
        noise = generator.standard_normal((n, self.means.shape[1]))
        points: FloatArray = np.empty_like(noise)
        for k in range(len(self.shares)):
            mine = chosen == k
            points[mine] = self.means[k] + noise[mine] @ self.factors[k].T
        return points

    def _joint_logs(self, points: FloatArray) -> FloatArray:
        """log(shares_k N(x; ...)), (n, k)."""
        from scipy.linalg import solve_triangular

        logs = np.empty((len(points), len(self.shares)))
        constant = -0.5 * points.shape[1] * math.log(2 * math.pi)
        for k, (mean, factor) in enumerate(zip(self.means, self.factors, strict=True)):
            scaled = solve_triangular(factor, (points - mean).T, lower=True)
            logs[:, k] = constant - np.log(np.diag(factor)).sum() - 0.5 * (scaled**2).sum(axis=0)
        with np.errstate(divide="ignore"):
            return logs + np.log(self.shares)

    @classmethod
    def _maximise(cls, points: FloatArray, weights: FloatArray, floor: float) -> Mixture:
        """The M step: weights (n, k) say how much of a point belongs to a component."""
        n, d = points.shape
        sizes = weights.sum(axis=0)
        means = (weights.T @ points) / np.maximum(sizes, 1e-12)[:, None]
        scatter = np.empty((len(sizes), d, d))
        for k in range(len(sizes)):
            centred = points - means[k]
            scatter[k] = (weights[:, k, None] * centred).T @ centred
        pooled = scatter.sum(axis=0) / n
        towards = 0.0 if len(sizes) == 1 else float(d)
        covariances = (scatter + towards * pooled) / np.maximum(sizes + towards, 1e-12)[
            :, None, None
        ]
        covariances += floor * np.eye(d)
        return cls(sizes / n, means, np.linalg.cholesky(covariances))


def _nearest(points: FloatArray, components: int, seed: int) -> FloatArray:
    """Which centre of k-means each point is nearest to, as ones in an (n, k) array of zeros."""
    generator = numpy_generator(seed)
    centres = points[generator.choice(len(points), components, replace=False)]
    for _ in range(LLOYD):
        distances = (centres**2).sum(axis=1) - 2 * points @ centres.T
        owner = distances.argmin(axis=1)
        sizes = np.bincount(owner, minlength=components)
        ones = np.zeros((len(points), components))
        ones[np.arange(len(points)), owner] = 1
        filled = sizes > 0
        centres[filled] = (ones.T @ points)[filled] / sizes[filled, None]
    return ones
