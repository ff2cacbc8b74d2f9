"""Vectors become a map: the one way that items, users and codes share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from recae.apply.maps.about import TITLE
from recae.apply.maps.colours import Amounts, Groups, colour_of
from recae.apply.maps.neighbours import Floats, nearest
from recae.apply.maps.quality import K, trustworthiness
from recae.apply.maps.result import Map
from recae.apply.maps.tsne import check_tsne, pca, tsne
from recae.apply.maps.vectors import prepared
from recae.data import IdMap
from recae.data.ids import show
from recae.errors import ConfigError, DataError, check_flag, unknown_option
from recae.rng import check_seed
from recae.system.progress import check_progress

METHODS = ("tsne", "pca")
DISTANCES = ("cosine", "euclidean")
FEWEST = 3
"""Points that a map needs."""
LARGEST = 1e100
"""What a number of a vector may be, without its sign."""


def check_options(
    method: object, distance: object, seed: object, progress: object, **more: object
) -> None:
    """Raises ConfigError for an option that cannot be, before anything is computed.

    more: flags, which must be bool, and least numbers, which are whole and at least 1.
    """
    if method not in METHODS:
        raise unknown_option("method", method, METHODS)
    if method == "tsne":
        check_tsne()
    if distance not in DISTANCES:
        raise unknown_option("distance", distance, DISTANCES)
    check_seed(seed)
    check_progress(progress)
    for name, value in more.items():
        if name.startswith("min_"):
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
                raise ConfigError(f"{name} must be a whole number >= 1, not {value!r}")
        else:
            check_flag(name, value)


def build(
    vectors: Floats,
    ids: IdMap,
    about: pd.DataFrame,
    *,
    method: str,
    distance: str,
    seed: int,
    progress: bool | None,
    size: tuple[str, np.ndarray] | None = None,
    level: np.ndarray | None = None,
    colours: Mapping[str, Groups | Amounts] | None = None,
    provenance: Mapping[str, Any],
) -> Map:
    """A map of checked options. about: of `about_points`; size: what makes points important, with
    its name; level: what is not to shape the map; colours: more than `about` and `size` have."""
    _check_vectors(vectors, ids)
    found = {
        str(name): colour_of(about[name], str(name)) for name in about.columns if name != TITLE
    }
    found.update(colours or {})
    if size is not None:
        found = {name: colour for name, colour in found.items() if name != size[0]}
        found[size[0]] = Amounts(size[1].astype(np.float64))
    ready = prepared(vectors, distance, level)
    n = len(ready)
    near = nearest(ready, min(K, n - 1), progress)[0]
    said = {"distance": distance, "dimensions": vectors.shape[1], "seed": int(seed)}
    if method == "tsne":
        positions, divergence = tsne(ready, seed, progress)
        said["divergence"] = divergence
    else:
        positions, shares = pca(ready)
        said["explained_variance"] = [float(share) for share in shares]
    k = min(K, (n - 1) // 2)
    said |= {"trustworthiness": trustworthiness(ready, positions, k, seed), "neighbours": k}
    return Map(
        ids=ids.ids,
        positions=positions,
        titles=tuple(about[TITLE]),
        colours=found,
        near=near,
        what=ids.what,
        method=method,
        size=None if size is None else size[0],
        provenance={**provenance, **said},
    )


def _check_vectors(vectors: Floats, ids: IdMap) -> None:
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
