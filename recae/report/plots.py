"""Reports and entries side by side, as pictures of points."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from recae.errors import ConfigError, unknown_option
from recae.evaluation import Report
from recae.report.canvas import COLOURS, DPI, canvas, write
from recae.report.entry import Entry
from recae.report.folder import check_entries
from recae.report.labels import Box, nearest, place
from recae.report.rows import best_first, choose_metrics, less_is_better
from recae.system.files import check_target


def comparison(reports: Mapping[str, Report]) -> pd.DataFrame:
    """One row per report (its name as index), one text column per metric: `mean [low, high]`.

    Raises ConfigError without reports.

    >>> values = pd.DataFrame({"recall@5": [0.5, 0.7]}, index=[1, 2])
    >>> recae.report.comparison({"a": recae.Report("a", values)}).loc["a", "recall@5"]
    '0.6000'
    """
    require_some(reports)
    return pd.DataFrame({name: _cells(report) for name, report in reports.items()}).T


def _cells(report: Report) -> dict[str, str]:
    frame = report.frame()
    return {
        str(metric): f"{row['mean']:.4f}"
        + ("" if pd.isna(row["low"]) else f" [{row['low']:.4f}, {row['high']:.4f}]")
        for metric, row in frame.iterrows()
    }


def require_some(reports: Mapping[str, Report]) -> None:
    if not reports:
        raise ConfigError("there are no reports to show; give at least one, as {name: report}")


PIXEL = DPI / 96
"""Dots of a picture in what `recae.report.labels` calls a pixel."""


def plot_comparison(reports: Mapping[str, Report], metric: str, path: str | Path) -> Path:
    """Draws one metric of every report with its 95 % interval, best on top, and writes a PNG.

    Needs matplotlib (`pip install "recae[plot]"`). Raises ConfigError without it, without
    reports, or for a metric that they do not have.

    >>> values = pd.DataFrame({"recall@5": [0.5, 0.7]}, index=[1, 2])
    >>> recae.report.plot_comparison({"a": recae.Report("a", values)}, "recall@5", "a.png").name
    'a.png'
    """
    require_some(reports)
    for report in reports.values():
        if metric not in report.metrics:
            raise unknown_option("metric of these reports", metric, report.metrics)
    sign = -1 if less_is_better(metric) else 1
    found = {name: report[metric] for name, report in reports.items()}
    order = sorted(found, key=lambda name: (math.isfinite(found[name]), sign * found[name]))
    means = [found[name] for name in order]
    figure, axes = canvas(8, 1.2 + 0.5 * len(order), layout="constrained")
    rows = [reports[name].frame().loc[metric].fillna(reports[name][metric]) for name in order]
    # Never below 0: where all users agree, the two means may differ in the last bit.
    spread = [
        [max(r["mean"] - r["low"], 0.0) for r in rows],
        [max(r["high"] - r["mean"], 0.0) for r in rows],
    ]
    heights = range(len(order))
    axes.errorbar(means, heights, xerr=spread, fmt="o", capsize=4, color=COLOURS[0])
    for height, mean in zip(heights, means, strict=True):
        axes.annotate(
            f"{mean:.3f}", (mean, height), xytext=(0, 7), textcoords="offset points", ha="center"
        )
    axes.set_yticks(heights, order, parse_math=False)  # a name may hold a $
    axes.set_xlabel(f"{metric}, mean over users with its 95 % interval")
    axes.set_ylim(-0.6, len(order) - 0.3)
    axes.grid(False, axis="y")
    return write(figure, path)


def plot_accuracy_against_time(entries: Iterable[Entry], metric: str, path: str | Path) -> Path:
    """Draws a metric of every entry against its median seconds of a fit, and writes a PNG.

    The axis of seconds is logarithmic; entries of unknown seconds are left out, and no label covers
    another. Needs matplotlib (`pip install "recae[plot]"`). Raises ConfigError without it, for an
    unknown metric, and if no entry has seconds; DataError for entries of different data;
    StorageError if the picture cannot be written.

    >>> values = pd.DataFrame({"recall@5": [0.5, 0.7]}, index=[1, 2])
    >>> entry = recae.report.Entry("ease", [recae.Report("EASE()", values)], fit_seconds=[12.5])
    >>> recae.report.plot_accuracy_against_time([entry], "recall@5", "time.png").name
    'time.png'
    """
    entries, target = check_entries(list(entries)), check_target(path)
    choose_metrics(entries, [metric], metric)
    points = [
        (entry.name, max(entry.seconds, 1e-4), entry.value(metric))
        for entry in best_first(entries, metric)
        if entry.seconds is not None and math.isfinite(entry.value(metric))
    ]
    if not points:
        raise ConfigError("no entry has both seconds of a fit and a value: nothing to draw")
    figure, axes = canvas(8, min(4.5 + 0.1 * len(points), 7.5))
    figure.subplots_adjust(left=0.1, right=0.97, top=0.95, bottom=0.12)
    names, seconds, values = zip(*points, strict=True)
    axes.plot(seconds, values, "o", color=COLOURS[0])
    axes.set_xscale("log")
    axes.set_xlim(min(seconds) / 2, max(seconds) * 2)
    axes.margins(y=0.12)
    axes.set_xlabel("seconds of a fit (median, without tuning)")
    axes.set_ylabel(metric)
    _label(axes, names, list(zip(seconds, values, strict=True)))
    return write(figure, target)


def _label(axes: Any, names: Iterable[str], points: list[tuple[float, float]]) -> None:
    """Names beside their points, the first ones first, each where it covers nothing."""
    renderer = axes.figure.canvas.get_renderer()
    corners = axes.get_window_extent(renderer)
    # Labels are placed in pixels that grow downwards, those of matplotlib upwards.
    area = Box(corners.x0 / PIXEL, -corners.y1 / PIXEL, corners.x1 / PIXEL, -corners.y0 / PIXEL)
    spots = [(x / PIXEL, -y / PIXEL) for x, y in axes.transData.transform(points)]
    texts = [axes.text(0, 0, name, fontsize=8, va="center", parse_math=False) for name in names]
    extents = [text.get_window_extent(renderer) for text in texts]
    sizes = [(e.width / PIXEL + 2, e.height / PIXEL + 2) for e in extents]
    back = axes.transData.inverted()
    for text, spot, box in zip(texts, spots, place(spots, sizes, area), strict=True):
        if box is None:
            text.remove()
            continue
        middle = (box.left + 1, (box.top + box.bottom) / 2)
        text.set_position(back.transform((middle[0] * PIXEL, -middle[1] * PIXEL)))
        near = nearest(spot, box)
        if math.dist(spot, near) > 12:
            ends = back.transform([(x * PIXEL, -y * PIXEL) for x, y in (spot, near)])
            axes.plot(*ends.T, color="0.6", linewidth=0.6, zorder=1)
