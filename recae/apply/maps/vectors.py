"""Vectors that a map is made of: one for each item, or one for each history."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from recae.apply.maps.layout import Floats
from recae.data import Interactions
from recae.data.svd import subspace_svd
from recae.errors import ConfigError
from recae.recommend.base import Recommender
from recae.recommend.requests import align
from recae.rng import numpy_generator

LATENT = 64
"""Singular vectors kept of a matrix of items by items."""
OVERSAMPLED, PRODUCTS = 16, 8
"""Further directions of its decomposition, and products with S'S at most: each reads all of S."""
BLOCK = 512
"""Items whose rows are held at a time."""


def item_vectors(model: Recommender, progress: bool | None = None) -> tuple[Floats, str]:
    """A vector for each item in the order of `items_`, (n_items, d), and what it is.

    The item embeddings, if the model has some. Otherwise the first singular vectors times their
    singular values, U diag(s), of a matrix S of items by items. S holds the similarities, such as
    the weights of EASE, or the difference between the scores of a history with one item and those
    of an empty history. Items are near each other if the same items follow from them. Raises
    ConfigError for a model whose scores do not depend on who interacted with an item.
    """
    try:
        return model.item_embeddings_.astype(np.float64), "item embeddings"
    except ConfigError:
        pass
    if not model.personalised:
        raise ConfigError(
            f"{type(model).__name__} learns nothing about items from who interacts with them, so "
            "there is no map of it: take another model, such as MultVAE, ELSA, ALS or EASE",
            parameter="model",
            value=model,
        )
    own = type(model)._similarities is not Recommender._similarities
    of = "its similarities of items" if own else "its scores of single items"
    return _singular(model, progress), f"{LATENT} singular vectors of {of}"


def user_vectors(
    model: Recommender, history: Interactions, progress: bool | None = None
) -> tuple[Floats, str]:
    """A vector for each history, (rows, d), and what it is: its code, or, for a model without
    codes, the sum of the vectors of its items. Raises ConfigError as `item_vectors` does."""
    try:
        return model.embed_users(history).astype(np.float64), "codes of histories"
    except ConfigError:
        vectors, what = item_vectors(model, progress)
    return align(history, model.items_).matrix @ vectors, f"sums over histories of {what}"


def _similar(model: Recommender, codes: np.ndarray) -> Floats:
    """Rows of the similarities of a model, (len(codes), n_items); 0 where there is none."""
    return _finite(model._similarities(codes))


def _finite(rows: Tensor) -> Floats:
    found = rows.cpu().numpy().astype(np.float64)
    return np.where(np.isfinite(found), found, 0)


def _singular(model: Recommender, progress: bool | None) -> Floats:
    """U diag(s) of S, (n_items, LATENT), from a block of rows of S at a time."""
    n = len(model.items_)
    blocks = [np.arange(start, min(start + BLOCK, n)) for start in range(0, n, BLOCK)]

    def image(basis: Tensor) -> Tensor:
        parts = [_similar(model, codes) @ basis.numpy() for codes in blocks]
        return torch.from_numpy(np.concatenate(parts))

    def gram(basis: Tensor) -> Tensor:
        total = np.zeros(basis.shape)
        for codes in blocks:
            some = _similar(model, codes)
            total += some.T @ (some @ basis.numpy())
        return torch.from_numpy(total)

    start = numpy_generator(0).standard_normal((n, min(LATENT + OVERSAMPLED, n)))
    begun = torch.from_numpy(start)
    found = subspace_svd(image, gram, begun, LATENT, most=PRODUCTS, progress=progress)
    return found[0].numpy()


def prepared(vectors: Floats, distance: str, level: np.ndarray | None) -> Floats:
    """Vectors whose Euclidean distances the map shall keep.

    distance: "cosine" gives each vector unit norm. level: a quantity that shall not shape the map,
    such as an item's number of users: the part of each coordinate that is linear in its logarithm
    is subtracted first.
    """
    if level is not None:
        logarithm = np.log1p(level.astype(np.float64))
        logarithm -= logarithm.mean()
        vectors = vectors - vectors.mean(axis=0)
        if logarithm.any():
            slope = logarithm @ vectors / (logarithm @ logarithm)
            vectors = vectors - np.outer(logarithm, slope)
    if distance == "cosine":
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-300)
    return vectors
