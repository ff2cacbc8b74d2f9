"""Fits and measures one setting, within the budget of the search."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch

from recae.data import Interactions
from recae.data.splits import Fold
from recae.errors import (
    CapacityError,
    ConfigError,
    NotFittedError,
    RecaeWarning,
    TrainingError,
    UnusedWeights,
    check_integer,
    check_number,
)
from recae.evaluation import evaluate
from recae.metrics import Metric
from recae.models import Ensemble
from recae.models.neural._base import NeuralRecommender
from recae.recommend.base import Recommender
from recae.training import Callback, Epoch, Job, following, trackers_of
from recae.tuning.study import COMPLETE, CUT, FAILED, FINISHED, PRUNED, Study, Trial, best_of

clock = time.perf_counter


def check_budget(seconds: object, trials: object) -> tuple[float | None, int | None]:
    """The budget as numbers. Raises ConfigError for none, and for what is no time or count.

    >>> check_budget(60, None)
    (60.0, None)
    """
    if seconds is None and trials is None:
        raise ConfigError("the search needs a budget: seconds=60, trials=20, or both")
    number = None if seconds is None else check_number("seconds", seconds, above=0)
    return number, None if trials is None else check_integer("trials", trials)


class Budget:
    """Seconds, trials, or both; `before` were spent by an earlier process. patience: trials in a
    row without a better one that end the search."""

    def __init__(
        self,
        seconds: float | None,
        trials: int | None,
        before: float = 0.0,
        patience: int | None = None,
    ) -> None:
        self.seconds, self.trials, self.before = seconds, trials, before
        self.patience = patience
        self.started = clock()

    @property
    def spent(self) -> float:
        """Seconds spent in all."""
        return self.before + clock() - self.started

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return self.seconds is not None and self.spent >= self.seconds

    def allows(self, trials: Sequence[Trial]) -> bool:
        """Whether another trial may begin: there is time for the fastest of those that finished."""
        if self.trials is not None and len(trials) >= self.trials:
            return False
        best = best_of(trials)
        if self.patience is not None and best and len(trials) - best.number > self.patience:
            return False
        if self.seconds is None or not trials:
            return not self.over
        finished = [trial.seconds for trial in trials if trial.state in (COMPLETE, PRUNED)]
        left = self.seconds - self.spent
        return left > 0 and left >= min(finished, default=0.0)


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
    if not isinstance(model, NeuralRecommender):
        return {}
    epochs = best_epoch(model)
    settings = model.get_params()
    changed: dict[str, Any] = {"epochs": epochs}
    if settings.get("anneal"):
        reached = epochs / (settings["anneal"] * settings["epochs"])
        changed["anneal"] = min(1 / reached, 1.0)
        changed["beta"] = settings["beta"] * min(reached, 1.0)
    return changed


def best_epoch(model: NeuralRecommender) -> int:
    """The number of the epoch whose weights were kept: the first of the best, else the last."""
    epochs = getattr(model, "epochs_", [])
    if not epochs:
        raise NotFittedError(f"this {type(model).__name__} has no epochs yet: call fit first")
    values = [epoch.metrics.get(model.metric) for epoch in epochs]
    if None in values:  # there was no validation
        return len(epochs)
    return int(np.argmin(values) if model.lowest_is_best else np.argmax(values)) + 1


FAILURES = (ConfigError, CapacityError, TrainingError)
"""Errors of one setting that do not end the search."""


@dataclass(frozen=True)
class Task:
    """What all trials share. The template validates itself by the tuned metric, if it can.

    metrics: the one to maximise, then the others that are measured.
    """

    template: Recommender
    data: Interactions
    validation: Fold
    metrics: Sequence[Metric]
    halving: bool
    seed: int
    device: torch.device
    callbacks: tuple[Callback, ...] = ()

    @property
    def metric(self) -> str:
        """The name of the metric to maximise."""
        return str(self.metrics[0])

    @property
    def validates_itself(self) -> bool:
        """Whether the model measures the tuned metric after every epoch."""
        model = self.template
        named = self.metrics[0].function is None
        return named and isinstance(model, NeuralRecommender) and model.metric == self.metric


def attempt(
    task: Task,
    study: Study,
    params: Mapping[str, Any],
    budget: Budget,
    on_epoch: Callable[[], object] = lambda: None,
) -> tuple[Trial, Recommender | None]:
    """The trial of these settings, and its fitted model unless it failed."""
    number, model = len(study.trials), task.template.clone().set_params(**params)
    settings = {"model": model.name, **model.get_params(), "seed": task.seed}
    with following(task.callbacks, lambda: Job("trial", f"trial {number}", settings)) as told:
        trial, fitted = _attempt(task, study, model, params, budget, on_epoch)
        told.state, told.reason = trial.state, trial.reason
        if trial.value is not None:
            told.metrics = {task.metric: trial.value, **trial.others}
    return trial, fitted


def _attempt(
    task: Task,
    study: Study,
    model: Recommender,
    params: Mapping[str, Any],
    budget: Budget,
    on_epoch: Callable[[], object],
) -> tuple[Trial, Recommender | None]:
    """Fits one setting and measures it. It is pruned if it is behind at an epoch, cut when the time
    is up, and failed after an error; only then there is no model."""
    planned = model.get_params().get("epochs")
    halving = task.halving and task.validates_itself
    started, best, reached = clock(), -math.inf, 0
    value: float | None = None
    others: Mapping[str, float] = {}
    state, reason = COMPLETE, ""

    def after_epoch(epoch: Epoch) -> bool:
        """Ends a training when the time is up, or when it has fallen too far behind."""
        nonlocal best, reached, state, reason
        on_epoch()
        reached = epoch.number
        if halving:
            best = max(best, epoch.metrics[task.metric])
        if epoch.number == planned:  # it ends by itself
            return False
        if halving and study.behind(epoch.number, best):
            state, reason = (
                PRUNED,
                f"its {best:.4f} at epoch {epoch.number} was not in the best third",
            )
        elif budget.over:
            state, reason = CUT, f"the time was up after epoch {epoch.number}"
        return state != COMPLETE

    with noted_warnings() as warned:
        warnings.simplefilter("ignore", UnusedWeights)  # the search itself warns once
        try:
            model.fit(
                task.data,
                task.validation,
                seed=task.seed,
                device=task.device,
                callbacks=_callbacks(task, model, after_epoch),
                progress=False,
            )
            value, others = _measured(task, model)
            if not math.isfinite(value):
                raise TrainingError(f"its {task.metric} is {value}")
            if halving and state == COMPLETE:  # all that come to a later rung compete with it
                study.behind(FINISHED, best)
        except FAILURES as error:
            state, reason, value = FAILED, str(error), None
    trained = getattr(model, "epochs_", None)
    failed = state == FAILED
    trial = Trial(
        number=len(study.trials),
        params=dict(params),
        value=value,
        seconds=clock() - started,
        ended=budget.spent,
        epochs=len(trained) if trained is not None else reached or None,
        state=state,
        reason="; ".join([reason, *warned] if reason else warned),
        warned=tuple(warned),
        refit={} if failed else best_settings(model),
        others=others,
    )
    return trial, None if failed else model


def _callbacks(task: Task, model: Recommender, after_epoch: Callback) -> Sequence[Callback]:
    """The callbacks of the fit of a trial. Trackers know of the trial, so that of its fit they get
    the epochs alone; of the members of an ensemble none, as their numbers begin again."""
    parts = model._trained()
    if not any(part.uses_callbacks for part in parts):
        return ()
    trackers = trackers_of(task.callbacks)
    functions = [one for one in task.callbacks if one not in trackers]
    epochs = [tracker.__call__ for tracker in trackers] if len(parts) == 1 else []
    return [after_epoch, *functions, *epochs]


def _measured(task: Task, model: Recommender) -> tuple[float, Mapping[str, float]]:
    """The metric on validation, that of the epoch that was kept or measured now; and the others."""
    known, metrics = {}, list(task.metrics)
    if task.validates_itself and isinstance(model, NeuralRecommender):
        epoch = model.epochs_[best_epoch(model) - 1]
        known = {task.metric: float(epoch.metrics[task.metric])}
        del metrics[0]
    measured: dict[str, float] = {}
    if metrics:
        measured = evaluate(model, task.validation, metrics, progress=False).mean
    found = {**measured, **known}
    return found[task.metric], {str(m): found[str(m)] for m in task.metrics[1:]}


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
