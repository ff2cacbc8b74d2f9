"""What is drawn of a recommender: a vector for every item, a vector for every history."""

from __future__ import annotations

from typing import Any

import numpy as np

from recae.data import Interactions
from recae.errors import ConfigError
from recae.maps.neighbours import Floats
from recae.progress import bar
from recae.recommender import Recommender, align
from recae.rng import numpy_generator

LATENT = 64
"""Singular vectors that stand for a matrix of similarities."""
EXTRA, ROUNDS = 16, 4
"""More columns, and rounds of subspace iteration, for their sake."""
BLOCK = 512
"""Items whose similarities to all others are held at a time."""
REMEDY = (
    "models with item_embeddings_ (MultVAE, ELSA, ALS, PureSVD ...) can be drawn, and so can those "
    "with similarities of items (EASE, SparseEASE, ItemKNN ...)"
)


def item_vectors(model: Recommender, progress: bool | None = None) -> tuple[Floats, str]:
    """A vector for each item in the order of `items_`, (n_items, d), and what it is.

    The embeddings of a model that has them. Of a model that has similarities of items only, S, such
    as the weights of EASE, the first singular vectors of S with their lengths, U diag(s): rows are
    near each other if two items speak for the same items. Raises ConfigError for other models.
    """
    try:
        return model.item_embeddings_.astype(np.float64), "item embeddings"
    except ConfigError:
        pass
    try:
        model._similarities(np.zeros(1, dtype=np.int64))
    except ConfigError as error:
        name = type(model).__name__
        raise ConfigError(f"{name} has nothing to draw a map of items from: {REMEDY}") from error
    return _singular(model, progress), f"{LATENT} singular vectors of its similarities of items"


def user_vectors(
    model: Recommender, history: Interactions, progress: bool | None = None
) -> tuple[Floats, str]:
    """A vector for each history, (rows, d), and what it is: its code, or, of a model without codes,
    the sum of the vectors of its items. Raises ConfigError for models that have neither."""
    try:
        return model.embed_users(history).astype(np.float64), "codes of histories"
    except ConfigError:
        vectors, what = item_vectors(model, progress)
    return align(history, model.items_).matrix @ vectors, f"sums over histories of {what}"


def _singular(model: Recommender, progress: bool | None) -> Floats:
    """U diag(s) of S, (n_items, LATENT), by subspace iteration (Halko, Martinsson & Tropp, SIAM
    Review 53, 2011), a block of rows of S at a time."""
    n = len(model.items_)
    width = min(LATENT + EXTRA, n)
    start = numpy_generator(0).standard_normal((n, width))  # the result hardly depends on it
    right = np.linalg.qr(start)[0]
    with bar((ROUNDS + 1) * n, "similarities", "item", progress) as shown:
        for _ in range(ROUNDS):
            right = np.linalg.qr(_products(model, right, shown)[1])[0]
        left = _products(model, right, shown)[0]  # S V, (n, width)
    u, s, _ = np.linalg.svd(left, full_matrices=False)
    found: Floats = (u * s)[:, :LATENT]
    return found


def _products(model: Recommender, right: Floats, shown: Any) -> tuple[Floats, Floats]:
    """S V and S' S V, of the rows of S as they come."""
    n = len(right)
    left, back = np.empty_like(right), np.zeros_like(right)
    for start in range(0, n, BLOCK):
        codes = np.arange(start, min(start + BLOCK, n))
        rows = model._similarities(codes).cpu().numpy().astype(np.float64)
        rows[~np.isfinite(rows)] = 0  # not neighbours at all
        left[codes] = rows @ right
        back += rows.T @ left[codes]
        shown.update(len(codes))
    return left, back


def prepared(vectors: Floats, distance: str, level: np.ndarray | None) -> Floats:
    """Vectors whose Euclidean distances are those that a map is made of.

    distance: "cosine" divides each vector by its length. level: what is not to shape the map, such
    as the number of users of an item: the part of every coordinate that is linear in its logarithm
    is taken out first.
    """
    if level is not None:
        about = np.log1p(level.astype(np.float64))
        about -= about.mean()
        vectors = vectors - vectors.mean(axis=0)
        if about.any():
            vectors = vectors - np.outer(about, about @ vectors / (about @ about))
    if distance == "cosine":
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-300)
    return vectors
