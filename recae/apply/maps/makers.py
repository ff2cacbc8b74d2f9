"""Maps of what a recommender has learnt, and of anybody's codes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from recae.apply.maps.about import about_points
from recae.apply.maps.build import build, check_options
from recae.apply.maps.result import Map
from recae.apply.maps.taste import taste
from recae.apply.maps.vectors import item_vectors, user_vectors
from recae.data import IdMap, Interactions, as_interactions
from recae.errors import ConfigError, DataError
from recae.recommend.base import Recommender
from recae.recommend.requests import align


def map_items(
    model: Recommender,
    titles: Any = None,
    *,
    method: str = "tsne",
    distance: str = "cosine",
    min_users: int = 10,
    remove_popularity: bool = True,
    seed: int = 0,
    progress: bool | None = None,
) -> Map:
    """A map of the items of a fitted model: near each other is what the same users like.

    titles: a table with the columns item_id, title and others to colour by, such as genres
    ("Comedy|Drama" is two labels), or a mapping from ids to titles. method: "tsne" shows groups,
    "pca" is quick and its axes have a meaning. Models without item embeddings, such as EASE, are
    drawn by singular vectors of their similarities or scores. min_users: items of fewer training
    users are left out, as what is learnt of them is mostly chance. remove_popularity: take out the
    part of the vectors that is linear in the logarithm of an item's number of users, which
    otherwise shapes the map more than taste does. distance: "cosine" or "euclidean", of vectors.
    seed: the same one draws the same map.

    Costs about items^2 x width operations, and for t-SNE 1,000 steps of about items x log(items):
    half a minute for 2,800 items on one core.

    Raises ConfigError for options, for Popularity and for Random; DataError for titles
    that do not fit and if fewer than 3 items are left; NotFittedError.

    >>> some = np.random.default_rng(0).random((60, 9)) < 0.5
    >>> data = recae.Interactions.from_csr(scipy.sparse.csr_matrix(some, dtype=float))
    >>> recae.apply.maps.map_items(recae.PureSVD(latent=4).fit(data))
    Map(9 items, tsne)
    """
    check_options(
        method,
        distance,
        seed,
        progress,
        min_users=min_users,
        remove_popularity=remove_popularity,
    )
    _check_model(model)
    counts = model.item_counts_
    kept = np.flatnonzero(counts >= min_users)
    if len(kept) < 3:
        raise DataError(
            f"{len(kept)} of {len(counts):,} items have {min_users} users or more, and a map needs "
            "3: pass a smaller min_users="
        )
    ids = IdMap(model.items_.ids[kept], "item")
    about = about_points(titles, ids)  # before anything that takes time
    vectors, source = item_vectors(model, progress)
    return build(
        vectors[kept],
        ids,
        about,
        method=method,
        distance=distance,
        seed=seed,
        progress=progress,
        size=("users", counts[kept]),
        level=counts[kept] if remove_popularity else None,
        provenance={
            "model": repr(model),
            "vectors": source,
            "min_users": int(min_users),
            "left_out": len(counts) - len(kept),
            "removed": "popularity" if remove_popularity else None,
        },
    )


def map_users(
    model: Recommender,
    history: Interactions | pd.DataFrame | Any = None,
    about: Any = None,
    *,
    titles: Any = None,
    method: str = "tsne",
    distance: str = "cosine",
    min_items: int = 5,
    remove_length: bool = True,
    seed: int = 0,
    progress: bool | None = None,
) -> Map:
    """A map of users by their histories: near each other are those of one taste.

    history: whose, Interactions, a frame or a CSR as in `recommend`; None means those the model was
    fitted on. about: a table with the column user_id, and others to colour by, such as age. titles:
    a table with item_id and labels of items, such as genres: a user then has the colour of the
    label whose number in the history is furthest above what is usual, in standard deviations.
    min_items: users with fewer items are left out. remove_length: take out what is linear in the
    logarithm of a history's length. The other options are those of `map_items`.

    Raises ConfigError, DataError and NotFittedError as that does, and DataError if no history is
    known.

    >>> some = np.random.default_rng(0).random((60, 9)) < 0.5
    >>> data = recae.Interactions.from_csr(scipy.sparse.csr_matrix(some, dtype=float))
    >>> recae.apply.maps.map_users(recae.PureSVD(latent=4).fit(data), min_items=1)
    Map(60 users, tsne)
    """
    check_options(
        method, distance, seed, progress, min_items=min_items, remove_length=remove_length
    )
    _check_model(model)
    given = model.history_ if history is None else as_interactions(history, model.items_)
    if given is None:
        raise DataError(
            "this model carries no interactions: pass history=..., or save it with "
            "save(..., with_history=True)"
        )
    aligned = align(given, model.items_)
    lengths = np.diff(aligned.matrix.indptr)
    kept = np.flatnonzero(lengths >= min_items)
    if len(kept) < 3:
        raise DataError(
            f"{len(kept)} of {len(lengths):,} users have {min_items} items or more, and a map "
            "needs 3: pass a smaller min_items="
        )
    some = aligned.select_users(kept)
    ids = IdMap(some.users.ids, "user")
    frame = about_points(about, ids)
    tastes = {} if titles is None else taste(some, titles)
    vectors, source = user_vectors(model, some, progress)
    return build(
        vectors,
        ids,
        frame,
        method=method,
        distance=distance,
        seed=seed,
        progress=progress,
        size=("items", lengths[kept]),
        level=lengths[kept] if remove_length else None,
        colours=tastes,
        provenance={
            "model": repr(model),
            "vectors": source,
            "min_items": int(min_items),
            "left_out": len(lengths) - len(kept),
            "removed": "length of history" if remove_length else None,
        },
    )


def map_codes(
    codes: Any,
    ids: Any = None,
    about: Any = None,
    *,
    method: str = "tsne",
    distance: str = "euclidean",
    seed: int = 0,
    progress: bool | None = None,
) -> Map:
    """A map of anybody's codes, such as those of an autoencoder of images.

    codes: (n, d) numbers: an array, a tensor or a frame; ids: of the rows, by default the index of
    a frame, else 0..n-1; about: a table with the column id, `title` and others to colour by, or a
    mapping from ids to titles. The other options are those of `map_items`.

    Raises ConfigError for options, DataError for codes that are no finite numbers, for ids that do
    not fit, and for fewer than 3 rows.

    >>> codes = np.random.default_rng(0).normal(size=(20, 5))
    >>> recae.apply.maps.map_codes(codes, ids=list("abcdefghijklmnopqrst")).ids[0]
    'a'
    """
    check_options(method, distance, seed, progress)
    if ids is None and isinstance(codes, pd.DataFrame):
        ids = codes.index
    plain = codes.detach().cpu() if hasattr(codes, "detach") else codes
    array = np.asarray(plain)
    if array.ndim != 2 or array.dtype.kind not in "fiu" or not array.shape[1]:
        raise DataError(
            f"codes must be (n, d) numbers; found {array.dtype} of shape {array.shape}; flatten "
            "images first"
        )
    known = IdMap.range(len(array), "point") if ids is None else IdMap(ids, "point")
    if len(known) != len(array):
        raise DataError(f"there are {len(array):,} codes and {len(known):,} ids: give one for each")
    return build(
        array.astype(np.float64),
        known,
        about_points(about, known),
        method=method,
        distance=distance,
        seed=seed,
        progress=progress,
        provenance={"vectors": "codes"},
    )


def _check_model(model: object) -> None:
    if not isinstance(model, Recommender):
        raise ConfigError(
            f"a recommender of recae is needed, not {type(model).__name__}; for codes of your own "
            "there is recae.apply.maps.map_codes"
        )
    model._check_fitted()
