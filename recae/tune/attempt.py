"""Fitting and measuring one setting."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from recae.data import Interactions
from recae.errors import CapacityError, ConfigError, RecaeWarning, TrainingError
from recae.evaluate import evaluate
from recae.recommender import AutoencoderRecommender, Recommender
from recae.splits import Fold
from recae.training import Epoch
from recae.tune import budget as budgets
from recae.tune.best_epoch import best_epoch, best_settings
from recae.tune.budget import Budget
from recae.tune.halving import hopeless, is_rung
from recae.tune.trial import COMPLETE, CUT, FAILED, PRUNED, Trial

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
