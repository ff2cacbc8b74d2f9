"""Searches the settings of a model on validation data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from recae.data import Interactions, as_interactions
from recae.data.splits import Fold
from recae.errors import (
    ConfigError,
    DataError,
    TrainingError,
    check_flag,
    check_integer,
    check_option,
    explained,
    warn,
)
from recae.evaluation.seen import warn_if_seen
from recae.recommend.base import Recommender
from recae.recommend.requests import check_fold, check_metric
from recae.recommend.tuned import mark_tuned
from recae.recommend.weights import warn_if_unused, weights_differ
from recae.rng import check_seed
from recae.system.progress import bar, check_progress, say
from recae.system.threads import survives_fork
from recae.training import check_alone, resolve_device
from recae.tuning.attempt import Budget, Task, attempt, check_budget
from recae.tuning.result import Tuning, frame
from recae.tuning.space import Given, Space, read_space
from recae.tuning.study import CUT, FAILED, SAMPLERS, Study, Trial, best_of, check_optuna

PATIENCE = 20
"""Trials that may fail before the first that does not."""


@explained
@survives_fork
def tune(
    template: Recommender,
    train: Interactions | pd.DataFrame | Any,
    validation: Fold,
    metric: str = "ndcg@100",
    *,
    seconds: float | None = None,
    trials: int | None = None,
    patience: int | None = None,
    space: Given | None = None,
    sampler: str = "tpe",
    halving: bool = True,
    seed: int = 0,
    device: str | torch.device = "auto",
    progress: bool | None = None,
    folder: str | Path | None = None,
) -> Tuning:
    """Fits a model with one setting after another and keeps the best on validation.

    template: an unfitted model; its own settings are trial 0, so that nothing comes out worse than
    them on validation. metric: the metric to maximise, with a value per user, such as "ndcg@100"; a
    model that validates itself does so by this metric. space: hyperparameter -> a tuple (low, high)
    to search between, by factors where it spans ten or more, or a list of choices; None: every
    range that `param(usual=...)` names, `weights` and `weight_transform` only where the largest
    weight is at least twice the smallest. sampler: "tpe" learns from past trials (Bergstra et al.,
    "Algorithms for Hyper-Parameter Optimization", NIPS 2011), "random" does not. halving: ends
    models trained in epochs that are not in the best third after 3, 9, 27 ... of them (successive
    halving). It can end settings that are slow at first and better in the end.

    The budget is `seconds`, `trials` or both. No trial begins after it, or when even the fastest
    one would not fit in the remaining time. A model trained in epochs ends with the epoch in which
    the time is up; any other may end late. A finite space ends the search when all of it was tried.
    Settings that are refused, too large or diverge are failed trials. The best is the highest
    value, the earlier trial of equals. Memory is that of two fitted models.

    seed: of the sampler and of every fit; with `trials` alone the same call finds the same again.
    device, progress: as in `fit`. folder: keeps every finished trial and the best model. After a
    kill the same call resumes with the rest of the budget (the killed trial begins again; its time
    is not counted). With a larger budget it continues where it ended. If the budget is already
    spent, it returns the stored result with all its trials.

    Needs Optuna (`pip install "recae[tune]"`). Raises ConfigError without it and for bad options,
    DataError for bad data, StorageError for the folder, all before any fit, and TrainingError if
    every trial fails, or the first 20. Warns if the end of the time cut the best trial: `compare`,
    `verdicts` and the pages of `recae.report` then mark the model. Warns of what the fit of the
    best trial warned of.

    >>> split = recae.data.splits.holdout_pairs(data, 0.5)
    >>> tuning = recae.tune(
    ...     recae.EASE(), split.train, split.validation, "recall@2", trials=4, space={"l2": (1, 99)}
    ... )
    >>> tuning.trials["state"].tolist()
    ['complete', 'complete', 'complete', 'complete']
    """
    check_alone("recae.tune")
    if not isinstance(template, Recommender):
        raise ConfigError(
            f"template must be a model, such as recae.EASE(), not {template!r}",
            parameter="template",
            value=template,
        )
    check_metric(metric)
    limits = check_budget(seconds, trials)
    if patience is not None:
        check_integer("patience", patience)
    check_option("sampler", sampler, SAMPLERS)
    check_flag("halving", halving)
    check_seed(seed)
    place = resolve_device(device)
    check_progress(progress)
    model = measuring(template, metric)
    model.check_params()
    check_optuna()
    data = as_interactions(train)
    if not data.nnz:
        raise DataError("there are no interactions to learn from")
    searched = read_space(model, space, weights_differ(data))
    check_fold("validation", validation)
    if "weights" not in searched.parts:
        warn_if_unused(model, data)
    task = Task(model, data, validation, str(metric), halving, seed, place)
    study = Study(searched, sampler, seed, folder, _about(task, searched, sampler))
    if task.validates_itself:  # the others are evaluated, which notices it
        warn_if_seen(data, validation, "the trials are fitted on, so the search means nothing")
    spent = study.trials[-1].ended if study.trials else 0.0
    budget = Budget(*limits, spent, patience)
    found = _search(task, study, budget, progress)
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
        _space=searched,
        _past=tuple(study.trials),
    )


def measuring(template: Recommender, metric: str) -> Recommender:
    """An unfitted copy that validates itself by the metric, if it can."""
    model = template.clone()
    declared = model.param_fields().get("metric")
    if declared is not None and metric in (declared.metadata["choices"] or [metric]):
        model.set_params(metric=str(metric))
    return model


def _search(task: Task, study: Study, budget: Budget, progress: bool | None) -> Recommender | None:
    """Adds trials to the study until the budget ends; the best one's model, None if it is old."""
    past, best_model = study.trials, None
    by_trials = budget.seconds is None
    total = budget.trials if by_trials else int(budget.seconds or 0)
    template = {name: getattr(task.template, name) for name in study.space.parts}
    name = f"tuning {type(task.template).__name__}"
    if past:
        best = best_of(past)
        value = "none has a result" if best is None else f"best {task.metric} {best.value:.4f}"
        say(f"{name}: resumed after trial {len(past)} ({value}), {study.folder}", progress)
    before = len(past) if by_trials else min(int(budget.spent), total or 0)
    with bar(total, name, "trial" if by_trials else "s", progress, initial=before) as shown:

        def show() -> None:
            now = len(past) if by_trials else min(int(budget.spent), total or 0)
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
