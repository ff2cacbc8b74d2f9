"""Searches the settings of one model on validation data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import torch

from recae.data import Interactions
from recae.data.splits import Fold
from recae.errors import TrainingError, warn
from recae.estimators.reuse import reuse
from recae.evaluation.seen import warn_if_seen
from recae.metrics import Metric
from recae.recommend.base import Recommender
from recae.recommend.saved import facts_of
from recae.recommend.tuned import mark_tuned
from recae.recommend.weights import warn_if_unused, weights_differ
from recae.system.progress import bar, say
from recae.training import Callback, Job, Result, following
from recae.tuning.attempt import Budget, Task, attempt
from recae.tuning.result import Tuning, frame
from recae.tuning.space import Given, Space, read_space
from recae.tuning.study import CUT, FAILED, Study, Trial, best_of

PATIENCE = 20
"""Trials that may fail before the first that does not."""


@dataclass(frozen=True)
class Search:
    """What the searches of one call share; all of it is checked.

    metrics: the one to maximise, then others that are measured.
    """

    data: Interactions
    validation: Fold
    metrics: Sequence[Metric]
    sampler: str = "tpe"
    halving: bool = True
    patience: int | None = None
    seed: int = 0
    device: torch.device = torch.device("cpu")
    progress: bool | None = None
    callbacks: Sequence[Callback] = ()

    def tune(
        self,
        template: Recommender,
        space: Given | None = None,
        *,
        seconds: float | None = None,
        trials: int | None = None,
        folder: str | Path | None = None,
    ) -> Tuning:
        """As `recae.tune`."""
        model = measuring(template, self.metrics[0])
        searched = read_space(model, space, weights_differ(self.data))
        limits = {"seconds": seconds, "trials": trials}
        with following(self.callbacks, lambda: self.job(model, limits, searched)) as told:
            found = self._tune(model, searched, seconds, trials, folder)
            told_of(told, found, self.validation)
        return found

    def job(self, model: Recommender, limits: Mapping[str, Any], space: Space | None = None) -> Job:
        """What trackers are told before a search."""
        params: dict[str, Any] = {
            "model": model.name,
            **model.get_params(),
            **limits,
            "sampler": self.sampler,
            "halving": self.halving,
            "patience": self.patience,
            "seed": self.seed,
            "metric": str(self.metrics[0]),
        }
        if space is not None:
            params["space"] = space.described()
        facts = {**facts_of(self.data, self.validation), "device": str(self.device)}
        return Job("tune", f"tune {type(model).__name__}", params, facts)

    def _tune(
        self,
        model: Recommender,
        searched: Space,
        seconds: float | None,
        trials: int | None,
        folder: str | Path | None,
    ) -> Tuning:
        """Searches one model, from earlier trials of `folder` on, and returns the best, which is
        fitted once more if it was not kept."""
        data, validation = self.data, self.validation
        if "weights" not in searched.parts:
            warn_if_unused(model, data)
        task = Task(
            model,
            data,
            validation,
            self.metrics,
            self.halving,
            self.seed,
            self.device,
            tuple(self.callbacks),
        )
        study = Study(
            searched, self.sampler, self.seed, folder, _about(task, searched, self.sampler)
        )
        if task.validates_itself:  # the others are evaluated, which notices it
            warn_if_seen(data, validation, "the trials are fitted on, so the search means nothing")
        spent = study.trials[-1].ended if study.trials else 0.0
        budget = Budget(seconds, trials, spent, self.patience)
        with reuse():
            found = _search(task, study, budget, self.progress)
        best = best_of(study.trials)
        if best is None:
            raise TrainingError(_why(study.trials))
        if found is None:
            found = study.best_model(model)
            found.history_ = data
        for message in best.warned:
            warn(message)
        facts: dict[str, Any] = {
            "searched": ", ".join(searched.parts),
            "metric": task.metric,
            "trials": len(study.trials),
            "seconds": round(budget.spent, 1),
        }
        if best.state == CUT:
            facts["cut"] = f"the time was up after epoch {best.epochs}"
            warn(
                f"the best trial of {type(model).__name__}, number {best.number}, was cut: "
                f"{facts['cut']}{_of(found)}, and its {task.metric} of {best.value:.4f} may be far "
                "from what the model can reach. Give the search more seconds before you compare it"
            )
        mark_tuned(found, facts)
        assert best.value is not None  # as of every trial that counts
        return Tuning(
            model=found,
            metric=task.metric,
            params=dict(best.params),
            value=best.value,
            trials=frame(study.trials, list(searched.parts)),
            seconds=budget.spent,
            _best=best,
            _space=searched,
            _past=tuple(study.trials),
        )


def told_of(told: Result, found: Tuning, validation: Fold) -> None:
    """What trackers are told at the end of a search."""
    told.metrics = {found.metric: found.value, "trials": len(found.trials)}
    told.params = {f"best.{name}": value for name, value in found.params.items()}
    told.model, told.validation = found.model, validation
    told.tables = {"trials": found.trials}


def measuring(template: Recommender, metric: Metric) -> Recommender:
    """An unfitted copy that validates itself by the metric, if it can."""
    model, name = template.clone(), str(metric)
    declared = model.param_fields().get("metric")
    known = declared is not None and name in (declared.metadata["choices"] or [name])
    if known and metric.function is None:
        model.set_params(metric=name)
    return model


def _search(task: Task, study: Study, budget: Budget, progress: bool | None) -> Recommender | None:
    """Adds trials to the study until the budget ends; the best one's model, None if it is old."""
    past, best_model = study.trials, None
    by_trials = budget.seconds is None
    total = budget.trials if by_trials else ceil(budget.seconds or 0)
    template = {name: getattr(task.template, name) for name in study.space.parts}
    name = f"tuning {type(task.template).__name__}"
    if past:
        best = best_of(past)
        value = "none has a result" if best is None else f"best {task.metric} {best.value:.4f}"
        say(f"{name}: resumed after trial {len(past)} ({value}), {study.folder}", progress)
    before = len(past) if by_trials else min(ceil(budget.spent), total or 0)
    with bar(total, name, "trial" if by_trials else "s", progress, initial=before) as shown:

        def show() -> None:
            now = len(past) if by_trials else min(ceil(budget.spent), total or 0)
            shown.update(now - shown.n)

        show()
        try:
            while budget.allows(past) and (best_of(past) or len(past) < PATIENCE):
                params = study.ask(template)
                if params is None:
                    break
                trial, model = attempt(task, study, params, budget, show)
                study.tell(trial, model)
                best = best_of(past)
                if best is trial:
                    best_model = model
                show()
                if best is not None:
                    shown.set_postfix({"best": f"{best.value:.4f}"})
        except KeyboardInterrupt:
            kept = "its folder keeps them" if study.folder else "folder=... would have kept them"
            raise KeyboardInterrupt(f"interrupted after {len(past)} trials; {kept}") from None
    return best_model


def _about(task: Task, space: Space, sampler: str) -> Mapping[str, Any]:
    """Everything that the trials of a search depend on."""
    return {
        "model": task.template.name,
        "hyperparameters": task.template._identity(),
        "space": space.described(),
        "metric": task.metric,
        "sampler": sampler,
        "halving": task.halving,
        "seed": task.seed,
        "data": task.data.fingerprint(),
        "validation": task.validation.fingerprint(),
        **({"others": others} if (others := [str(m) for m in task.metrics[1:]]) else {}),
    }


def _of(model: Recommender) -> str:
    """The epochs that were planned, where they are known."""
    planned = model.get_params().get("epochs")
    return "" if planned is None else f" of {planned}"


def _why(past: Sequence[Trial]) -> str:
    """The reasons of failed trials, each once, with the first trial that had it."""
    if not past:
        return "the time was up before the first trial began: give the search more seconds"
    first: dict[str, int] = {}
    for trial in past:
        if trial.state == FAILED:
            first.setdefault(trial.reason, trial.number)
    reasons = "; ".join(f"trial {number}: {reason}" for reason, number in first.items())
    return f"none of {len(past)} trials has come to an end: {reasons}"
