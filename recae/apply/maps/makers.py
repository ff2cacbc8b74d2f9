"""Makes maps of the items and users of a recommender, and of any codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from recae.apply.maps.colours import TITLE, Amounts, Groups, about_points, colour_of, taste
from recae.apply.maps.layout import Floats, K, nearest, pca, trustworthiness, tsne
from recae.apply.maps.points import METHODS
from recae.apply.maps.result import Map
from recae.apply.maps.vectors import item_vectors, prepared, user_vectors
from recae.data import IdMap, Interactions, as_interactions
from recae.data.ids import show
from recae.errors import ConfigError, DataError, check_flag, check_integer, check_option, explained
from recae.recommend.base import Recommender
from recae.recommend.requests import align
from recae.rng import check_seed
from recae.system.progress import check_progress

DISTANCES = ("cosine", "euclidean")
FEWEST = 3
"""Points that a map needs."""
LARGEST = 1e100
"""The largest absolute number that a vector may hold."""


@explained
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
    """A map of the items of a fitted model: items that the same users like are near each other.

    titles: a table with the columns item_id and title, and others to colour by, such as genres
    ("Comedy|Drama" is two labels), or a mapping from ids to titles. method: "tsne" shows groups,
    "pca" is fast and its axes are linear. Models without item embeddings, such as EASE, are mapped
    by singular vectors of their similarities or scores. min_users: items with fewer training users
    are left out, since their vectors are mostly noise. remove_popularity: subtract the part of the
    vectors that is linear in the logarithm of an item's number of users, which otherwise shapes the
    map more than taste does. distance: "cosine" or "euclidean", between vectors. seed: the same
    seed gives the same map.

    Time: about items^2 x width operations, and for t-SNE 1,000 steps of items x log(items): half a
    minute for 2,800 items on one core.

    Raises ConfigError for bad options and for Popularity and Random; DataError for unusable titles
    and if fewer than 3 items are left; NotFittedError.

    >>> recae.apply.maps.map_items(recae.PureSVD(latent=2).fit(data), min_users=1)
    Map(4 items, tsne)
    """
    options = _Options(method, distance, seed, progress)
    min_users = check_integer("min_users", min_users)
    check_flag("remove_popularity", remove_popularity)
    _check_model(model)
    counts = model.item_counts_
    kept = _at_least(counts, min_users, "items", "users")
    ids = IdMap(model.items_.ids[kept], "item")
    about = about_points(titles, ids)  # refuses bad titles before the costly steps
    vectors, source = item_vectors(model, progress)
    return _build(
        vectors[kept],
        ids,
        about,
        options,
        size=("users", counts[kept]),
        level=counts[kept] if remove_popularity else None,
        provenance={
            "model": repr(model),
            "vectors": source,
            "min_users": min_users,
            "left_out": len(counts) - len(kept),
            "removed": "popularity" if remove_popularity else None,
        },
    )


@explained
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
    """A map of users by their histories: users with similar taste are near each other.

    history: Interactions, a frame or a CSR as in `recommend`; None means the interactions that the
    model was fitted on. about: a table with the column user_id, and others to colour by, such as
    age. titles: a table with item_id and labels of items, such as genres: each user is coloured by
    the label that is most overrepresented in the history, in standard deviations. min_items: users
    with fewer items are left out. remove_length: subtract the part that is linear in the logarithm
    of the length of a history. The other options are those of `map_items`.

    Raises ConfigError, DataError and NotFittedError as `map_items` does, and DataError without a
    history.

    >>> recae.apply.maps.map_users(recae.PureSVD(latent=2).fit(data), min_items=1)
    Map(5 users, tsne)
    """
    options = _Options(method, distance, seed, progress)
    min_items = check_integer("min_items", min_items)
    check_flag("remove_length", remove_length)
    _check_model(model)
    given = model.history_ if history is None else as_interactions(history, model.items_)
    if given is None:
        raise DataError(
            "this model was loaded without interactions: pass history=..., or save it with "
            "save(..., with_history=True)"
        )
    aligned = align(given, model.items_)
    lengths = np.diff(aligned.matrix.indptr)
    kept = _at_least(lengths, min_items, "users", "items")
    some = aligned.select_users(kept)
    ids = IdMap(some.users.ids, "user")
    frame = about_points(about, ids)
    tastes = {} if titles is None else taste(some, titles)
    vectors, source = user_vectors(model, some, progress)
    return _build(
        vectors,
        ids,
        frame,
        options,
        size=("items", lengths[kept]),
        level=lengths[kept] if remove_length else None,
        colours=tastes,
        provenance={
            "model": repr(model),
            "vectors": source,
            "min_items": min_items,
            "left_out": len(lengths) - len(kept),
            "removed": "length of history" if remove_length else None,
        },
    )


@explained
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
    """A map of any codes, such as those of an autoencoder of images.

    codes: (n, d) numbers: an array, a tensor or a frame. ids: of the rows, by default the index of
    a frame, else 0..n-1. about: a table with the column id and others, such as `title` and columns
    to colour by, or a mapping from ids to titles. The other options are those of `map_items`.

    Raises ConfigError for bad options, DataError for codes that are not finite numbers, for ids
    that do not fit, and for fewer than 3 rows.

    >>> recae.apply.maps.map_codes(X, ids=[f"code {row}" for row in range(100)]).ids[0]
    'code 0'
    """
    options = _Options(method, distance, seed, progress)
    if ids is None and isinstance(codes, pd.DataFrame):
        ids = codes.index
    array = np.asarray(codes.detach().cpu() if hasattr(codes, "detach") else codes)
    if array.ndim != 2 or array.dtype.kind not in "fiu" or not array.shape[1]:
        raise DataError(
            f"codes must be (n, d) numbers; found {array.dtype} of shape {array.shape}; flatten "
            "images first"
        )
    known = IdMap.range(len(array), "point") if ids is None else IdMap(ids, "point")
    if len(known) != len(array):
        raise DataError(
            f"there are {len(array):,} codes and {len(known):,} ids: pass one id for each row"
        )
    return _build(
        array.astype(np.float64),
        known,
        about_points(about, known),
        options,
        provenance={"vectors": "codes"},
    )


def _check_model(model: object) -> None:
    if not isinstance(model, Recommender):
        raise ConfigError(
            f"model must be a fitted recommender, not {type(model).__name__}; for codes take "
            "recae.apply.maps.map_codes",
            parameter="model",
            value=model,
        )
    model._check_fitted()


@dataclass(frozen=True)
class _Options:
    """The options of all makers. Raises ConfigError for a bad one."""

    method: str
    distance: str
    seed: int
    progress: bool | None

    def __post_init__(self) -> None:
        check_option("method", self.method, METHODS)
        check_option("distance", self.distance, DISTANCES)
        check_seed(self.seed)
        check_progress(self.progress)


def _at_least(counts: np.ndarray, least: int, what: str, of: str) -> np.ndarray:
    """The places of items or users with enough of the other. Raises DataError for too few."""
    kept = np.flatnonzero(counts >= least)
    if len(kept) < FEWEST:
        raise DataError(
            f"{len(kept)} of {len(counts):,} {what} have at least {least} {of}, and a map needs "
            f"{FEWEST}: pass a smaller min_{of}",
            parameter=f"min_{of}",
            value=least,
        )
    return kept


def _build(
    vectors: Floats,
    ids: IdMap,
    about: pd.DataFrame,
    options: _Options,
    *,
    size: tuple[str, np.ndarray] | None = None,
    level: np.ndarray | None = None,
    colours: dict[str, Groups] | None = None,
    provenance: Mapping[str, Any],
) -> Map:
    """A map from checked options. about: from `about_points`; size: the importance of points and
    its name; level: as in `prepared`; colours: in addition to those of `about` and `size`."""
    _check_vectors(vectors, ids)
    names = [name for name in about.columns if name != TITLE]
    found = {str(name): colour_of(about[name], str(name)) for name in names} | (colours or {})
    if size is not None:
        found.pop(size[0], None)  # this one comes last
        found[size[0]] = Amounts(size[1].astype(np.float64))
    ready = prepared(vectors, options.distance, level)
    n = len(ready)
    near = nearest(ready, min(K, n - 1))
    seed = int(options.seed)
    facts = {"distance": options.distance, "dimensions": vectors.shape[1], "seed": seed}
    if options.method == "tsne":
        positions, divergence = tsne(ready, seed, options.progress)
        facts["divergence"] = divergence
    else:
        positions, shares = pca(ready)
        facts["explained_variance"] = [float(share) for share in shares]
    k = min(K, (n - 1) // 2)
    facts |= {"trustworthiness": trustworthiness(ready, positions, k, seed), "neighbours": k}
    return Map(
        ids=ids.ids,
        positions=positions,
        titles=tuple(about[TITLE]),
        colours=found,
        near=near,
        what=ids.what,
        method=options.method,
        size=None if size is None else size[0],
        provenance={**provenance, **facts},
    )


def _check_vectors(vectors: Floats, ids: IdMap) -> None:
    """Raises DataError for too few vectors, for those with NaN, infinite or huge numbers, and if
    all are the same."""
    if len(vectors) < FEWEST:
        raise DataError(f"a map needs at least {FEWEST} {ids.what}s; there are {len(vectors)}")
    unusable = ~np.isfinite(vectors).all(axis=1)
    if unusable.any():
        raise DataError(
            f"the vectors of {int(unusable.sum()):,} {ids.what}s hold NaN or infinite numbers, the "
            f"first that of {show(ids.ids[int(unusable.argmax())])}"
        )
    if np.abs(vectors).max() > LARGEST:
        raise DataError(
            f"the vectors hold numbers beyond {LARGEST:g}, whose squares are infinite: divide them"
        )
    if (vectors == vectors[0]).all():
        raise DataError(f"the vectors of all {len(vectors):,} {ids.what}s are the same")
