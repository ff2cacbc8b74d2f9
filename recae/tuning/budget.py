"""How much a search may spend."""

from __future__ import annotations

import math
import operator
import time
from collections.abc import Sequence
from numbers import Real

from recae.errors import ConfigError
from recae.tuning.trial import COMPLETE, PRUNED, Trial

clock = time.perf_counter


def check_budget(seconds: object, trials: object) -> tuple[float | None, int | None]:
    """The budget as numbers. Raises ConfigError for none, and for what is no time or count.

    >>> check_budget(60, None)
    (60.0, None)
    """
    if seconds is None and trials is None:
        raise ConfigError("say how long to search: seconds=60, trials=20, or both")
    if seconds is not None:
        real = isinstance(seconds, Real) and not isinstance(seconds, bool)
        if not real or not 0 < float(seconds) < math.inf:  # type: ignore[arg-type]
            raise ConfigError(f"seconds must be a number > 0, not {seconds!r}")
    if trials is not None:
        try:
            count = 0 if isinstance(trials, bool) else operator.index(trials)  # type: ignore[arg-type]
        except TypeError:
            count = 0
        if count < 1:
            raise ConfigError(f"trials must be an integer >= 1, not {trials!r}")
    return (
        None if seconds is None else float(seconds),  # type: ignore[arg-type]
        None if trials is None else operator.index(trials),  # type: ignore[arg-type]
    )


class Budget:
    """Seconds, trials, or both; `before` were spent by an earlier process."""

    def __init__(self, seconds: float | None, trials: int | None, before: float = 0.0) -> None:
        self.seconds, self.trials, self.before = seconds, trials, before
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
        if self.seconds is None or not trials:
            return not self.over
        finished = [trial.seconds for trial in trials if trial.state in (COMPLETE, PRUNED)]
        left = self.seconds - self.spent
        return left > 0 and left >= min(finished, default=0.0)
