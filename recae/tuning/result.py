"""The result of a search: the best model, its settings and the table of trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from recae.data import Interactions
from recae.models import Ensemble
from recae.recommend.base import Recommender
from recae.tuning.plot import draw_trials
from recae.tuning.space import Space
from recae.tuning.study import Trial, best_of

COLUMNS = ("number", "value", "seconds", "epochs", "state", "reason")


@dataclass(frozen=True)
class Tuning:
    """The outcome of `recae.tune`.

    model: the fitted model of the best trial; params: its settings, those that were searched;
    value: its metric on validation, which is too good by the choice itself: measure on a test.
    seconds: spent in all. trials: a frame with the columns number (0 is the template's own
    settings), value (NaN if it failed), seconds, epochs (trained; missing for a model without),
    state ("complete", "pruned" by halving, "cut" by the end of the time, "failed"), reason, and one
    for every searched setting.

    >>> split = recae.data.splits.holdout_pairs(data, 0.5)
    >>> recae.tune(recae.EASE(), split.train, split.validation, "recall@4", trials=1).params["l2"]
    200.0
    """

    model: Recommender
    metric: str
    params: dict[str, Any]
    value: float
    trials: pd.DataFrame
    seconds: float
    _space: Space = field(repr=False)
    _past: Sequence[Trial] = field(repr=False)

    def refit(
        self,
        data: Interactions | pd.DataFrame | Any,
        *,
        seed: int = 0,
        device: str | torch.device = "auto",
        progress: bool | None = None,
    ) -> Recommender:
        """A new model with the best settings, fitted on all of `data` without validation.

        A model trained in epochs gets as many as were best, at the same annealing; an ensemble the
        weights that were best. seed, device, progress: as in `fit`. Raises ConfigError and
        DataError as `fit` does.

        >>> split = recae.data.splits.holdout_pairs(data, 0.5)
        >>> tuning = recae.tune(recae.EASE(), split.train, split.validation, "recall@4", trials=1)
        >>> tuning.refit(data)
        EASE()
        """
        best = best_of(self._past)
        assert best is not None  # or there would be no Tuning
        model = self.model.clone().set_params(**best.refit)
        model.fit(data, seed=seed, device=device, progress=progress)
        if isinstance(model, Ensemble) and isinstance(self.model, Ensemble):
            model.member_weights_ = self.model.member_weights_.copy()
        return model

    def plot(self, path: str | Path) -> Path:
        """Draws the trials and writes a PNG: value against seconds spent and, for every searched
        setting, against its values.

        Needs matplotlib (`pip install "recae[plot]"`). Raises ConfigError without it, StorageError
        for a file that cannot be written.

        >>> split = recae.data.splits.holdout_pairs(data, 0.5)
        >>> tuning = recae.tune(recae.EASE(), split.train, split.validation, "recall@4", trials=2)
        >>> tuning.plot("trials.png").name
        'trials.png'
        """
        return draw_trials(self._past, self._space, self.metric, path)

    def __repr__(self) -> str:
        return (
            f"Tuning({self.model!r}, {self.metric} {self.value:.4f} on validation, "
            f"{len(self.trials):,} trials in {self.seconds:.1f} s)"
        )


def tuning_of(
    model: Recommender, metric: str, trials: Sequence[Trial], space: Space, seconds: float
) -> Tuning:
    """The outcome of these trials, of which the best has this model."""
    best = best_of(trials)
    assert best is not None and best.value is not None
    table = frame(trials, list(space.parts))
    return Tuning(
        model, metric, dict(best.params), best.value, table, seconds, space, tuple(trials)
    )


def frame(trials: Sequence[Trial], searched: Sequence[str]) -> pd.DataFrame:
    """A row for each trial; the columns of `COLUMNS` and one for each searched setting."""
    table: dict[str, Any] = {name: [getattr(trial, name) for trial in trials] for name in COLUMNS}
    table["value"] = pd.array(table["value"], dtype="float64")
    table["epochs"] = pd.array(table["epochs"], dtype="Int64")
    for name in searched:
        # A setting called like a column of every table gets a column of another name.
        column = f"{name}_set" if name in COLUMNS else name
        table[column] = [trial.params[name] for trial in trials]
    return pd.DataFrame(table)
