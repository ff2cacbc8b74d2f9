"""Principal components: the plane in which vectors vary most."""

from __future__ import annotations

import numpy as np
import scipy.linalg

from recae.maps.neighbours import Floats


def pca(vectors: Floats) -> tuple[Floats, Floats]:
    """Positions (n, 2) on the first two principal components of (n, d) vectors, and the shares of
    the variance that these explain, (2,).

    Of two possible signs an axis has the one for which its largest loading is above zero.
    """
    centred = vectors - vectors.mean(axis=0)
    n, d = centred.shape
    wide = d > n
    product = centred @ centred.T if wide else centred.T @ centred
    size, total = len(product), float(np.trace(product))
    first = max(size - 2, 0)
    values, basis = scipy.linalg.eigh(product, subset_by_index=[first, size - 1])
    values, basis = np.maximum(values[::-1], 0), basis[:, ::-1]
    axes = centred.T @ basis if wide else basis  # (d, 2)
    axes = axes / np.maximum(np.linalg.norm(axes, axis=0), 1e-300)
    largest = np.abs(axes).argmax(axis=0)
    axes = axes * np.where(axes[largest, np.arange(axes.shape[1])] < 0, -1, 1)
    missing = 2 - axes.shape[1]
    positions = np.pad(centred @ axes, ((0, 0), (0, missing)))
    return positions, np.pad(values / max(total, 1e-300), (0, missing))
