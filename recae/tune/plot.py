"""The trials of a search as a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recae.errors import ConfigError
from recae.files import atomic_file
from recae.tune.space import Choices, Range, Space
from recae.tune.trial import COMPLETE, CUT, FAILED, PRUNED, Trial, best_of

STYLES: dict[str, dict[str, Any]] = {
    COMPLETE: {"marker": "o", "color": "#1f5f8b"},
    CUT: {"marker": "D", "color": "#c77d0a"},
    PRUNED: {"marker": "v", "color": "#8a8a8a"},
    FAILED: {"marker": "x", "color": "#b02a2a"},
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
    across = min(ACROSS, max(len(coordinates), 2))
    down = math.ceil(len(coordinates) / across)
    figure = Figure(figsize=(9, 4 + 2.6 * down), layout="constrained")
    FigureCanvasAgg(figure)
    grid: Any = figure.add_gridspec(1 + down, across, height_ratios=[1.5] + [1] * down)
    overview: Any = figure.add_subplot(grid[0, :])
    _overview(overview, trials, metric)
    for number, (name, part) in enumerate(coordinates.items()):
        axes: Any = figure.add_subplot(grid[1 + number // across, number % across], sharey=overview)
        _panel(axes, name, part, trials, space)
        if number % across:
            axes.tick_params(labelleft=False)
        else:
            axes.set_ylabel(metric)
    with atomic_file(path) as part_file:
        figure.savefig(part_file, format="png", dpi=150)
    return Path(path)


def _overview(axes: Any, trials: Sequence[Trial], metric: str) -> None:
    values = [trial.value for trial in trials if trial.value is not None]
    low, high = min(values), max(values)
    margin = 0.08 * (high - low) or 0.01
    floor = low - 2 * margin  # where failed trials stand: they have no value
    axes.set_ylim(floor - margin, high + margin)
    for state, style in STYLES.items():
        some = [trial for trial in trials if trial.state == state]
        if some:
            heights = [floor if trial.value is None else trial.value for trial in some]
            label = f"{state} ({len(some)})"
            axes.plot([t.ended for t in some], heights, linestyle="", label=label, **style)
    reached = [(trials[: n + 1], trial.ended) for n, trial in enumerate(trials)]
    steps = [(ended, best_of(some)) for some, ended in reached]
    known = [(ended, best.value) for ended, best in steps if best is not None]
    axes.step(
        *zip(*known, strict=True), where="post", color="#1f5f8b", alpha=0.5, label="best so far"
    )
    best = best_of(trials)
    if best is not None:
        axes.annotate(
            f"trial {best.number}: {best.value:.4f}",
            (best.ended, best.value),
            xytext=(0, 7),
            textcoords="offset points",
            ha="center",
        )
    axes.set_xlabel("seconds spent when a trial ended")
    axes.set_ylabel(f"{metric} on validation")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    _plain(axes)


def _panel(
    axes: Any, name: str, part: Range | Choices, trials: Sequence[Trial], space: Space
) -> None:
    floor = axes.get_ylim()[0]
    best = best_of(trials)
    for trial in trials:
        place = space.place(trial.params)
        if place is None:
            continue
        height = floor if trial.value is None else trial.value
        axes.plot(place[name], height, markersize=5, clip_on=False, **STYLES[trial.state])
        if trial is best:
            axes.plot(place[name], height, "o", markersize=11, fillstyle="none", color="#1f5f8b")
    if isinstance(part, Choices):
        axes.set_xticks(range(len(part.options)), [str(option) for option in part.options])
        axes.set_xlim(-0.5, len(part.options) - 0.5)
    elif part.log:
        axes.set_xscale("log")
    axes.set_xlabel(name)
    _plain(axes)


def _plain(axes: Any) -> None:
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
