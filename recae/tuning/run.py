"""Searches the settings of a model on validation data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from recae.data import Interactions, as_interactions
from recae.data.splits import Fold
from recae.errors import ConfigError, check_flag, check_integer, check_option, explained
from recae.metrics import AnyMetric, Metric, parse_metrics
from recae.models import Ensemble
from recae.recommend.base import Recommender
from recae.recommend.requests import check_fold, check_metric
from recae.recommend.weights import check_some
from recae.rng import check_seed
from recae.system.progress import check_progress
from recae.system.threads import survives_fork
from recae.training import (
    Callback,
    check_alone,
    check_callbacks,
    following,
    resolve_device,
)
from recae.tuning.attempt import check_budget
from recae.tuning.members import tune_members
from recae.tuning.one import Search, measuring, told_of
from recae.tuning.result import Tuning
from recae.tuning.space import Given
from recae.tuning.study import SAMPLERS, check_optuna


@explained
@survives_fork
def tune(
    template: Recommender,
    train: Interactions | pd.DataFrame | Any,
    validation: Fold,
    metric: AnyMetric | Sequence[AnyMetric] = "ndcg@100",
    *,
    seconds: float | None = None,
    trials: int | None = None,
    patience: int | None = None,
    space: Given | None = None,
    sampler: str = "tpe",
    halving: bool = True,
    seed: int = 0,
    device: str | torch.device = "auto",
    callbacks: Callback | Sequence[Callback] = (),
    progress: bool | None = None,
    folder: str | Path | None = None,
) -> Tuning:
    """Fits a model with one setting after another and keeps the best on validation.

    template: an unfitted model; its own settings are trial 0, so that nothing comes out worse than
    them on validation. metric: the metric to maximise, with a value per user: a name such as
    "ndcg@100", or a function, `recae.metrics.Metric.of(function, k)`. Of several metrics the first
    is maximised; the others are measured and have a column in the table of trials. A model that
    validates itself does so by the metric, if it has a name. space: hyperparameter -> a tuple (low,
    high) to search between, by factors where it spans ten or more, or a list of choices; None:
    every range that `param(usual=...)` names, `weights` and `weight_transform` only where the
    largest weight is at least twice the smallest. A model without such a range has one trial. Of an
    `Ensemble` without space each member is searched in its own usual space, then the weights are
    learnt; the seconds are divided among the members, the trials are those of each. sampler: "tpe"
    learns from past trials (Bergstra et al., "Algorithms for Hyper-Parameter Optimization", NIPS
    2011), "random" does not. halving: ends models trained in epochs that are not in the best third
    after 3, 9, 27 ... of them (successive halving). It can end settings that are slow at first and
    better in the end.

    The budget is `seconds`, `trials` or both. No trial begins after it, or when even the fastest
    one would not fit in the remaining time. patience: trials in a row without a better one that end
    the search; None: none do. A model trained in epochs ends with the epoch in which
    the time is up; any other may end late. A finite space ends the search when all of it was tried.
    Settings that are refused, too large or diverge are failed trials. The best is the highest
    value, the earlier trial of equals. Memory is that of two fitted models.

    seed: of the sampler and of every fit; with `trials` alone the same call finds the same again.
    device, progress: as in `fit`. callbacks: called with each finished Epoch of every trial; if one
    returns True, the trial ends. Trackers, as of `recae.tracking`, get the search, its trials and
    its result. folder: keeps every finished trial and the best model. After a
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
    metrics = read_metrics(metric)
    limits = check_budget(seconds, trials)
    if patience is not None:
        check_integer("patience", patience)
    check_option("sampler", sampler, SAMPLERS)
    check_flag("halving", halving)
    check_seed(seed)
    place = resolve_device(device)
    check_progress(progress)
    called = check_callbacks(callbacks)
    model = measuring(template, metrics[0])
    model.check_params()
    check_optuna()
    data = as_interactions(train)
    check_some(data)
    check_fold("validation", validation)
    search = Search(
        data, validation, metrics, sampler, halving, patience, seed, place, progress, called
    )
    if isinstance(model, Ensemble) and space is None:
        budget = {"seconds": limits[0], "trials": limits[1]}
        with following(called, lambda: search.job(model, budget)) as told:
            found = tune_members(search, model, *limits, folder)
            told_of(told, found, validation)
        return found
    return search.tune(model, space, seconds=limits[0], trials=limits[1], folder=folder)


def read_metrics(metric: AnyMetric | Sequence[AnyMetric]) -> list[Metric]:
    """The metrics of a search, the one to maximise first. Raises ConfigError."""
    if isinstance(metric, str):
        check_metric(metric)
    metrics = parse_metrics(metric)
    if not metrics[0].of_hits:
        raise ConfigError(
            f"metric must measure hits and have a value per user, as ndcg@100; not {metrics[0]}",
            parameter="metric",
            value=metric,
        )
    return metrics
