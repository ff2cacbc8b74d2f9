"""Finds a good model for some data: tunes a few sensible ones, tests once, refits the best."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch

from recae.data import IdMap, Interactions, as_interactions
from recae.data.splits import GlobalTime, RandomSplit, Split
from recae.errors import (
    CapacityError,
    ConfigError,
    DataError,
    RecaeError,
    TrainingError,
    UnusedWeights,
    check_number,
    explained,
)
from recae.evaluation import Report, evaluate
from recae.evaluation.comparison import compare, verdicts
from recae.recommend.base import Recommender
from recae.recommend.requests import check_metric
from recae.recommend.weights import weights_differ
from recae.rng import check_seed
from recae.system.progress import check_progress
from recae.system.threads import survives_fork
from recae.training import check_alone, resolve_device
from recae.tuning.attempt import clock, noted_warnings
from recae.tuning.candidates import share_of, space_of, templates_of, too_large
from recae.tuning.result import Tuning
from recae.tuning.run import tune
from recae.tuning.study import CUT, check_optuna

LOG = logging.getLogger("recae")

TRIALS = 40
"""Settings of one model, at most: what a cheap one leaves of its time goes to the next ones."""

SEARCH = 0.6
"""Share of the seconds for the searches; the rest is for the fits after them."""

ENOUGH = 200
"""Users with a target, in validation and in test, from which on data are split at a time."""


@dataclass(frozen=True, repr=False)
class Best:
    """The outcome of `recae.find_best`.

    model: the best model, fitted on all data with its best setting. name: its name. report: its
    `Report` on the test. table: a row for each model in the order of validation: model, validation
    and test (the metric; test with the interval low, high), settings, trials, seconds, and note,
    such as the reason why a model was skipped. verdict: the result in words. reports, tunings: of
    every model, by name. split, protocol: the data that were measured on. metric, seconds.

    >>> best = recae.find_best(data, seconds=20, metric="recall@2", models=["popularity", "ease"])
    >>> best.model.recommend([0], k=1).columns.tolist()
    ['user_id', 'item_id', 'score', 'rank']
    """

    model: Recommender
    name: str
    report: Report
    table: pd.DataFrame
    verdict: str
    reports: Mapping[str, Report]
    tunings: Mapping[str, Tuning]
    split: Split
    protocol: Any
    metric: str
    seconds: float

    def __repr__(self) -> str:
        value = self.report.mean[self.metric]
        return (
            f"Best({self.model!r}, {self.metric} {value:.4f} on the test, "
            f"{len(self.reports)} models in {self.seconds:.0f} s)"
        )


@explained
@survives_fork
def find_best(
    data: Interactions | pd.DataFrame | Any,
    *,
    seconds: float = 300.0,
    metric: str = "ndcg@20",
    models: Sequence[str | Recommender | type[Recommender]] | None = None,
    protocol: Any = None,
    seed: int = 0,
    device: str | torch.device = "auto",
    progress: bool | None = None,
    on_step: Callable[[str], object] | None = None,
) -> Best:
    """Tunes a few models within the time, measures each once on a test, and refits the best.

    1. The data are split. With times, and where that leaves 200 users with a target in both folds,
       all histories are cut at two times, so that the last tenth of the interactions is the test
       and the tenth before it the validation (`GlobalTime`). Otherwise a random tenth of every
       user's items is for validation and another for the test (`RandomSplit`). protocol: another
       splitter, such as `recae.LeaveLastOut()`.
    2. Each model is tuned on the validation fold by `recae.tune`, the cheap ones first and with 40
       settings at most. 60 % of the time is divided among them, three parts for a model that trains
       in epochs and one for any other; what one leaves goes to the next. Models that need too much
       memory, or whose closed form would take longer than its share of the time, are skipped, and
       the table says so.
    3. Each is fitted again with its best setting, on training and validation data, and measured on
       the test, which is looked at once.
    4. The best is the one with the highest metric on validation, so that its test value is not too
       good by the choice. It is fitted again on all data.

    seconds: of all this together. A last fit can take longer, as `recae.tune` says. models: names
    as in `recae.MODELS`, classes, or models whose settings are the first trial; by default
    popularity, item-knn, svd-ae, pure-svd, ease, edlae, als and mult-vae. Where the largest weight
    is at least twice the smallest, the searches also choose `weights` and `weight_transform`. seed,
    device, progress: as in `tune`. on_step: called with a line of text after each step; by default
    the lines are logged.

    Needs Optuna (`pip install "recae[tune]"`). Raises ConfigError for bad options, DataError for
    data that cannot be split, TrainingError if no model can be fitted.

    >>> best = recae.find_best(data, seconds=20, metric="recall@2", models=["popularity", "ease"])
    >>> best.table["model"].tolist() == [best.name] + [m for m in best.reports if m != best.name]
    True
    """
    check_alone("recae.find_best")
    started = clock()
    budget = check_number("seconds", seconds, above=0)
    check_metric(metric)
    check_seed(seed)
    resolve_device(device)
    check_progress(progress)
    if on_step is not None and not callable(on_step):
        raise ConfigError(
            f"on_step must be a function of a text, not {on_step!r}",
            parameter="on_step",
            value=on_step,
        )
    check_optuna()
    templates = templates_of(models)
    say = on_step or LOG.info
    everything = as_interactions(data)
    splitter, split, why = _split(everything, protocol, seed)
    say(f"split: {splitter}{why}")
    options = {"seed": seed, "device": device, "progress": progress}
    job = _Job(split, str(metric), options, say)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusedWeights)  # the searches decide
        job.search(templates, started + SEARCH * budget)
        job.test()
        name = job.ranked()[0]
        say(f"{name} is fitted on all {everything.nnz:,} interactions")
        model = job.tunings[name].refit(everything, seed=seed, device=device, progress=progress)
    return Best(
        model=model,
        name=name,
        report=job.reports[name],
        table=job.table(),
        verdict="\n".join(job.verdict()),
        reports={found: job.reports[found] for found in job.ranked()},
        tunings=dict(job.tunings),
        split=split,
        protocol=splitter,
        metric=str(metric),
        seconds=clock() - started,
    )


@dataclass(frozen=True)
class _Job:
    """The searches, their tests, and the sentences about them.

    options: seed, device and progress; skipped: the reasons.
    """

    split: Split
    metric: str
    options: Mapping[str, Any]
    say: Callable[[str], object]
    tunings: dict[str, Tuning] = field(default_factory=dict)
    reports: dict[str, Report] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def search(self, templates: Mapping[str, Recommender], end: float) -> None:
        """Tunes one model after the other until `end`, a time of the clock."""
        train, validation = self.split.train, self.split.validation
        assert validation is not None
        for place, (name, template) in enumerate(templates.items()):
            share = max(end - clock(), 0.0) * share_of(list(templates.values())[place:])
            reason = too_large(template, train, share)
            if reason:
                self._skip(name, reason)
                continue
            try:
                with noted_warnings() as warned:
                    warnings.simplefilter("ignore", UnusedWeights)  # the searches decide
                    self.tunings[name] = tune(
                        template,
                        train,
                        validation,
                        self.metric,
                        seconds=max(share, 1e-3),
                        trials=TRIALS,
                        space=space_of(template, weights_differ(train)),
                        **self.options,
                    )
            except (CapacityError, TrainingError, ConfigError) as error:
                self._skip(name, str(error))
                continue
            tuning, cut = self.tunings[name], self._note(name)
            for message in warned[: len(warned) - bool(cut)]:  # the last one is about the cut
                self.say(f"{name}: {message}")
            self.say(
                f"{name}: {self.metric} {tuning.value:.4f} on validation, best of "
                f"{len(tuning.trials)} trials in {tuning.seconds:.1f} s{cut}"
            )
        if not self.tunings:
            raise TrainingError(
                "no model could be fitted: "
                + "; ".join(f"{name}: {why}" for name, why in self.skipped.items())
            )

    def test(self) -> None:
        """Fits every best setting on training and validation data, and measures it on the test."""
        before, test = joined(self.split.train, self.split.validation), self.split.test
        assert test is not None
        seed, progress = self.options["seed"], self.options["progress"]
        for name, tuning in list(self.tunings.items()):
            try:
                model = tuning.refit(before, **self.options)
                self.reports[name] = evaluate(
                    model, test, self.metric, seed=seed, progress=progress
                )
            except (CapacityError, TrainingError) as error:
                del self.tunings[name]
                self._skip(name, str(error))
        if not self.reports:
            raise TrainingError("no model could be fitted on training and validation data")

    def ranked(self) -> list[str]:
        """The models from the best on validation; of equals the one that is cheaper to fit."""
        return sorted(self.tunings, key=lambda name: -self.tunings[name].value)

    def table(self) -> pd.DataFrame:
        """A row for each model, those that were skipped last."""
        rows = []
        for name in self.ranked():
            tuning, report = self.tunings[name], self.reports[name]
            low, high = report.interval[self.metric]
            rows.append(
                {
                    "model": name,
                    "validation": tuning.value,
                    "test": report.mean[self.metric],
                    "low": float(low),
                    "high": float(high),
                    "trials": len(tuning.trials),
                    "seconds": tuning.seconds,
                    "settings": repr(tuning.model),
                    "note": self._note(name).removeprefix("; "),
                }
            )
        none = {"trials": 0, "seconds": 0.0, "settings": ""}
        rows += [
            {"model": name, **none, "note": f"skipped: {why}"} for name, why in self.skipped.items()
        ]
        return pd.DataFrame(rows)

    def verdict(self) -> list[str]:
        """What was found, in sentences."""
        name, *others = self.ranked()
        low, high = self.reports[name].interval[self.metric]
        said = [
            f"{name} has the highest {self.metric} on validation. On the test it has "
            f"{self.reports[name].mean[self.metric]:.4f} [{low:.4f}, {high:.4f}]."
        ]
        if others:
            seed, reports = self.options["seed"], {one: self.reports[one] for one in self.ranked()}
            said += verdicts(compare(reports, self.metric, baseline=name, seed=seed))
        return said

    def _note(self, name: str) -> str:
        """Whether the best trial ended early."""
        trials = self.tunings[name].trials
        best = trials.loc[trials["value"].eq(self.tunings[name].value)].iloc[0]
        return "; the training of its best setting was cut" if best["state"] == CUT else ""

    def _skip(self, name: str, reason: str) -> None:
        self.skipped[name] = reason
        self.say(f"{name} is skipped: {reason}")


def _split(data: Interactions, protocol: Any, seed: int) -> tuple[Any, Split, str]:
    """The splitter, its split, and why it was chosen."""
    if protocol is not None:
        if isinstance(protocol, str) or not callable(getattr(protocol, "split", None)):
            raise ConfigError(
                f"protocol must be a splitter, such as recae.RandomSplit(), not {protocol!r}",
                parameter="protocol",
                value=protocol,
            )
        split = protocol.split(data, seed=seed)
        if not isinstance(split, Split) or split.validation is None or split.test is None:
            raise ConfigError(
                f"protocol must make a validation and a test fold, and {protocol!r} does not",
                parameter="protocol",
                value=protocol,
            )
        return protocol, split, ""
    reason = ", because the data have no times"
    if data.times is not None:
        by_time = GlobalTime(validation=0.1, test=0.1)
        try:
            split = by_time.split(data, seed=seed)
        except RecaeError:
            split = None
        folds = (split.validation, split.test) if split else ()
        users = [0 if fold is None else fold.target.n_users for fold in folds]
        if split and min(users) >= ENOUGH:
            return by_time, split, ", because the data have times"
        reason = f", because a cut in time leaves {min(users, default=0)} users to measure on"
    at_random = RandomSplit(validation=0.1, test=0.1)
    split = at_random.split(data, seed=seed)
    if split.validation is None or split.test is None:
        raise DataError("users have too few interactions for a validation and a test fold")
    return at_random, split, reason


def joined(train: Interactions, fold: Any) -> Interactions:
    """The training data and what is known of a fold: histories of other users, and targets."""
    parts = [train, fold.target]
    strangers = train.users.lookup(fold.target.users.ids) < 0
    if strangers.any():
        parts.append(fold.history.select_users(np.flatnonzero(strangers)))
        ids = np.concatenate([train.users.ids, fold.target.users.ids[strangers]])
        users = IdMap(ids, "user")
    else:
        users = train.users
    matrix: Any = sum(part.with_users(users).matrix for part in parts)
    return Interactions.from_csr(matrix, users=users, items=train.items)
