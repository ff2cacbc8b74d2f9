"""t-SNE: positions whose neighbours are the neighbours of high-dimensional vectors."""

from __future__ import annotations

import numpy as np
import scipy.linalg
from threadpoolctl import threadpool_limits

from recae.apply.maps.neighbours import Floats
from recae.errors import ConfigError
from recae.rng import numpy_generator
from recae.system.progress import bar


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


PERPLEXITY = 30.0
TINY = 1e-6
"""The largest number of vectors below which, and above whose inverse, they get another unit, on
which a map does not depend."""


def check_tsne() -> None:
    """Raises ConfigError without scikit-learn."""
    try:
        import sklearn.manifold  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            'method="tsne" needs scikit-learn: pip install "recae[map]"; method="pca" does not'
        ) from error


def tsne(vectors: Floats, seed: int, progress: bool | None = None) -> tuple[Floats, float]:
    """Positions (n, 2) that minimise the divergence of van der Maaten & Hinton, "Visualizing data
    using t-SNE", JMLR 9, 2008, and that divergence in nats; scikit-learn's, by Barnes-Hut.

    It starts from the first two principal components (Kobak & Berens, Nature Communications 10,
    2019). One thread, so that the same seed gives the same map. Time: about n log n.
    """
    from sklearn.manifold import TSNE

    n = len(vectors)
    largest = float(np.abs(vectors).max())
    if not TINY < largest < 1 / TINY:  # squares of float32 would be 0 or infinite
        vectors = vectors / max(largest, 1e-300)
    start = pca(vectors)[0]
    start = start / max(float(start[:, 0].std()), 1e-12) * 1e-4
    start += numpy_generator(seed).normal(scale=1e-6, size=start.shape)  # parts equal vectors
    model = TSNE(
        perplexity=min(PERPLEXITY, (n - 1) / 3), init=start.astype(np.float32), random_state=0
    )
    with bar(1, "t-SNE", "map", progress) as shown, threadpool_limits(1):
        points = model.fit_transform(np.asarray(vectors, dtype=np.float32))
        shown.update()
    return points.astype(np.float64), float(model.kl_divergence_)
