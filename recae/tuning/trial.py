"""One setting that was tried, as it is kept: everything a search needs to know of its past."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import pandas as pd

from recae.system.files import plain

COMPLETE, PRUNED, CUT, FAILED = "complete", "pruned", "cut", "failed"
COLUMNS = ("number", "value", "seconds", "epochs", "state", "reason")


@dataclass(frozen=True)
class Trial:
    """A setting and what became of it.

    params: the searched settings; value: the metric on validation, None if it failed; ended: the
    seconds that the whole search had spent when it ended; epochs: those trained, None for a model
    without; rungs: epoch -> best value until then, see `halving`; refit: the settings to change for
    a fit without validation; warned: what the fit warned of.
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
    rungs: Mapping[int, float] = field(default_factory=dict)
    refit: Mapping[str, Any] = field(default_factory=dict)

    @property
    def counts(self) -> bool:
        """Whether it may be the best."""
        return self.state in (COMPLETE, CUT)

    def line(self) -> str:
        """One line of JSON."""
        return json.dumps(dataclasses.asdict(self), default=plain, ensure_ascii=False)

    @classmethod
    def read(cls, line: str) -> Self:
        """The trial of a line. Raises ValueError or TypeError for another line."""
        fields = json.loads(line)
        for name in ("params", "refit"):
            fields[name] = {key: as_setting(value) for key, value in fields[name].items()}
        fields["rungs"] = {int(epoch): value for epoch, value in fields["rungs"].items()}
        return cls(**fields)


def as_setting(value: Any) -> Any:
    """A setting as JSON gives it back: what was a tuple is one again."""
    return tuple(value) if isinstance(value, list) else value


def key(params: Mapping[str, Any]) -> str:
    """Equal for equal settings, whatever their order."""
    return json.dumps(dict(params), sort_keys=True, default=plain)


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The trial with the highest value, the earlier one of equals; None if none has finished."""
    best = None
    for trial in trials:
        if trial.counts and (best is None or _value(trial) > _value(best)):
            best = trial
    return best


def frame(trials: Sequence[Trial], searched: Sequence[str]) -> pd.DataFrame:
    """A row for each trial; the columns of `COLUMNS` and one for each searched setting."""
    table: dict[str, Any] = {
        "number": [trial.number for trial in trials],
        "value": pd.array([_value(trial) for trial in trials], dtype="float64"),
        "seconds": [trial.seconds for trial in trials],
        "epochs": pd.array([trial.epochs for trial in trials], dtype="Int64"),
        "state": [trial.state for trial in trials],
        "reason": [trial.reason for trial in trials],
    }
    for name in searched:
        table[column(name)] = [trial.params[name] for trial in trials]
    return pd.DataFrame(table)


def column(name: str) -> str:
    """The column of a setting: its name, unless a column of every table is called so."""
    return f"{name}_set" if name in COLUMNS else name


def _value(trial: Trial) -> float:
    return float("nan") if trial.value is None else trial.value
