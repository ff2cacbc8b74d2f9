"""Train on synthetic, test on real: what a model is worth that never saw a real user."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from recae.apply.generate.codes import drawn, races
from recae.data import IdMap, Interactions
from recae.data.splits.folds import Fold
from recae.evaluation import evaluate
from recae.models import EASE, Popularity, PureSVD
from recae.models.linear._base import LinearRecommender
from recae.recommend.base import Recommender
from recae.rng import Stream, numpy_generator, torch_generator

MOST_ITEMS = 10_000
"""Of a larger catalogue, EASE and its square matrix would take too long."""


def candidates(given: Sequence[Recommender] | None, n_items: int) -> list[Recommender]:
    """The unfitted models: those given, or EASE in some settings, or PureSVD for many items."""
    if given is not None:
        return list(given)
    if n_items <= MOST_ITEMS:
        return [EASE(l2=l2) for l2 in (300.0, 1000.0, 3000.0)]
    return [PureSVD(latent=latent) for latent in (32, 128)]


def fit_best(
    models: Sequence[Recommender],
    matrix: Any,
    items: IdMap,
    folds: Sequence[Fold],
    metric: str,
    on_fit: Any = lambda: None,
) -> tuple[float, Recommender]:
    """The metric on the second fold of the model that is best on the first, and that model.

    Each data set has its own best settings: synthetic users may be more, or blur more.
    """
    users = IdMap.range(matrix.shape[0], "user")
    data = Interactions(matrix, users, items)
    best: tuple[float, Recommender] | None = None
    for model in models:
        fitted = model.clone().fit(data, progress=False)
        value = evaluate(fitted, folds[0], [metric], progress=False)[metric]
        if best is None or value > best[0]:
            best = value, fitted
        on_fit()
    assert best is not None
    return evaluate(best[1], folds[1], [metric], progress=False)[metric], best[1]


def popularity_floor(matrix: Any, items: IdMap, fold: Fold, metric: str) -> float:
    """The metric of recommending everybody the most popular items of the real data."""
    data = Interactions(matrix, IdMap.range(matrix.shape[0], "user"), items)
    return evaluate(Popularity().fit(data), fold, [metric], progress=False)[metric]


def item_weights(model: Recommender) -> np.ndarray | None:
    """The (n_items, n_items) weights of a linear model, the diagonal 0; None for any other."""
    if not isinstance(model, LinearRecommender):
        return None
    weights: np.ndarray = model.weights_.numpy()
    if weights.diagonal().any():
        weights = weights.copy()
        np.fill_diagonal(weights, 0)
    return weights


BLOCK = 256


def by_popularity(real: Any, n_users: int, seed: int) -> Any:
    """Users whose items are drawn by their popularity alone, with lengths of real users: (n_users,
    n_items) CSR. The marginals are right, and no item has to do with another."""
    counts = np.bincount(real.indices, minlength=real.shape[1])
    with np.errstate(divide="ignore"):
        logs = torch.from_numpy(np.log(counts.astype(np.float32)))
    lengths = numpy_generator(seed, Stream.BASELINE_LENGTHS).choice(np.diff(real.indptr), n_users)
    lengths = np.minimum(lengths, int((counts > 0).sum()))
    parts = []
    for number, start in enumerate(range(0, n_users, BLOCK)):
        some = torch.from_numpy(lengths[start : start + BLOCK].astype(np.int64))
        noise = races((len(some), len(logs)), torch_generator(seed, Stream.BASELINE_ITEMS, number))
        columns, ends = drawn(logs.expand(len(some), -1), noise, some)
        ones = np.ones(len(columns), dtype=np.float32)
        parts.append(sp.csr_matrix((ones, columns.numpy(), ends.numpy()), (len(some), len(logs))))
    return sp.vstack(parts, format="csr")


def resampled(real: Any, n_users: int, seed: int) -> Any:
    """Real users drawn with replacement: perfect structure and no privacy at all."""
    return real[numpy_generator(seed, Stream.BASELINE_USERS).integers(real.shape[0], size=n_users)]
