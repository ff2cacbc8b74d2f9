"""The Optuna study of a search: it proposes settings, prunes trials and records results."""

from __future__ import annotations

import dataclasses
import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tqdm import TqdmWarning

from recae.errors import ConfigError, DataError, RecaeError, StorageError
from recae.estimators.saved import load
from recae.recommend.base import Recommender
from recae.rng import Stream, numpy_generator
from recae.system.files import as_path, plain, remove_directory
from recae.system.machine import __version__
from recae.tuning.space import Choices, Range, Space

SAMPLERS = ("random", "tpe")
STARTUP = 6
"""Trials before TPE begins to learn from them. They are random, except for the template's own."""
ATTEMPTS = 10
"""Proposals of settings that were tried already, before the rest of the space is listed."""
FACTOR = 3
"""The best third of the trials goes on after 3, 9, 27 ... epochs."""
FINISHED = FACTOR**12
"""Epoch at which a finished training is compared: later than any rung that others reach."""

JOURNAL, BEST, KEPT = "journal.jsonl", "best-", "recae"
FORMAT = 2

COMPLETE, PRUNED, CUT, FAILED = "complete", "pruned", "cut", "failed"


@dataclass(frozen=True)
class Trial:
    """A setting and its result.

    params: the searched settings. value: the metric on validation, None if it failed. ended: the
    seconds that the search had spent when the trial ended. epochs: those trained, None for a model
    without. refit: the settings to change for a fit without validation. warned: the warnings of the
    fit. others: the other metrics that were asked for.
    """

    number: int
    params: Mapping[str, Any]
    value: float | None
    seconds: float
    ended: float
    epochs: int | None
    state: str
    reason: str = ""
    warned: Sequence[str] = ()
    refit: Mapping[str, Any] = field(default_factory=dict)
    others: Mapping[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Ready for JSON."""
        fields: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self), default=plain))
        return fields

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """The trial of `as_json`. In settings a list is a tuple again."""
        settings = {
            part: {k: tuple(v) if isinstance(v, list) else v for k, v in fields[part].items()}
            for part in ("params", "refit")
        }
        return cls(**{**fields, **settings, "warned": tuple(fields["warned"])})


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The trial with the highest value, the earlier one of equals; None if none has finished."""
    ended = [t for t in trials if t.state in (COMPLETE, CUT) and t.value is not None]
    return max(ended, key=lambda trial: (trial.value, -trial.number), default=None)


def check_optuna() -> Any:
    """The library. Raises ConfigError where it is missing."""
    try:
        with warnings.catch_warnings():
            # Without ipywidgets tqdm warns of bars of Optuna, which nobody asks for.
            warnings.simplefilter("ignore", TqdmWarning)
            import optuna
    except ImportError as error:
        raise ConfigError('tuning needs Optuna: pip install "recae[tune]"') from error
    return optuna


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppresses what Optuna logs of every study, and leaves its logger as it was."""
    logger = logging.getLogger("optuna")
    level = logger.level
    with warnings.catch_warnings():
        # Before 5.0 multivariate TPE and journals were called experimental.
        warnings.simplefilter("ignore", check_optuna().exceptions.ExperimentalWarning)
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)


class Study:
    """An Optuna study (Akiba et al., KDD 2019) in memory, or in the journal of a folder.

    about: everything that decides the trials, ready for JSON. `trials` are the finished ones. The
    next settings depend on these, the space and the seed only, so an interrupted search that is
    opened again finds the same as one that was not interrupted.

    The folder holds Optuna's journal (lines of JSON) and the model of the best trial, `best-3` if
    that is trial 3. The model is there before the journal names its trial. One process at a time
    may use a folder.

    Raises StorageError for a folder that cannot be made or holds something else, DataError for a
    damaged one, and ConfigError for the folder of another search, with the differences.
    """

    @_quiet()
    def __init__(
        self,
        space: Space,
        sampler: str,
        seed: int,
        folder: str | Path | None,
        about: Mapping[str, Any],
    ) -> None:
        self.optuna, self.space, self.sampler, self.seed = check_optuna(), space, sampler, seed
        self.folder = None if folder is None else as_path(folder)
        self.distributions = {
            name: _distribution(self.optuna, part) for name, part in space.coordinates().items()
        }
        self._asked: Any = None
        if self.folder is None:
            self.trials: list[Trial] = []
            self._study = self.optuna.create_study(direction="maximize")
        else:
            self._open(self.folder, json.loads(json.dumps(about, default=plain)))
        self._study.pruner = _Halving(self.optuna)

    def _open(self, folder: Path, about: dict[str, Any]) -> None:
        """The study of a folder with its trials; those that a kill interrupted are dropped."""
        file = _journal_of(folder)
        try:
            backend = self.optuna.storages.journal.JournalFileBackend(str(file))
            storage = self.optuna.storages.JournalStorage(backend)
            if storage.get_all_studies():
                self._study = self.optuna.load_study(study_name=KEPT, storage=storage)
            elif file.stat().st_size:
                raise ValueError("it does not begin with a study")
            else:
                self._study = self.optuna.create_study(
                    study_name=KEPT, storage=storage, direction="maximize"
                )
            kept = self._study.user_attrs.get(KEPT)
            if kept is None:
                kept = {"format": FORMAT, "recae": __version__, "search": about}
                self._study.set_user_attr(KEPT, kept)
            _check_same(folder, kept, about)
            found = self._study.get_trials(deepcopy=False)
            records = [trial.user_attrs[KEPT] for trial in found if KEPT in trial.user_attrs]
            self.trials = [Trial.from_json(fields) for fields in records]
            if [trial.number for trial in self.trials] != list(range(len(records))):
                raise ValueError("its trials are not numbered 0, 1, 2 ...")
            for trial in found:
                if trial.state == self.optuna.trial.TrialState.RUNNING:
                    self._settle(trial.number, trial.params, trial.user_attrs.get(KEPT))
        except RecaeError:
            raise
        except Exception as error:  # Optuna checks nothing of what it reads
            raise DataError(
                f"{file} is damaged ({error!r}): delete the folder to start the search again"
            ) from error

    @_quiet()
    def ask(self, template: Mapping[str, Any]) -> dict[str, Any] | None:
        """The settings of the next trial: the template's first, then settings that were not tried.

        None if all were tried.
        """
        if not self.trials:
            self._ask_for(self.space.place(template))
            return dict(template)
        number, tried = len(self.trials), {_key(trial.params) for trial in self.trials}
        for attempt in range(ATTEMPTS):
            generator = numpy_generator(self.seed, Stream.TRIALS, number, attempt)
            self._study.sampler = self._sampler(int(generator.integers(2**31)))
            self._asked = self._study.ask(self.distributions)
            params = self.space.params(self._asked.params)
            if _key(params) not in tried:
                return params
            if attempt < ATTEMPTS - 1:
                self._settle(self._asked.number, {}, None)
        everything = self.space.all()
        if everything is None:
            return params  # at worst a setting is fitted twice
        self._settle(self._asked.number, {}, None)
        rest = [found for found in everything if _key(found) not in tried]
        if not rest:
            return None
        params = rest[generator.integers(len(rest))]
        self._ask_for(self.space.place(params))
        return params

    def _ask_for(self, place: Mapping[str, float] | None) -> None:
        """Asks for a place in the space; None: for a trial that samplers do not see."""
        waiting = (self.optuna.trial.TrialState.WAITING,)
        if place is not None and not self._study.get_trials(deepcopy=False, states=waiting):
            self._study.enqueue_trial(dict(place))
        self._asked = self._study.ask({} if place is None else self.distributions)

    def _sampler(self, seed: int) -> Any:
        """A new sampler for each proposal: its state is the seed and the trials alone."""
        samplers = self.optuna.samplers
        if self.sampler == "random":
            return samplers.RandomSampler(seed=seed)
        return samplers.TPESampler(seed=seed, n_startup_trials=STARTUP, multivariate=True)

    @_quiet()
    def behind(self, epoch: int, value: float) -> bool:
        """Whether the running trial, whose best value is this, should end after this epoch."""
        self._asked.report(value, epoch)
        return bool(self._asked.should_prune())

    @_quiet()
    def tell(self, trial: Trial, model: Recommender | None) -> None:
        """Keeps the trial that was asked for, and its model if it is the best so far."""
        self.trials.append(trial)
        is_best = best_of(self.trials) is trial
        if is_best and self.folder is not None and model is not None:
            model.save(self._place(trial), overwrite=True)
        fields = trial.as_json()
        self._asked.set_user_attr(KEPT, fields)
        self._settle(self._asked.number, self._asked.params, fields)
        if is_best and self.folder is not None:
            for other in self.folder.glob(f"{BEST}*"):
                if other != self._place(trial):
                    remove_directory(other)

    def _settle(
        self, number: int, place: Mapping[str, Any], fields: Mapping[str, Any] | None
    ) -> None:
        """Ends a trial of the study. Samplers learn from failed trials as from pruned ones, and
        nothing from a trial without a place in the space or without a result."""
        states = self.optuna.trial.TrialState
        if not place or fields is None:
            self._study.tell(number, state=states.FAIL)
        elif fields["state"] in (COMPLETE, CUT):
            self._study.tell(number, fields["value"])
        else:
            self._study.tell(number, state=states.PRUNED)

    def best_model(self, template: Recommender) -> Recommender:
        """The model of the best trial, from the folder. Raises DataError if it is damaged."""
        best = best_of(self.trials)
        assert best is not None
        return load(self._place(best), type(template))

    def _place(self, trial: Trial) -> Path:
        assert self.folder is not None
        return self.folder / f"{BEST}{trial.number}"


class _Halving:
    """Optuna's successive halving (ASHA: Li et al., "A System for Massively Parallel
    Hyperparameter Tuning", MLSys 2020) among the trials that have a result and did not fail."""

    def __init__(self, optuna: Any) -> None:
        self.rule = optuna.pruners.SuccessiveHalvingPruner(
            min_resource=FACTOR, reduction_factor=FACTOR
        )

    def prune(self, study: Any, trial: Any) -> bool:
        """Whether to end a trial, in the form that Optuna calls."""
        view = copy(study)  # which does not list failed and interrupted trials
        view.get_trials = lambda **options: [
            found
            for found in study.get_trials(**options)
            if found.user_attrs.get(KEPT, {}).get("state", FAILED) != FAILED
        ]
        return bool(self.rule.prune(view, trial))


def _journal_of(folder: Path) -> Path:
    """The journal of a folder, which is made if it is not there, without what a kill left."""
    file = folder / JOURNAL
    if folder.exists() and not folder.is_dir():
        raise StorageError(f"{folder} is a file: name a folder for the search")
    if folder.is_dir() and not file.is_file() and any(folder.iterdir()):
        raise StorageError(f"{folder} exists and holds no {JOURNAL}: name another folder")
    try:
        folder.mkdir(exist_ok=True)
        (folder / f"{JOURNAL}.lock").unlink(missing_ok=True)
        if file.is_file():
            content = file.read_bytes()
            whole = content.rfind(b"\n") + 1  # a last line without an end was not written in full
            if whole < len(content):
                with open(file, "r+b") as opened:
                    opened.truncate(whole)
    except OSError as error:
        raise StorageError(f"cannot make the folder {folder}: {error.strerror}") from error
    return file


def _check_same(folder: Path, kept: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Raises an error unless the folder is of the same search, in a format that is read here."""
    if kept["format"] != FORMAT:
        raise DataError(
            f"the search in {folder} has format {kept['format']}; this recae {__version__} reads "
            f"format {FORMAT}: continue with recae {kept.get('recae')}, or name another folder"
        )
    there = kept["search"]
    differences = "; ".join(
        f"{name} {there.get(name)!r} there, {value!r} here"
        for name, value in about.items()
        if there.get(name) != value
    )
    if differences:
        raise ConfigError(
            f"the folder {folder} is of another search: {differences}; name another folder"
        )


def _distribution(optuna: Any, part: Range | Choices) -> Any:
    if isinstance(part, Choices):
        return optuna.distributions.CategoricalDistribution(list(part.values()))
    kind = "IntDistribution" if part.integer else "FloatDistribution"
    return getattr(optuna.distributions, kind)(part.low, part.high, log=part.log)


def _key(params: Mapping[str, Any]) -> str:
    """Equal for equal settings, whatever their order."""
    return json.dumps(dict(params), sort_keys=True, default=plain)
