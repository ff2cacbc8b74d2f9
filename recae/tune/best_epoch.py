"""Fitting again without validation what validation has chosen."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from recae.errors import NotFittedError
from recae.models import Ensemble
from recae.recommender import AutoencoderRecommender, Recommender

Model = TypeVar("Model", bound=Recommender)


def at_best_epoch(model: Model) -> Model:
    """The unfitted model to fit without validation: as many epochs as were best, each as it was.

    A KL term that rose over a share of the planned epochs rises as far and as fast as it did. Of an
    ensemble every member is treated so. Models without epochs keep their settings. Raises
    NotFittedError for a model whose epochs are not known: unfitted, or loaded.

    >>> split = recae.holdout_pairs(data, 0.5)
    >>> model = recae.MultDAE(latent=2, hidden=(), epochs=9, patience=1, metric="recall@2")
    >>> at_best_epoch(model.fit(split.train, split.validation)).epochs < 9
    True
    """
    return model.clone().set_params(**best_settings(model))


def best_settings(model: Recommender) -> dict[str, Any]:
    """The hyperparameters that `at_best_epoch` changes."""
    if isinstance(model, Ensemble):
        return {"members": tuple(repr(at_best_epoch(member)) for member in model.members_)}
    if not isinstance(model, AutoencoderRecommender):
        return {}
    epochs = best_epoch(model)
    settings = model.get_params()
    changed: dict[str, Any] = {"epochs": epochs}
    if settings.get("anneal"):
        reached = epochs / (settings["anneal"] * settings["epochs"])
        changed["anneal"] = min(1 / reached, 1.0)
        changed["beta"] = settings["beta"] * min(reached, 1.0)
    return changed


def best_epoch(model: AutoencoderRecommender) -> int:
    """The number of the epoch whose weights were kept: the first of the best, else the last."""
    epochs = getattr(model, "epochs_", [])
    if not epochs:
        raise NotFittedError(f"this {type(model).__name__} does not know its epochs: fit it")
    values = [epoch.metrics.get(model.metric) for epoch in epochs]
    if None in values:  # there was no validation
        return len(epochs)
    return int(np.argmin(values) if model.lowest_is_best else np.argmax(values)) + 1
