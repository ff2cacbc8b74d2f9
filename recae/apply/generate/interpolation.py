"""From one user's taste to another's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from recae.apply.generate.codes import check_decodes
from recae.apply.generate.walks import coherence, kept, mixed, walk
from recae.data import Interactions, as_interactions
from recae.errors import ConfigError, DataError
from recae.models.neural._base import NeuralRecommender
from recae.ranking.top_k import check_k
from recae.recommend.requests import align, resolve
from recae.system.forks import survives_fork

MOST_STEPS = 1000
"""Of a way, which are decoded together: steps x n_items scores."""


@survives_fork
def interpolate(
    model: Any,
    user_a: Any,
    user_b: Any,
    steps: int = 7,
    k: int = 10,
    *,
    history: Interactions | Any = None,
    path: str = "straight",
    titles: Mapping[Any, str] | pd.Series[Any] | None = None,
) -> pd.DataFrame:
    """What to recommend on the way from one user's taste to another's.

    The codes of the two histories are joined by a line, `steps` codes on it are decoded, and the
    best k items of each are a list; what either user has is left out of all. Returns a frame `step,
    share, item_id, score, rank`, share going from 0 (user_a) to 1 (user_b), and title if titles
    are given: a mapping or Series from item ids.

    model: fitted, with a decoder that needs nothing but the code, such as MultVAE. history: whose
    tastes to go by, as in `recommend`; None for the interactions the model carries. path:
    "straight" or "spherical", which keeps the length that a straight line loses in between; on
    MovieLens 1M codes half way are likelier for both users on the straight one, and the lists
    cohere as well (`python -m evaluation synthetic_users`). See `path_quality`.

    Raises ConfigError for a model without such a code and for bad options, DataError for users who
    are unknown or have no item that the model knows.

    >>> model = recae.MultVAE(latent=2, hidden=(3,), epochs=2).fit(data)
    >>> recae.apply.generate.interpolate(model, 0, 1, steps=3, k=1)["share"].tolist()
    [0.0, 0.5, 1.0]
    """
    if titles is not None and not isinstance(titles, Mapping | pd.Series):
        raise ConfigError(
            f"titles must be a mapping or a Series from item ids, not {type(titles).__name__}"
        )
    if isinstance(titles, pd.Series) and not titles.index.is_unique:
        again = titles.index[titles.index.duplicated()][0]
        raise ConfigError(f"titles has several for item {again!r}: keep one for each")
    model, both, most = _asked(model, user_a, user_b, steps, k, history)
    walks = walk(model, both[:1], both[1:], steps, most, path)
    columns, scores = walks.items[0], walks.scores[0]
    items = model.items_.decode(np.maximum(columns, 0))
    step, place = np.nonzero(columns >= 0)
    frame = pd.DataFrame(
        {
            "step": step,
            "share": np.linspace(0, 1, steps)[step],
            "item_id": items[step, place],
            "score": scores[step, place],
            "rank": place + 1,
        }
    )
    if titles is not None:
        found = pd.Series(titles, dtype=object)
        frame["title"] = found.reindex(frame["item_id"]).fillna("").to_numpy()
    return frame


@survives_fork
def path_quality(
    model: Any,
    user_a: Any,
    user_b: Any,
    steps: int = 7,
    k: int = 10,
    *,
    history: Interactions | Any = None,
    data: Interactions | Any = None,
    path: str = "straight",
) -> pd.DataFrame:
    """Whether the way from one taste to another makes sense at every step.

    A frame with the columns step; share; likelihood_a and likelihood_b, the mean log probability
    (softmax of the scores) of what each user has; kept_a and kept_b, the share of the list of the
    first and of the last step in this one's; coherence, the mean cosine between the items of the
    list by who has them in `data` (None for the interactions the model carries); mixed, the same
    for a list of the best items of both ends in turns, as many as a step has of either by its
    share: what showing two lists side by side would be like.

    Raises as `interpolate` does, and DataError where there are no data to measure coherence by.

    >>> model = recae.MultVAE(latent=2, hidden=(3,), epochs=2).fit(data)
    >>> recae.apply.generate.path_quality(model, 0, 1, steps=3, k=1)["kept_a"].tolist()[0]
    1.0
    """
    model, both, most = _asked(model, user_a, user_b, steps, k, history)
    if data is None and model.history_ is None:
        raise DataError(
            "this model carries no interactions: pass data=..., by which coherence is measured"
        )
    given = model.history_ if data is None else as_interactions(data, model.items_)
    assert given is not None
    known = align(given, model.items_).matrix
    walks = walk(model, both[:1], both[1:], steps, most, path)
    return pd.DataFrame(
        {
            "step": np.arange(steps),
            "share": np.linspace(0, 1, steps),
            "likelihood_a": walks.likelihood_a[0],
            "likelihood_b": walks.likelihood_b[0],
            "kept_a": kept(walks.items, 0)[0],
            "kept_b": kept(walks.items, -1)[0],
            "coherence": coherence(walks.items, known)[0],
            "mixed": coherence(mixed(walks.items), known)[0],
        }
    )


def _asked(
    model: Any, user_a: Any, user_b: Any, steps: object, k: object, history: Any
) -> tuple[NeuralRecommender, Any, int]:
    """The model, the histories of both users, (2, n_items) CSR, and how long lists are."""
    model = check_decodes(model)
    whole = isinstance(steps, int | np.integer) and not isinstance(steps, bool)
    if not whole or not 2 <= steps <= MOST_STEPS:  # type: ignore[operator]
        raise ConfigError(
            f"steps must be an integer from 2, both ends among them, to {MOST_STEPS}, not {steps!r}"
        )
    most = min(check_k(k), len(model.items_))
    request = resolve(model.items_, model.history_, [user_a, user_b], history, "raise")
    return model, request.matrix, most
