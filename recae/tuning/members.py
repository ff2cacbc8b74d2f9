"""Tunes several models one after the other within one budget, and blends the best settings."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from recae.errors import CapacityError, ConfigError, TrainingError, UnusedWeights
from recae.evaluation import evaluate
from recae.models import Ensemble
from recae.models._blend import cross_fitted
from recae.models.ensemble import read_model
from recae.models.neural._base import NeuralRecommender
from recae.recommend.base import Recommender
from recae.system.files import as_path
from recae.tuning.attempt import clock, noted_warnings
from recae.tuning.candidates import share_of
from recae.tuning.one import Search
from recae.tuning.result import Tuning, frame
from recae.tuning.space import Space
from recae.tuning.study import COMPLETE, CUT, Trial

Refusal = Callable[[Recommender, float, float], str]
"""(template, its share of the seconds, all seconds that are left) -> why it is skipped, or ""."""


@dataclass(frozen=True)
class Searches:
    """What `tune_each` has found. tunings: by label; skipped: the reasons of the others."""

    tunings: dict[str, Tuning] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def ranked(self) -> list[str]:
        """The labels from the best on validation; of equals the one that came first."""
        return sorted(self.tunings, key=lambda label: -self.tunings[label].value)

    def seconds(self, label: str) -> float:
        """The seconds that the best trial took."""
        return self.tunings[label]._best.seconds

    def note(self, label: str) -> str:
        """Whether the best trial ended early."""
        cut = self.tunings[label]._best.state == CUT
        return "the training of its best setting was cut" if cut else ""


def tune_each(
    search: Search,
    templates: Mapping[str, Recommender],
    *,
    end: float | None,
    trials: int | None,
    say: Callable[[str], object],
    refuse: Refusal = lambda template, share, left: "",
    folder: str | Path | None = None,
    refits: bool = False,
) -> Searches:
    """Tunes one model after the other until `end`, a time of the clock, or for `trials` each.

    What one leaves of its share of the time goes to the next. A model that is refused has a second
    turn after all others, in the time that they left; one that is refused twice, too large or
    diverges is skipped. refits: every model is fitted once more before `end`. folder: each search
    has its own there, by its label; the time that an earlier process has spent there counts. Raises
    TrainingError if no model is left.
    """
    if folder is not None:
        as_path(folder).mkdir(exist_ok=True)
    turns = _Turns(search, end, trials, say, refuse, folder, refits)
    queue, refused = dict(templates), dict[str, str]()
    for _ in range(2):
        waiting = list(queue.values())
        refused = {
            label: reason
            for place, label in enumerate(queue)
            if (reason := turns.turn(label, waiting[place:]))
        }
        queue = {label: queue[label] for label in refused}
    for label, reason in refused.items():
        turns.skip(label, reason)
    found = turns.found
    if not found.tunings:
        reasons = "; ".join(f"{label}: {why}" for label, why in found.skipped.items())
        raise TrainingError(f"no model could be fitted: {reasons}")
    return found


@dataclass
class _Turns:
    """The searches of `tune_each`, one at a time."""

    search: Search
    end: float | None
    trials: int | None
    say: Callable[[str], object]
    refuse: Refusal
    folder: str | Path | None
    refits: bool
    found: Searches = field(default_factory=Searches)

    def turn(self, label: str, waiting: Sequence[Recommender]) -> str:
        """Tunes the first of the models that wait, or says why it is refused."""
        template, share, began = waiting[0], None, clock()
        if self.end is not None:
            left = max(self.end - began - self._fits(), 0.0)
            share = left * share_of(waiting)
            if self.refits and isinstance(template, NeuralRecommender):
                share /= 2  # its fit may take as long as its search
            if reason := self.refuse(template, share, left):
                return reason
        try:
            with noted_warnings() as warned:
                warnings.simplefilter("ignore", UnusedWeights)  # the searches decide
                tuning = self.search.tune(
                    template,
                    seconds=None if share is None else max(share, 1e-3),
                    trials=self.trials,
                    folder=None if self.folder is None else as_path(self.folder) / label,
                )
        except (CapacityError, TrainingError, ConfigError) as error:
            self.skip(label, str(error))
            return ""
        if self.end is not None:
            self.end -= max(tuning.seconds - (clock() - began), 0.0)
        self.found.tunings[label] = tuning
        cut = self.found.note(label)
        for message in warned[: len(warned) - bool(cut)]:  # the last one is about the cut
            self.say(f"{label}: {message}")
        self.say(
            f"{label}: {self.search.metrics[0]} {tuning.value:.4f} on validation, best of "
            f"{len(tuning.trials)} trials in {tuning.seconds:.1f} s" + (f"; {cut}" if cut else "")
        )
        return ""

    def skip(self, label: str, reason: str) -> None:
        """Notes a model that is left out."""
        self.found.skipped[label] = reason
        self.say(f"{label} is skipped: {reason}")

    def _fits(self) -> float:
        """Seconds of the fits that follow."""
        return sum(map(self.found.seconds, self.found.tunings)) if self.refits else 0.0


@dataclass(frozen=True)
class Blend:
    """A blend of the tuned models that got a weight above 0.

    labels: its members, the best on validation first. value: its metric on validation, where the
    weights of each half of the users are those of the other half, so that it is not too good by the
    choice of weights. gain, error: by how much that is above the best model alone, the mean over
    the users and its standard error.
    """

    model: Ensemble
    labels: Sequence[str]
    value: float
    gain: float
    error: float

    @property
    def settled(self) -> bool:
        """Whether a paired test at 5 % says that it is better than the best model alone."""
        return self.gain > 1.96 * self.error

    def __str__(self) -> str:
        weights = self.model.member_weights_ / self.model.member_weights_.sum()
        parts = [f"{w:.0%} {label}" for w, label in zip(weights, self.labels, strict=True)]
        return (
            f"blend: {self.model.metric} {self.value:.4f} on validation, {self.gain:+.4f} (standard"
            f" error {self.error:.4f}) to the best model alone; {', '.join(parts)}; weights from "
            f"{self.model.validation_users_:,} users"
        )


def blend(found: Searches, search: Search) -> Blend:
    """Learns the weights of the tuned models on validation, and measures the blend there."""
    labels, metric = found.ranked(), search.metrics[0]
    models = [found.tunings[label].model for label in labels]
    whole = Ensemble.of(models, metric=str(metric))
    users = whole._candidates(search.validation, search.seed)
    whole._learn(users)
    crossed = cross_fitted(users, metric, search.seed)
    gains = crossed - users.per_user(np.eye(len(models))[0], metric)
    counted = gains[np.isfinite(gains)]
    kept = np.flatnonzero(whole.member_weights_)
    model = Ensemble.of([models[n] for n in kept], metric=str(metric))
    model._keep_weights(whole, kept)
    model.history_ = search.data
    return Blend(
        model=model,
        labels=[labels[n] for n in kept],
        value=float(np.nanmean(crossed)),
        gain=float(counted.mean()),
        error=float(counted.std() / np.sqrt(len(counted))),
    )


def best_alone(found: Searches, search: Search) -> Blend:
    """The best of the tuned models as a blend of one."""
    label = found.ranked()[0]
    model = Ensemble.of([found.tunings[label].model], metric=str(search.metrics[0]))
    model.history_ = search.data
    return Blend(model, [label], found.tunings[label].value, 0.0, 0.0)


def labelled(models: Sequence[Recommender]) -> dict[str, Recommender]:
    """The models by their names; a second one of a name is "ease-2" and so on."""
    found: dict[str, Recommender] = {}
    for model in models:
        same = sum(model.name == other.name for other in found.values())
        found[f"{model.name}-{same + 1}" if same else model.name] = model
    return found


def tune_members(
    search: Search,
    template: Ensemble,
    seconds: float | None,
    trials: int | None,
    folder: str | Path | None,
) -> Tuning:
    """Tunes each member of an ensemble, then learns the weights of the best. Raises TrainingError
    if a member cannot be fitted."""
    started = clock()
    members = labelled([read_model(text) for text in template.members])
    for member in members.values():
        member.check_params()
    end = None if seconds is None else started + seconds
    found = tune_each(search, members, end=end, trials=trials, say=lambda _: None, folder=folder)
    if found.skipped:
        label, reason = next(iter(found.skipped.items()))
        raise TrainingError(f"the member {label} of the ensemble cannot be fitted: {reason}")
    began, metrics = clock(), list(search.metrics)
    tunings = list(found.tunings.values())
    blend = Ensemble.of(
        [tuning.model for tuning in tunings],
        search.validation,
        metric=template.metric,
        seed=search.seed,
    )
    blend.history_ = search.data
    measured = evaluate(blend, search.validation, metrics, progress=False).mean
    past = trials_of(tunings)
    before = sum(tuning.seconds for tuning in tunings)
    best = Trial(
        number=len(past),
        params={"members": blend.members},
        value=measured[str(metrics[0])],
        seconds=clock() - began,
        ended=before + clock() - began,
        epochs=None,
        state=COMPLETE,
        refit={"members": tuple(repr(unfitted(tuning)) for tuning in tunings)},
        others={str(metric): measured[str(metric)] for metric in metrics[1:]},
    )
    past.append(best)
    assert best.value is not None
    return Tuning(
        model=blend,
        metric=str(metrics[0]),
        params=dict(best.params),
        value=best.value,
        trials=frame(past, ["members"]),
        seconds=best.ended,
        _best=best,
        _space=Space({}),
        _past=tuple(past),
    )


def unfitted(tuning: Tuning) -> Recommender:
    """The model to fit without validation, for as many epochs as were best."""
    return tuning.model.clone().set_params(**tuning._best.refit)


def trials_of(tunings: Sequence[Tuning]) -> list[Trial]:
    """The trials of searches that followed each other, as those of the members of an ensemble."""
    past: list[Trial] = []
    before = 0.0
    for tuning in tunings:
        for trial in tuning._past:
            setting: dict[str, Any] = {"members": (repr(tuning._of_trial(trial)),)}
            again = replace(trial, number=len(past), params=setting, ended=before + trial.ended)
            past.append(again)
        before += tuning.seconds
    return past
