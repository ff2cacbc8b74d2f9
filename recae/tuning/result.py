"""The result of a search: the best model, its settings, the table of trials and their picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from recae.data import Interactions
from recae.errors import explained
from recae.models import Ensemble
from recae.recommend.base import Recommender
from recae.recommend.tuned import mark_tuned, tuning_of
from recae.system.display import html_table
from recae.system.files import PICTURES, atomic_file
from recae.system.machine import check_can_draw
from recae.training import Callback
from recae.tuning.space import Choices, Range, Space
from recae.tuning.study import COMPLETE, CUT, FAILED, PRUNED, Trial, best_of

COLUMNS = ("number", "value", "seconds", "epochs", "state", "reason")


@explained
@dataclass(frozen=True)
class Tuning:
    """The outcome of `recae.tune`.

    model: the fitted model of the best trial. params: its settings, those that were searched.
    value: its metric on validation, which is too good by the choice itself: measure on a test.
    seconds: spent in all. trials: a frame with a row per trial. Its columns are number (0 is the
    template's own settings), value (NaN if it failed), seconds, epochs (trained; missing for a
    model without), state, reason, and one for every searched setting and every other metric. state
    is "complete", "pruned" by halving, "cut" by the end of the time, or "failed". Of an ensemble
    the trials are those of its members, one after the other, and then the blend of the best.

    >>> split = recae.data.splits.holdout_pairs(data, 0.5)
    >>> arguments = recae.EASE(), split.train, split.validation, "recall@4"
    >>> tuning = recae.tune(*arguments, trials=2, space={"l2": (1, 500)})
    >>> tuning.params
    {'l2': 200.0}
    """

    model: Recommender
    metric: str
    params: dict[str, Any]
    value: float
    trials: pd.DataFrame
    seconds: float
    _best: Trial = field(repr=False)
    _space: Space = field(repr=False)
    _past: Sequence[Trial] = field(repr=False)

    def refit(
        self,
        data: Interactions | pd.DataFrame | Any,
        *,
        seed: int = 0,
        device: str | torch.device = "auto",
        callbacks: Callback | Sequence[Callback] = (),
        progress: bool | None = None,
    ) -> Recommender:
        """A new model with the best settings, fitted on all of `data` without validation.

        A model trained in epochs gets as many as were best, at the same annealing; an ensemble the
        weights that were best. seed, device, callbacks, progress: as in `fit`. Raises ConfigError
        and DataError as `fit` does.

        >>> tuning.refit(data)
        EASE()
        """
        model = self.model.clone().set_params(**self._best.refit)
        model.fit(data, seed=seed, device=device, callbacks=callbacks, progress=progress)
        if isinstance(model, Ensemble) and isinstance(self.model, Ensemble):
            model._keep_weights(self.model)
        if (tuned := tuning_of(self.model)) is not None:
            mark_tuned(model, tuned)
        return model

    def _of_trial(self, trial: Trial) -> Recommender:
        """The unfitted model of one of the trials."""
        return self.model.clone().set_params(**trial.params)

    def plot(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Draws the trials and writes a PNG: value against seconds spent and, for every searched
        setting, against its values.

        overwrite: replace a file that is there. Needs matplotlib (`pip install "recae[plot]"`).
        Raises ConfigError without it and for an ending other than .png, StorageError for a file
        that cannot be written.

        >>> tuning.plot("trials.png").name
        'trials.png'
        """
        return draw_trials(self._past, self._space, self.metric, path, overwrite=overwrite)

    def __repr__(self) -> str:
        return (
            f"Tuning({self.model!r}, {self.metric} {self.value:.4f} on validation, "
            f"{len(self.trials):,} trials in {self.seconds:.1f} s)"
        )

    def _repr_html_(self) -> str:
        best = self.trials.sort_values("value", ascending=False, kind="stable").head(BEST_SHOWN)
        empty = best.isna() | (best.astype(str) == "")
        best = best.loc[:, ~empty.all()]
        rows = best.astype(object).itertuples(index=False, name=None)
        return html_table(repr(self), list(best.columns), rows, digits=".4g")


def frame(trials: Sequence[Trial], searched: Sequence[str]) -> pd.DataFrame:
    """A row for each trial; the columns of `COLUMNS` and one for each searched setting."""
    table: dict[str, Any] = {name: [getattr(trial, name) for trial in trials] for name in COLUMNS}
    table["value"] = pd.array(table["value"], dtype="float64")
    table["epochs"] = pd.array(table["epochs"], dtype="Int64")
    for name in searched:
        # A setting called like a column of every table gets a column of another name.
        column = f"{name}_set" if name in COLUMNS else name
        table[column] = [trial.params[name] for trial in trials]
    for name in dict.fromkeys(name for trial in trials for name in trial.others):
        measured = [trial.others.get(name) for trial in trials]
        table[name] = pd.array(measured, dtype="float64")
    return pd.DataFrame(table)


STYLES: dict[str, dict[str, Any]] = {
    COMPLETE: {"marker": "o", "color": "#1f5f8b"},
    CUT: {"marker": "D", "color": "#c77d0a"},
    PRUNED: {"marker": "v", "color": "#8a8a8a"},
    FAILED: {"marker": "x", "color": "#b02a2a"},
}
DOT: dict[str, Any] = {"linestyle": "", "markersize": 5, "alpha": 0.75}
RING: dict[str, Any] = {
    "marker": "o",
    "markersize": 11,
    "fillstyle": "none",
    "color": "black",
    "zorder": 4,
}
BEST_SHOWN = 10
"""Trials that a notebook shows, the best first."""
ACROSS = 4
"""Panels of settings beside each other."""


def draw_trials(
    trials: Sequence[Trial], space: Space, metric: str, path: str | Path, *, overwrite: bool
) -> Path:
    """Writes a PNG: value against seconds spent with the best so far, and a panel per setting.

    Raises ConfigError without matplotlib, StorageError for a file that cannot be written.
    """
    check_can_draw()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    coordinates = space.coordinates()
    across = min(ACROSS, max(len(coordinates), 1))
    down = math.ceil(len(coordinates) / across)
    figure = Figure(figsize=(9, 3.6 + 2.4 * down), layout="constrained")
    FigureCanvasAgg(figure)
    grid: Any = figure.add_gridspec(1 + down, across, height_ratios=[1.5] + [1] * down)
    overview: Any = figure.add_subplot(grid[0, :])
    heights = _heights(trials)
    _overview(overview, trials, heights, metric)
    for number, (name, part) in enumerate(coordinates.items()):
        axes: Any = figure.add_subplot(grid[1 + number // across, number % across], sharey=overview)
        _panel(axes, name, part, trials, heights, space)
        if number % across:
            axes.tick_params(labelleft=False)
        else:
            axes.set_ylabel(metric)
    with atomic_file(path, overwrite=overwrite, endings=PICTURES) as file:
        figure.savefig(file, format="png", dpi=150)
    return Path(path)


def _heights(trials: Sequence[Trial]) -> list[float]:
    """The values; failed trials, which have none, stand below all others."""
    values = [trial.value for trial in trials if trial.value is not None]
    floor = min(values) - (0.15 * (max(values) - min(values)) or 0.01)
    return [floor if trial.value is None else trial.value for trial in trials]


def _overview(axes: Any, trials: Sequence[Trial], heights: Sequence[float], metric: str) -> None:
    """The values of all trials against the seconds at which they ended, with the best so far as a
    line."""
    for state, style in STYLES.items():
        some = [number for number, trial in enumerate(trials) if trial.state == state]
        ended = [trials[number].ended for number in some]
        if some:
            label = f"{state} ({len(some)})" + (", without a value" if state == FAILED else "")
            axes.plot(ended, [heights[n] for n in some], label=label, **style, **DOT)
    so_far = ((trial.ended, best_of(trials[: n + 1])) for n, trial in enumerate(trials))
    steps = [(ended, best.value) for ended, best in so_far if best is not None]
    line: dict[str, Any] = {"where": "post", "color": "#1f5f8b", "alpha": 0.5, "zorder": 1}
    axes.step(*zip(*steps, strict=True), label="best so far", **line)
    best = best_of(trials)
    if best is not None:
        label = f"best: trial {best.number}, {best.value:.4f}"
        axes.plot(best.ended, best.value, linestyle="", label=label, **RING)
    axes.set_xlim(left=0)
    axes.margins(y=0.1)
    axes.set_xlabel("seconds spent when a trial ended")
    axes.set_ylabel(f"{metric} on validation")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False)
    _plain(axes)


def _panel(
    axes: Any,
    name: str,
    part: Range | Choices,
    trials: Sequence[Trial],
    heights: Sequence[float],
    space: Space,
) -> None:
    """The values against one setting, on a logarithmic axis where it was searched so."""
    best = best_of(trials)
    for trial, height in zip(trials, heights, strict=True):
        place = space.place(trial.params)
        if place is None:  # the template's own settings may lie outside
            continue
        axes.plot(place[name], height, clip_on=False, **STYLES[trial.state], **DOT)
        if trial is best:
            axes.plot(place[name], height, clip_on=False, **RING)
    if isinstance(part, Choices):
        texts = [str(option) for option in part.options]
        tilt: dict[str, Any] = {"rotation": 30, "ha": "right"} if max(map(len, texts)) > 6 else {}
        axes.set_xticks(range(len(texts)), texts, **tilt)
        axes.set_xlim(-0.5, len(texts) - 0.5)
    else:
        if part.log:
            axes.set_xscale("log")
            axes.minorticks_off()
        axes.set_xlim(part.low, part.high)
    axes.set_xlabel(name)
    _plain(axes)


def _plain(axes: Any) -> None:
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
