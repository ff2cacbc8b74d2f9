"""Which setting to try next, by Optuna (Akiba et al. 2019): from what is known and a seed alone."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from recae.errors import ConfigError
from recae.rng import Stream, numpy_generator
from recae.tuning.space import Choices, Range, Space
from recae.tuning.trial import COMPLETE, CUT, PRUNED, Trial, key

SAMPLERS = ("random", "tpe")

STARTUP = 6
"""Trials before TPE begins to learn from them; they are random, but for the template's own."""

ATTEMPTS = 10
"""Proposals of what was tried already before the rest of the space is listed."""


def check_optuna() -> Any:
    """The library. Raises ConfigError where it is missing."""
    try:
        import optuna
    except ImportError as error:
        raise ConfigError('tuning needs Optuna: pip install "recae[tune]"') from error
    return optuna


def propose(
    space: Space, trials: Sequence[Trial], seed: int, sampler: str
) -> dict[str, Any] | None:
    """The settings of the next trial, none that were tried; None when all of them were.

    They depend on the past trials and the seed, not on whether the search was interrupted.
    """
    number, tried = len(trials), {key(trial.params) for trial in trials}
    for attempt in range(ATTEMPTS):
        generator = numpy_generator(seed, Stream.TRIALS, number, attempt)
        params = space.params(_ask(space, trials, int(generator.integers(2**31)), sampler))
        if key(params) not in tried:
            return params
    everything = space.all()
    if everything is None:
        return params  # at worst a setting is fitted twice
    rest = [found for found in everything if key(found) not in tried]
    return rest[generator.integers(len(rest))] if rest else None


def _ask(space: Space, trials: Sequence[Trial], seed: int, sampler: str) -> dict[str, float]:
    """The coordinates that a fresh study of these trials proposes."""
    optuna = check_optuna()
    distributions = {
        place: _distribution(optuna, part) for place, part in space.coordinates().items()
    }
    with _quiet(optuna):
        if sampler == "random":
            chosen = optuna.samplers.RandomSampler(seed=seed)
        else:
            chosen = optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=STARTUP, multivariate=True
            )
        study = optuna.create_study(direction="maximize", sampler=chosen)
        for trial in trials:
            coordinates = space.place(trial.params)
            if coordinates is not None:
                study.add_trial(_frozen(optuna, trial, coordinates, distributions))
        found: dict[str, float] = study.ask(distributions).params
    return found


def _distribution(optuna: Any, part: Range | Choices) -> Any:
    if isinstance(part, Choices):
        return optuna.distributions.CategoricalDistribution(list(part.values()))
    kind = "IntDistribution" if part.integer else "FloatDistribution"
    return getattr(optuna.distributions, kind)(part.low, part.high, log=part.log)


def _frozen(optuna: Any, trial: Trial, coordinates: Any, distributions: Any) -> Any:
    """A trial as Optuna keeps it; a failed one as pruned before its first value, the worst."""
    finished = trial.state in (COMPLETE, CUT)
    return optuna.trial.create_trial(
        state=optuna.trial.TrialState.COMPLETE if finished else optuna.trial.TrialState.PRUNED,
        value=trial.value if finished else None,
        params=coordinates,
        distributions=distributions,
        intermediate_values=dict(trial.rungs) if trial.state == PRUNED else {},
    )


@contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Without the lines that Optuna logs of every study, and with its logger left as it was."""
    logger = logging.getLogger("optuna")
    level = logger.level
    with warnings.catch_warnings():
        # Before 5.0 the multivariate TPE of 2020 was called experimental.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)
