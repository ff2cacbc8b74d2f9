"""Fitting and measuring one setting."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch

from recae.data import Interactions
from recae.data.splits import Fold
from recae.errors import CapacityError, ConfigError, NotFittedError, RecaeWarning, TrainingError
from recae.evaluation import evaluate
from recae.models import Ensemble
from recae.recommend.autoencoder import AutoencoderRecommender
from recae.recommend.base import Recommender
from recae.training import Epoch
from recae.tuning import budget as budgets
from recae.tuning.budget import Budget
from recae.tuning.trial import COMPLETE, CUT, FAILED, PRUNED, Trial

FACTOR = 3


def is_rung(epoch: int) -> bool:
    """Whether trials are compared after this epoch: 3, 9, 27, 81 and so on."""
    while epoch % FACTOR == 0:
        epoch //= FACTOR
        if epoch == 1:
            return True
    return False


def hopeless(epoch: int, value: float, past: Sequence[Trial]) -> str:
    """Why a trial should end after this epoch; nothing if it is among the best third.

    value: the best that it has reached. The rule is that of Li et al., "A System for Massively
    Parallel Hyperparameter Tuning" (ASHA), MLSys 2020, one trial after another: of all trials that
    came to a rung, itself included, the best third goes on. (A trial that finished earlier counts
    with its final value.) So the first is never ended, and neither is the best.
    """
    others = [found for trial in past if (found := _reached(trial, epoch)) is not None]
    ranked = sorted([*others, value], reverse=True)
    needed = ranked[math.ceil(len(ranked) / FACTOR) - 1]
    if value >= needed:
        return ""
    return f"at epoch {epoch} its {value:.4f} was below {needed:.4f}, the least of the best third"


def _reached(trial: Trial, epoch: int) -> float | None:
    if trial.state == FAILED:
        return None
    if trial.state == COMPLETE and trial.epochs is not None and trial.epochs <= epoch:
        return trial.value
    return trial.rungs.get(epoch)


Model = TypeVar("Model", bound=Recommender)


def at_best_epoch(model: Model) -> Model:
    """The unfitted model to fit without validation: as many epochs as were best, each as it was.

    A KL term that rose over a share of the planned epochs rises as far and as fast as it did. Of an
    ensemble every member is treated so. Models without epochs keep their settings. Raises
    NotFittedError for a model whose epochs are not known: unfitted, or loaded.

    >>> split = recae.data.splits.holdout_pairs(data, 0.5)
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


FAILURES = (ConfigError, CapacityError, TrainingError)
"""What a setting may lead to that says nothing against the others."""


@dataclass(frozen=True)
class Task:
    """What all trials share. The template has the tuned metric as its own, if it can."""

    template: Recommender
    data: Interactions
    validation: Fold
    metric: str
    halving: bool
    seed: int
    device: torch.device

    @property
    def validates_itself(self) -> bool:
        """Whether the model measures the tuned metric after every epoch."""
        model = self.template
        return isinstance(model, AutoencoderRecommender) and model.metric == self.metric


class Watch:
    """Ends a training when the time is up, or when it has fallen too far behind."""

    def __init__(
        self, task: Task, epochs: int | None, past: Sequence[Trial], budget: Budget
    ) -> None:
        self.task, self.epochs, self.past, self.budget = task, epochs, past, budget
        self.state, self.reason = COMPLETE, ""
        self.best = -math.inf
        self.rungs: dict[int, float] = {}

    def __call__(self, epoch: Epoch) -> bool:
        """Whether to end after this epoch."""
        compared = self.task.halving and self.task.validates_itself
        if compared:
            self.best = max(self.best, epoch.metrics[self.task.metric])
        if epoch.number == self.epochs:  # it ends by itself
            return False
        if compared and is_rung(epoch.number):
            self.rungs[epoch.number] = self.best
            self.reason = hopeless(epoch.number, self.best, self.past)
            if self.reason:
                self.state = PRUNED
                return True
        if self.budget.over:
            self.state, self.reason = CUT, f"the time was up after epoch {epoch.number}"
            return True
        return False


def attempt(
    task: Task,
    params: Mapping[str, Any],
    past: Sequence[Trial],
    budget: Budget,
    on_epoch: Callable[[], object] = lambda: None,
) -> tuple[Trial, Recommender | None]:
    """One more trial after the past ones, and its fitted model unless it failed."""
    model = task.template.clone().set_params(**params)
    watch = Watch(task, model.get_params().get("epochs"), past, budget)
    started = budgets.clock()
    value: float | None = None

    def after_epoch(epoch: Epoch) -> bool:
        on_epoch()
        return watch(epoch)

    with noted_warnings() as warned:
        try:
            model.fit(
                task.data,
                task.validation,
                seed=task.seed,
                device=task.device,
                callbacks=after_epoch,
                progress=False,
            )
            value = _measured(task, model)
            if not math.isfinite(value):
                raise TrainingError(f"its {task.metric} is {value}")
        except FAILURES as error:
            watch.state, watch.reason, value = FAILED, str(error), None
    trained = getattr(model, "epochs_", None)
    failed = watch.state == FAILED
    trial = Trial(
        number=len(past),
        params=dict(params),
        value=value,
        seconds=budgets.clock() - started,
        ended=budget.spent,
        epochs=len(trained) if trained is not None else None,
        state=watch.state,
        reason="; ".join([watch.reason, *warned] if watch.reason else warned),
        warned=tuple(warned),
        rungs=watch.rungs,
        refit={} if failed else best_settings(model),
    )
    return trial, None if failed else model


def _measured(task: Task, model: Recommender) -> float:
    """The metric on validation: that of the epoch that was kept, or measured now."""
    if task.validates_itself and isinstance(model, AutoencoderRecommender):
        return float(model.epochs_[best_epoch(model) - 1].metrics[task.metric])
    return evaluate(model, task.validation, task.metric, progress=False)[task.metric]


@contextmanager
def noted_warnings() -> Iterator[list[str]]:
    """Collects the RecaeWarnings of a block, each once; all others go where they would have."""
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RecaeWarning)
        try:
            yield said
        finally:
            ours = [str(w.message) for w in caught if issubclass(w.category, RecaeWarning)]
            said += dict.fromkeys(ours)
    for other in caught:
        if not issubclass(other.category, RecaeWarning):
            warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)
