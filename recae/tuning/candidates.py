"""The models that `find_best` tries: which, in what order, how long, and which are too large."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from recae.data import Interactions
from recae.errors import CapacityError, ConfigError, check_option
from recae.models import MODELS, InfiniteAE
from recae.models.linear._base import LinearRecommender
from recae.models.linear._solve import plan_solver
from recae.models.neural._base import NeuralRecommender
from recae.recommend.base import Recommender
from recae.tuning.space import read_space

USUAL = ("popularity", "item-knn", "svd-ae", "pure-svd", "ease", "edlae", "als", "mult-vae")
"""The models that are tried unless others are named, those that are cheap to fit first."""

PARTS = 3
"""Parts of the time for a model that trains in epochs, where any other gets one."""

SPEED = 2e10
"""Operations a second of an inverse on a slow processor: closed forms that would take longer than
their share of the time are skipped."""


def templates_of(models: Sequence[Any] | None) -> dict[str, Recommender]:
    """Name -> unfitted model. Raises ConfigError for an unknown name, or for one that is twice."""
    if isinstance(models, str | Recommender):
        models = [models]
    found: dict[str, Recommender] = {}
    for given in USUAL if models is None else models:
        if isinstance(given, type) and issubclass(given, Recommender):
            given = given()
        if isinstance(given, Recommender):
            name, model = given.name, given.clone()
        else:
            check_option("model", given, MODELS, parameter="models")
            name, model = str(given), MODELS[str(given)]()
        if name in found:
            raise ConfigError(f"models names {name!r} twice", parameter="models", value=models)
        model.check_params()
        found[name] = model
    if not found:
        raise ConfigError("models must name at least one model", parameter="models", value=models)
    return found


def share_of(models: Sequence[Recommender]) -> float:
    """The share of the time that is left for the first of some models."""
    parts = [PARTS if isinstance(model, NeuralRecommender) else 1 for model in models]
    return parts[0] / sum(parts)


def space_of(template: Recommender, weighted: bool) -> dict[str, Any] | None:
    """None for the usual space; the template's own setting where there is nothing to search."""
    try:
        read_space(template, None, weighted)
    except ConfigError:
        own = {name: value for name, value in template.get_params().items() if name != "metric"}
        return {name: [value] for name, value in list(own.items())[:1]} or None
    return None


def too_large(template: Recommender, data: Interactions, seconds: float) -> str:
    """Why a closed form cannot be fitted in the memory or the time; "" if it can."""
    if isinstance(template, InfiniteAE):
        size = data.n_users
    elif isinstance(template, LinearRecommender):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                plan, _ = plan_solver(template.name, data.n_users, data.n_items, 0.0, "auto")
        except CapacityError as error:
            return str(error)
        size = data.n_users if plan.over_users else data.n_items
    else:
        return ""
    forecast = size**3 / SPEED
    if forecast <= seconds:
        return ""
    return (
        f"its inverse of {size:,} x {size:,} may take {forecast:.0f} s, and {seconds:.0f} s are "
        "its share: give more seconds, or keep fewer items"
    )
