"""The repulsive forces of t-SNE in the plane, interpolated on a grid.

Linderman, Rachh, Hoskins, Steinerberger & Kluger, "Fast interpolation-based t-SNE for improved
visualization of single-cell RNA-seq data", Nature Methods 16, 2019: a sum over all pairs of a
smooth kernel is a convolution of charges that are spread over the nodes of a grid.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from recae.maps.neighbours import Floats

FEW = 600
"""Points that are quicker to sum over than to interpolate between."""
NODES = 3
"""Interpolation nodes of a box, along each axis."""
FEWEST_BOXES, MOST_BOXES = 16, 200
"""Boxes along an axis: they are at most 1 wide, where the kernel is, unless that takes too many."""


def repulsion(points: Floats) -> tuple[Floats, float]:
    """sum_j (y_i - y_j) q_ij^2 / Z, (n, 2), and Z = sum over i != j of q_ij, with
    q_ij = 1 / (1 + |y_i - y_j|^2); points: (n, 2). Of few points it is the sum itself."""
    return _summed(points) if len(points) <= FEW else _interpolated(points)


def _summed(points: Floats) -> tuple[Floats, float]:
    apart = points[:, None] - points  # (n, n, 2)
    q = 1 / (1 + np.einsum("ijk,ijk->ij", apart, apart))
    np.fill_diagonal(q, 0)
    total = max(float(q.sum()), 1e-300)
    return np.einsum("ijk,ij->ik", apart, q * q) / total, total


def _interpolated(points: Floats) -> tuple[Floats, float]:
    import scipy.fft as fft  # whose import changes the warning filters

    low = points.min()
    span = max(float(points.max() - low), 1e-12)
    n_boxes = int(np.clip(np.ceil(span), FEWEST_BOXES, MOST_BOXES))
    side = n_boxes * NODES
    spread = _weights((points - low) / span * n_boxes, n_boxes)  # (n, nodes of the grid)
    size = fft.next_fast_len(2 * side - 1, real=True)
    kernel, squared = _kernels(size, span / side)
    charges = np.column_stack([np.ones(len(points)), points])
    # Half the digits, in half the time.
    grid = (spread.T @ charges).T.reshape(3, side, side).astype(np.float32)
    waves = fft.rfft2(grid, s=(size, size))
    waves = np.concatenate([waves * squared, waves[:1] * kernel])
    potentials = fft.irfft2(waves, s=(size, size))[:, :side, :side]
    sums = spread @ potentials.reshape(4, side * side).T  # of q^2, of q^2 y (twice), of q
    total = float(sums[:, 3].sum()) - len(points)  # without every point's q with itself, which is 1
    total = max(total, 1e-12)
    return (sums[:, :1] * points - sums[:, 1:3]) / total, total


def _kernels(size: int, step: float) -> tuple[Any, Any]:
    """The transforms of q and of q^2 on a grid that goes round, (size, size / 2 + 1) complex."""
    import scipy.fft as fft

    places = np.arange(size)
    offset = np.minimum(places, size - places) * step
    kernel = 1 / (1 + offset[:, None] ** 2 + offset**2)
    kernel = kernel.astype(np.float32)
    return fft.rfft2(kernel), fft.rfft2(kernel**2)


def _weights(places: Floats, n_boxes: int) -> sp.csr_matrix:
    """How much every node of the grid stands for every point: products of Lagrange polynomials.

    places: in boxes from the corner, (n, 2).
    """
    n, side = len(places), n_boxes * NODES
    box = np.minimum(places.astype(np.int64), n_boxes - 1)
    t = (places - box) * NODES - 0.5  # in steps from the first node of the box
    along = np.stack([(t - 1) * (t - 2) / 2, t * (2 - t), t * (t - 1) / 2], axis=2)  # (n, 2, 3)
    node = box[:, :, None] * NODES + np.arange(NODES)
    weights = along[:, 0, :, None] * along[:, 1, None, :]
    columns = node[:, 0, :, None] * side + node[:, 1, None, :]
    starts = np.arange(0, n * NODES**2 + 1, NODES**2)
    parts = weights.ravel(), columns.ravel(), starts
    return sp.csr_matrix(parts, shape=(n, side * side))
