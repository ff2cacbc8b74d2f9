"""Finds a good model for some data: tunes a few sensible ones, tests once, refits the best."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
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
from recae.metrics import parse_metric
from recae.recommend.base import Recommender
from recae.recommend.requests import check_metric
from recae.rng import check_seed
from recae.system.progress import check_progress
from recae.system.threads import survives_fork
from recae.training import check_alone, resolve_device
from recae.tuning.attempt import clock
from recae.tuning.candidates import ENOUGH, templates_of, too_large
from recae.tuning.members import Blend, Searches, blend, tune_each
from recae.tuning.one import Search
from recae.tuning.result import Tuning
from recae.tuning.study import check_optuna

LOG = logging.getLogger("recae")

TRIALS = 40
"""Settings of one model, at most: what a cheap one leaves of its time goes to the next ones."""

BLEND = "blend"
"""The name of a blend of the models that were tuned."""

SEARCH = 0.6
"""Share of the seconds for the searches; the rest is for the fits after them."""


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
    """Tunes a few models and their blend within the time, tests each once, and refits the best.

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

    A blend of the tuned models, see `recae.Ensemble`, takes part if a paired test on the validation
    users says that it is better than the best model alone, and if there is time to fit all of its
    members. Its weights are learnt on validation; each half of the users is measured under the
    weights that the other half gives.

    seconds: of all this together. A last fit can take longer, as `recae.tune` says. models: names
    as in `recae.MODELS`, classes, or models whose settings are the first trial; by default
    popularity, item-knn, svd-ae, pure-svd, ease, edlae, als and mult-vae. Where the largest weight
    is at least twice the smallest, the searches also choose `weights` and `weight_transform`. seed,
    device, progress: as in `tune`. on_step: called with a line of text after each step; by default
    the lines are logged.

    Needs Optuna (`pip install "recae[tune]"`). Raises ConfigError for bad options, DataError for
    data that cannot be split, TrainingError if no model can be fitted.

    >>> best = recae.find_best(data, seconds=20, metric="recall@2", models=["popularity", "ease"])
    >>> best.table["model"].tolist()[0] == best.name
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
    assert split.validation is not None
    search = Search(
        split.train,
        split.validation,
        [parse_metric(metric)],
        seed=seed,
        device=resolve_device(device),
        progress=progress,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusedWeights)  # the searches decide
        end = started + SEARCH * budget
        refuse = partial(too_large, data=split.train)
        found = tune_each(search, templates, end=end, trials=TRIALS, say=say, refuse=refuse)
        job = _Job(split, search, found, str(metric), options, say)
        job.blend(started + budget)
        job.test()
        name = job.ranked()[0]
        say(f"{name} is fitted on all {everything.nnz:,} interactions")
        model = job.refit(name, everything)
    return Best(
        model=model,
        name=name,
        report=job.reports[name],
        table=job.table(),
        verdict="\n".join(job.verdict()),
        reports={found: job.reports[found] for found in job.ranked()},
        tunings=dict(found.tunings),
        split=split,
        protocol=splitter,
        metric=str(metric),
        seconds=clock() - started,
    )


@dataclass(frozen=True)
class _Job:
    """What was found, the tests of it, and the sentences about it.

    options: seed, device and progress; blends: one or none.
    """

    split: Split
    search: Search
    found: Searches
    metric: str
    options: Mapping[str, Any]
    say: Callable[[str], object]
    blends: list[Blend] = field(default_factory=list)
    reports: dict[str, Report] = field(default_factory=dict)

    def blend(self, end: float) -> None:
        """Adds a blend if it is better than each model and can be fitted until `end`."""
        if len(self.found.tunings) < 2:
            return
        found = blend(self.found, self.search)
        left, needed = end - clock(), sum(self.found.seconds(label) for label in found.labels)
        if len(found.labels) < 2:
            self._skip(BLEND, f"no blend ranks better than {found.labels[0]} alone")
        elif not found.settled:
            self._skip(BLEND, f"it is not settled that it is better ({found})")
        elif needed > left:
            self._skip(BLEND, f"its fit may take {needed:.0f} s, and {left:.0f} s are left")
        else:
            self.blends.append(found)
            self.say(str(found))

    def test(self) -> None:
        """Fits every best setting on training and validation data, and measures it on the test."""
        before, test = joined(self.split.train, self.split.validation), self.split.test
        assert test is not None
        models: dict[str, Recommender] = {}
        for label, tuning in list(self.found.tunings.items()):
            try:
                models[label] = tuning.refit(before, **self.options)
                self._measure(label, models[label], test)
            except (CapacityError, TrainingError) as error:
                del self.found.tunings[label]
                self._skip(label, str(error))
            if not any(label in found.labels for found in self.blends):
                models.pop(label, None)
        for found in list(self.blends):
            try:
                members = [models[label] for label in found.labels]
            except KeyError as error:
                self.blends.remove(found)
                self._skip(BLEND, f"{error.args[0]} could not be fitted")
            else:
                self._measure(BLEND, found.model.with_members(members), test)
        if not self.reports:
            raise TrainingError("no model could be fitted on training and validation data")

    def _measure(self, label: str, model: Recommender, test: Any) -> None:
        seed, progress = self.options["seed"], self.options["progress"]
        self.reports[label] = evaluate(model, test, self.metric, seed=seed, progress=progress)

    def refit(self, label: str, data: Interactions) -> Recommender:
        """The model fitted on all data with its best setting."""
        if label != BLEND:
            return self.found.tunings[label].refit(data, **self.options)
        (found,) = self.blends
        tunings = [self.found.tunings[member] for member in found.labels]
        model = found.model.with_members([one.refit(data, **self.options) for one in tunings])
        model.history_ = data
        return model

    def ranked(self) -> list[str]:
        """The models from the best on validation; of equals the one that is cheaper to fit."""
        return [BLEND] * len(self.blends) + self.found.ranked()

    def table(self) -> pd.DataFrame:
        """A row for each model, those that were skipped last."""
        rows = []
        for name in self.ranked():
            report = self.reports[name]
            low, high = report.interval[self.metric]
            found: dict[str, Any] = {"model": name, "validation": self.value(name)}
            found |= {"test": report.mean[self.metric], "low": float(low), "high": float(high)}
            rows.append(found | self._about(name))
        none = {"trials": 0, "seconds": 0.0, "settings": ""}
        skipped = self.found.skipped.items()
        rows += [{"model": name, **none, "note": f"skipped: {why}"} for name, why in skipped]
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

    def value(self, name: str) -> float:
        """The metric on validation."""
        return self.blends[0].value if name == BLEND else self.found.tunings[name].value

    def _about(self, name: str) -> dict[str, Any]:
        """The columns of the table about a search."""
        if name == BLEND:
            tunings = [self.found.tunings[label] for label in self.blends[0].labels]
            trials = sum(len(tuning.trials) for tuning in tunings)
            seconds = sum(tuning.seconds for tuning in tunings)
            note, setting = str(self.blends[0]), repr(self.blends[0].model)
        else:
            tuning = self.found.tunings[name]
            trials, seconds = len(tuning.trials), tuning.seconds
            note, setting = self.found.note(name), repr(tuning.model)
        return {"trials": trials, "seconds": seconds, "settings": setting, "note": note}

    def _skip(self, name: str, reason: str) -> None:
        self.found.skipped[name] = reason
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
