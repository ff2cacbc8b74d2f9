"""What is drawn of a recommender: a vector for every item, a vector for every history."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
from torch import Tensor

from recae.apply.maps.neighbours import Floats
from recae.data import Interactions
from recae.errors import ConfigError
from recae.recommend.base import Recommender
from recae.recommend.requests import align
from recae.rng import numpy_generator
from recae.system.progress import bar

Rows = Callable[[Recommender, np.ndarray], Floats]
"""Rows of a matrix of items by items, (len(codes), n_items), of a model."""
LATENT = 64
"""Singular vectors that stand for a matrix of similarities."""
EXTRA, ROUNDS = 16, 4
"""More columns, and rounds of subspace iteration, for their sake."""
BLOCK = 512
"""Items whose similarities to all others are held at a time."""
KNOW_NOTHING = ("popularity", "random")
"""Models that tell no item from another by who likes it."""


def item_vectors(model: Recommender, progress: bool | None = None) -> tuple[Floats, str]:
    """A vector for each item in the order of `items_`, (n_items, d), and what it is.

    The embeddings of a model that has them. Of any other the first singular vectors, with their
    lengths, U diag(s), of a matrix S of items by items: its similarities, such as the weights of
    EASE, or how the scores of a history with one item differ from those of an empty one. Rows are
    near each other if two items speak for the same items. Raises ConfigError for Popularity and
    Random.
    """
    try:
        return model.item_embeddings_.astype(np.float64), "item embeddings"
    except ConfigError:
        pass
    if model.name in KNOW_NOTHING:
        raise ConfigError(
            f"{type(model).__name__} tells no item from another by who likes it, so that there is "
            "no map of it: fit any other model, such as MultVAE, ELSA, ALS or EASE"
        )
    try:
        model._similarities(np.zeros(1, dtype=np.int64))
        rows, of = _similar, "its similarities of items"
    except ConfigError:
        rows, of = _scored, "its scores of single items"
    return _singular(model, rows, progress), f"{LATENT} singular vectors of {of}"


def user_vectors(
    model: Recommender, history: Interactions, progress: bool | None = None
) -> tuple[Floats, str]:
    """A vector for each history, (rows, d), and what it is: its code, or, of a model without codes,
    the sum of the vectors of its items. Raises ConfigError as that does."""
    try:
        return model.embed_users(history).astype(np.float64), "codes of histories"
    except ConfigError:
        vectors, what = item_vectors(model, progress)
    return align(history, model.items_).matrix @ vectors, f"sums over histories of {what}"


def _similar(model: Recommender, codes: np.ndarray) -> Floats:
    """Rows of the similarities of a model, (len(codes), n_items); 0 to those that are no
    neighbours at all."""
    return _finite(model._similarities(codes))


def _scored(model: Recommender, codes: np.ndarray) -> Floats:
    """What each of some items adds to the scores of an empty history, (len(codes), n_items)."""
    n = len(codes)
    starts = np.append(np.arange(n + 1), n)  # the last row is the empty one
    cells = np.ones(n, dtype=np.float32), codes.astype(np.int32), starts
    found = _finite(model._score_rows(sp.csr_matrix(cells, shape=(n + 1, len(model.items_)))))
    added: Floats = found[:-1] - found[-1]
    return added


def _finite(rows: Tensor) -> Floats:
    found = rows.cpu().numpy().astype(np.float64)
    return np.where(np.isfinite(found), found, 0)


def _singular(model: Recommender, rows: Rows, progress: bool | None) -> Floats:
    """U diag(s) of S, (n_items, LATENT), by subspace iteration (Halko, Martinsson & Tropp, SIAM
    Review 53, 2011), a block of rows of S at a time."""
    n = len(model.items_)
    width = min(LATENT + EXTRA, n)
    start = numpy_generator(0).standard_normal((n, width))  # the result hardly depends on it
    right = np.linalg.qr(start)[0]
    with bar((ROUNDS + 1) * n, "similarities", "item", progress) as shown:
        for _ in range(ROUNDS):
            right = np.linalg.qr(_products(model, rows, right, shown)[1])[0]
        left = _products(model, rows, right, shown)[0]  # S V, (n, width)
    u, s, _ = np.linalg.svd(left, full_matrices=False)
    found: Floats = (u * s)[:, :LATENT]
    return found


def _products(model: Recommender, rows: Rows, right: Floats, shown: Any) -> tuple[Floats, Floats]:
    """S V and S' S V, of the rows of S as they come."""
    n = len(right)
    left, back = np.empty_like(right), np.zeros_like(right)
    for start in range(0, n, BLOCK):
        codes = np.arange(start, min(start + BLOCK, n))
        some = rows(model, codes)
        left[codes] = some @ right
        back += some.T @ left[codes]
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
