"""Entries side by side, as pictures of lines."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from recae.errors import ConfigError, DataError, unknown_option
from recae.report.canvas import COLOURS, DASHES, MARKS, canvas, write
from recae.report.entry import Entry
from recae.report.folder import check_entries
from recae.report.labels import spread
from recae.report.lines import Line, curve_lines, history_lines, kinds, ranges
from recae.report.rows import best_first, choose_metrics
from recae.system.files import check_target


def plot_by_history(entries: Iterable[Entry], metric: str, path: str | Path) -> Path:
    """Draws a metric by the length of the users' histories, a line each, and writes a PNG.

    First seeds, with 95 % intervals; of many entries the best and the baselines. Needs matplotlib
    (`pip install "recae[plot]"`). Raises ConfigError without it and for an unknown metric;
    DataError for entries of different data, and if nobody counted the histories; StorageError if
    the picture cannot be written.

    >>> values = pd.DataFrame({"recall@5": [0.5, 0.7]}, index=[1, 2])
    >>> users = pd.DataFrame({"history": [3, 9], "targets": [1, 1]}, index=[1, 2])
    >>> entry = recae.report.Entry("ease", [recae.Report("EASE()", values, users=users)])
    >>> recae.report.plot_by_history([entry], "recall@5", "history.png").name
    'history.png'
    """
    entries, target = check_entries(list(entries)), check_target(path)
    choose_metrics(entries, [metric], metric)
    if not any(metric in entry.reports[0].per_user for entry in entries):
        raise ConfigError(f"{metric} is one number, not one per user: it has no breakdown")
    ordered = best_first(entries, metric)
    lines, bins = history_lines(ordered, metric)
    if not lines:
        raise DataError(
            f"no entry has values of {metric} and sizes of histories: evaluate the models again"
        )
    figure, axes = canvas(8, 4.5, layout="constrained")
    axes.set_xticks(range(len(bins)), ranges(bins))
    axes.set_xlabel("items in the history")
    _draw(axes, lines, kinds([line.name for line in lines], ordered), metric, marks=True)
    return write(figure, target)


def plot_curves(entries: Iterable[Entry], path: str | Path, *, metric: str | None = None) -> Path:
    """Draws a validation metric after each epoch, a line for each entry, and writes a PNG.

    metric: one of the epochs' (the first by default). At most eight lines, of the first seeds.
    Needs matplotlib (`pip install "recae[plot]"`). Raises ConfigError without it, for an unknown
    metric, and if no entry has epochs with validation metrics; DataError for entries of different
    data; StorageError if the picture cannot be written.

    >>> values = pd.DataFrame({"recall@5": [0.5, 0.7]}, index=[1, 2])
    >>> epochs = [{"number": n, "metrics": {"recall@5": 0.1 * n}} for n in (1, 2, 3)]
    >>> entry = recae.report.Entry("mult-vae", [recae.Report("MultVAE()", values)], epochs=epochs)
    >>> recae.report.plot_curves([entry], "curves.png").name
    'curves.png'
    """
    entries, target = check_entries(list(entries)), check_target(path)
    ordered = best_first(entries, choose_metrics(entries, None, None)[0])
    curves = curve_lines(ordered)
    if not curves:
        raise ConfigError("no entry has epochs with a validation metric: there is nothing to draw")
    if metric is not None and metric not in curves:
        raise unknown_option("metric of these epochs", metric, curves)
    metric, lines = next((m, found) for m, found in curves.items() if metric in (None, m))
    figure, axes = canvas(8, 4.5, layout="constrained")
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    _draw(axes, lines, kinds([line.name for line in lines], ordered), f"validation {metric}")
    return write(figure, target)


def _draw(
    axes: Any, lines: Sequence[Line], kinds: Sequence[int], name: str, *, marks: bool = False
) -> None:
    """Lines with their intervals, and their names at the right end."""
    for one, kind in zip(lines, kinds, strict=True):
        shift = (kind - 3.5) * 0.03 if one.low else 0.0
        x, style = [value + shift for value in one.x], {"color": COLOURS[kind]}
        mark = MARKS[kind] if marks else None
        axes.plot(x, one.y, marker=mark, markersize=5, linestyle=DASHES[kind], **style)
        if one.low:
            axes.vlines(x, one.low, one.high, linewidth=0.8, alpha=0.5, **style)
    axes.set_ylabel(name)
    low, high = axes.get_ylim()
    ends = [next(y for y in reversed(one.y) if math.isfinite(y)) for one in lines]
    heights = spread([(end - low) / (high - low) for end in ends], 0.05, 0.0, 1.0)
    for one, kind, height in zip(lines, kinds, heights, strict=True):
        mark = MARKS[kind] if marks else None
        sample = {"marker": mark, "markersize": 4, "linestyle": DASHES[kind], "linewidth": 1.2}
        axes.plot(
            (1.01, 1.03, 1.05),
            [height] * 3,
            color=COLOURS[kind],
            transform=axes.transAxes,
            clip_on=False,
            markevery=[1],
            **sample,
        )
        axes.text(
            1.06,
            height,
            one.name if len(one.name) <= 32 else f"{one.name[:31]}…",
            color=COLOURS[kind],
            transform=axes.transAxes,
            va="center",
            fontsize=9,
            parse_math=False,
        )
