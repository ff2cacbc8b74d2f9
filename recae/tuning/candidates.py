"""The models that `find_best` tries: which, in what order, how long, and which are too large."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch

from recae.data import Interactions
from recae.data.splits import Fold, GlobalTime, RandomSplit
from recae.errors import CapacityError, ConfigError, RecaeError, check_option
from recae.models import MODELS, SLIM, InfiniteAE
from recae.models.linear._base import LinearRecommender
from recae.models.linear._solve import SPARE, plan_solver
from recae.models.neural._base import NeuralRecommender
from recae.recommend.base import Recommender
from recae.system.machine import total_memory

USUAL = ("popularity", "item-knn", "svd-ae", "pure-svd", "ease", "edlae", "als", "mult-vae")
"""The models that are tried unless others are named, those that are cheap to fit first."""

PARTS = 3
"""Parts of the time for a model that trains in epochs, where any other gets one."""

SIZE, RUNS = 512, 8
"""Columns of the matrix whose inverse tells the speed of the machine, and how often: the fastest of
the runs counts, which other processes disturb least."""

SAMPLES = 3
"""Items of an update of a sampled softmax, in samples: those of the batch come on top."""

FASTER = 4
"""How many times as fast the float32 products of a training are as such an inverse."""

WIDTH, EPOCHS = 300, 20
"""Units of a hidden layer, and epochs that a training must have time for."""

ELASTIC_NETS = 50
"""Times as long as an inverse of all items that a fit of SLIM takes on dense data."""

ENOUGH = 200
"""Users with a target from which on data are split at a time."""

USERS, FEWER, SCORES = 10_000, 2_000, 1 << 27
"""Users that are held out for validation, at most: as many as have `SCORES` scores, but not fewer
than `FEWER`."""

INVERSES = 6
"""Inverses that must fit into the time that is left: a search of a few settings, and the models
after it."""


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


@cache
def speed() -> float:
    """Operations a second of an inverse, n^3 for n columns, measured; larger ones are faster."""
    matrix, fastest = torch.eye(SIZE, dtype=torch.float64) + 1.0, float("inf")
    for _ in range(RUNS):
        started = time.perf_counter()
        torch.cholesky_inverse(torch.linalg.cholesky(matrix))
        fastest = min(fastest, time.perf_counter() - started)
    return float(SIZE**3 / max(fastest, 1e-6))


def too_large(template: Recommender, share: float, left: float, data: Interactions) -> str:
    """Why a closed form cannot be fitted in the memory or the time; "" if it can."""
    reason, size = _inverted(template, data)
    forecast = size**3 / speed() if size else 0.0
    if reason or forecast <= share:
        return reason
    return (
        f"its inverse of {size:,} x {size:,} may take {forecast:.0f} s, and {share:.0f} s are "
        "its share: give more seconds, or keep fewer items"
    )


def _inverted(template: Recommender, data: Interactions) -> tuple[str, int]:
    """Why the matrix of a closed form does not fit in memory, or ""; its columns, 0 for none."""
    if isinstance(template, InfiniteAE):
        return "", data.n_users
    if not isinstance(template, LinearRecommender):
        return "", 0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            plan, _ = plan_solver(template.name, data.n_users, data.n_items, 0.0, "auto")
    except CapacityError as error:
        return str(error), 0
    return "", data.n_users if plan.over_users else data.n_items


class Room:
    """The memory and the time that are left for the members of an ensemble.

    An item-item matrix stays in memory while the next members are tuned. An inverse may take a
    sixth of the time that is left. A training must have time for 20 epochs in its share, and SLIM
    for one fit.
    """

    def __init__(self, data: Interactions) -> None:
        self.data, self.held = data, 0

    def refuse(self, template: Recommender, share: float, left: float) -> str:
        """Why a model is skipped; "" if it is not. A model that is not skipped takes its room."""
        reason, size = _inverted(template, self.data)
        if reason:
            return reason
        if size:
            forecast = size**3 / speed()
            if INVERSES * forecast > left:
                return f"its inverse of {size:,} x {size:,} may take {forecast:.0f} s"
            matrix = 4 * self.data.n_items**2
            needed = self.held + 4 * size**2 + 2 * matrix
            available = SPARE * total_memory()
            if needed > available:
                return (
                    f"it needs {needed / 1e9:.1f} GB beside the other models, and "
                    f"{available / 1e9:.1f} GB may be used"
                )
            self.held += matrix
        elif isinstance(template, SLIM):
            forecast = ELASTIC_NETS * self.data.n_items**3 / speed()
            if forecast > share:
                return f"a fit may take {forecast:.0f} s, and {share:.0f} s are its share"
        elif isinstance(template, NeuralRecommender):
            items, known = self.data.n_items, template.param_fields()
            if "num_sampled" in known and "softmax" not in known:  # a sample in any case
                items = min(items, SAMPLES * template.get_params()["num_sampled"])
            cells = float(self.data.n_users) * items
            forecast = 6 * cells * WIDTH * EPOCHS / (FASTER * speed())
            if forecast > share:
                return f"{EPOCHS} epochs may take {forecast:.0f} s, and {share:.0f} s are its share"
        return ""


def split_for_validation(data: Interactions, seed: int) -> tuple[Interactions, Fold | None]:
    """A training part and a fold of the rest: the last tenth in time where that leaves 200 users,
    else a tenth of each user's items. Of 10,000 users at most, of many items of fewer. No fold if
    no user has two items."""
    if data.times is not None:
        try:
            split = GlobalTime(validation=None, test=0.1).split(data, seed=seed)
        except RecaeError:
            pass
        else:
            if split.test is not None and split.test.target.n_users >= ENOUGH:
                return split.train, split.test
    if (np.diff(data.matrix.indptr) < 2).all():
        return data, None
    users = min(USERS, max(SCORES // data.n_items, FEWER)) / data.n_users
    split = RandomSplit(validation=0.1, test=0.0, users=min(users, 1.0)).split(data, seed)
    return split.train, split.validation
