"""Callbacks: functions of an epoch, and trackers, which also learn when a job starts and ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from recae.errors import ConfigError, RecaeError, StorageError, warn
from recae.training.epoch import Callback, Epoch

COMPLETE, FAILED, INTERRUPTED = "complete", "failed", "interrupted"


@dataclass(frozen=True)
class Job:
    """What begins: a fit, a search or one of its trials, or what a tracker is told by its user.

    kind: "fit", "tune", "trial", "suite" or "report". name: of the run, such as "MultVAE". params:
    the settings, such as hyperparameters and the seed. facts: about data and versions.

    >>> recae.training.Job("fit", "EASE", {"l2": 200.0}).name
    'EASE'
    """

    kind: str
    name: str
    params: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Result:
    """How a job ended.

    state: "complete", "failed" or "interrupted"; of a trial also "pruned" or "cut". reason: of any
    other state than "complete". seconds: from start to end. metrics: what was measured. params: the
    settings that a search has found. model: fitted, to be kept; None for a trial. validation: the
    fold that the model may be measured on. tables: frames by name. report: of an evaluation.

    >>> recae.training.Result().state
    'complete'
    """

    state: str = COMPLETE
    reason: str = ""
    seconds: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    model: Any = None
    validation: Any = None
    tables: dict[str, Any] = field(default_factory=dict)
    report: Any = None


class Tracker:
    """A callback that also learns when a job starts and how it ends; override what you need.

    Jobs are nested: the trials of a search start and end between its start and its end. Epochs
    belong to the job that started last.

    >>> class Print(recae.training.Tracker):
    ...     def start(self, job):
    ...         print(job.kind, job.name)
    ...     def end(self, job, result):
    ...         print(result.state)
    >>> model = recae.EASE().fit(data, callbacks=Print())
    fit EASE
    complete
    """

    def start(self, job: Job) -> None:
        """Called before the job begins. If the outermost raises, the job does not begin.

        >>> recae.training.Tracker().start(recae.training.Job("fit", "EASE"))
        """

    def __call__(self, epoch: Epoch) -> bool | None:
        """Called after every epoch; returning True ends the training."""

    def end(self, job: Job, result: Result) -> None:
        """Called once for every started job, also for one that raises or is interrupted.

        >>> job = recae.training.Job("fit", "EASE")
        >>> recae.training.Tracker().end(job, recae.training.Result())
        """


class Guard:
    """A tracker whose errors do not end the job.

    An error at the start of the outermost job is raised: nothing is lost yet. Any later one is a
    warning. After it the tracker is only told the end of what it saw start: a server that is gone
    would make every epoch wait.
    """

    def __init__(self, tracker: Tracker) -> None:
        self.tracker, self.started, self.broken = tracker, list[bool](), False

    def start(self, job: Job) -> None:
        """Raises StorageError if the first job cannot be tracked."""
        outermost = not self.started
        if not self.broken:
            try:
                self.tracker.start(job)
            except RecaeError:
                if outermost:
                    raise
                self._note("start")
            except Exception as error:
                if outermost:
                    raise StorageError(f"{self._name} cannot start: {_reason(error)}") from error
                self._note("start", error)
        self.started.append(not self.broken)

    def __call__(self, epoch: Epoch) -> bool | None:
        if self.broken or not self.started:
            return None
        try:
            return self.tracker(epoch)
        except Exception as error:
            self._note(f"epoch {epoch.number}", error)
            return None

    def end(self, job: Job, result: Result) -> None:
        """Tells the end of a job that was started, even after an error."""
        if not self.started.pop():
            return
        try:
            self.tracker.end(job, result)
        except Exception as error:
            self._note("the end", error)

    @property
    def _name(self) -> str:
        return type(self.tracker).__name__

    def _note(self, when: str, error: Exception | None = None) -> None:
        if not self.broken:
            self.broken = True
            why = "" if error is None else f": {_reason(error)}"
            warn(
                f"{self._name} failed at {when} and tracks no further; what it follows goes on{why}"
            )


def check_callbacks(callbacks: Any) -> tuple[Callback, ...]:
    """One callback or several as a tuple, trackers guarded. Raises ConfigError for what cannot be
    called."""
    several = isinstance(callbacks, Iterable) and not callable(callbacks)
    found = tuple(callbacks) if several else (callbacks,)
    for callback in found:
        if not callable(callback) or isinstance(callback, type):
            raise ConfigError(
                f"callbacks must be functions of an Epoch, or trackers, not {callback!r}",
                parameter="callbacks",
                value=callback,
            )
    return tuple(Guard(one) if isinstance(one, Tracker) else one for one in found)


def trackers_of(callbacks: Sequence[Callback]) -> tuple[Guard, ...]:
    """The trackers among checked callbacks."""
    return tuple(callback for callback in callbacks if isinstance(callback, Guard))


@contextmanager
def following(callbacks: Sequence[Callback], job: Callable[[], Job]) -> Iterator[Result]:
    """Tells the trackers among checked callbacks that a job starts, and how it ended.

    job: makes the job; it is only called if there is a tracker. The block fills in the result. Its
    exceptions are told and raised again.
    """
    guards, result = trackers_of(callbacks), Result()
    if not guards:
        yield result
        return
    made, began, running = job(), time.perf_counter(), list[Guard]()
    try:
        for guard in guards:
            guard.start(made)
            running.append(guard)
        yield result
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt | GeneratorExit)
        result.state = INTERRUPTED if interrupted else FAILED
        result.reason = _reason(error)
        raise
    finally:
        result.seconds = time.perf_counter() - began
        for guard in reversed(running):
            guard.end(made, result)


def _reason(error: BaseException) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:500]
