"""Draws the trials of a search."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recae.errors import ConfigError
from recae.system.files import atomic_file
from recae.tuning.space import Choices, Range, Space
from recae.tuning.study import COMPLETE, CUT, FAILED, PRUNED, Trial, best_of

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
ACROSS = 4
"""Panels of settings beside each other."""


def draw_trials(trials: Sequence[Trial], space: Space, metric: str, path: str | Path) -> Path:
    """Writes a PNG: value against seconds spent with the best so far, and a panel per setting.

    Raises ConfigError without matplotlib, StorageError for a file that cannot be written.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError('plots need matplotlib: pip install "recae[plot]"') from error
    coordinates = space.coordinates()
    across = min(ACROSS, len(coordinates))
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
    with atomic_file(path) as file:
        figure.savefig(file, format="png", dpi=150)
    return Path(path)


def _heights(trials: Sequence[Trial]) -> list[float]:
    """The values; failed trials, which have none, stand below all others."""
    values = [trial.value for trial in trials if trial.value is not None]
    floor = min(values) - (0.15 * (max(values) - min(values)) or 0.01)
    return [floor if trial.value is None else trial.value for trial in trials]


def _overview(axes: Any, trials: Sequence[Trial], heights: Sequence[float], metric: str) -> None:
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
