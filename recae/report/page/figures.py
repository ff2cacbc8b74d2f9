"""The figures with lines: by history, by popularity, training, tuning."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from recae.report.entry import Entry
from recae.report.lines import (
    Line,
    curve_lines,
    cut_offs,
    history_lines,
    kinds,
    popularity_lines,
    ranges,
    trial_lines,
)
from recae.report.page.drawing import figure_box, table
from recae.report.page.elements import Markup
from recae.report.page.lines import line_chart
from recae.report.rows import figure, less_is_better, main_group


def by_history_figure(ordered: Sequence[Entry], metric: str) -> Markup | None:
    """The metric by the length of the histories; None where nobody counted them."""
    lines, bins = history_lines(ordered, metric)
    if not lines or len(bins) < 2:
        return None
    groups = ranges(bins)
    users = bins["users"]
    title = f"{metric} by length of history"
    note = (
        f"Mean over the users whose history has so many items, {users.min():,} to "
        f"{users.max():,} users a group, with 95 % intervals{_of_few(ordered, lines)}."
    )
    drawn = _drawn("history", title, lines, ordered, "items in the history", metric, groups=groups)
    rows = [("users", *(f"{n:,}" for n in users)), *_rows(lines)]
    numbers = table(title, ["items in the history", *groups], rows)
    return figure_box("figure-history", title, note, drawn, numbers)


def by_popularity_figure(ordered: Sequence[Entry]) -> Markup | None:
    """The recall of rare and of popular items, at the least k that was counted."""
    for k in cut_offs(ordered)[:1]:
        lines, groups = popularity_lines(ordered, k)
        if not lines or len(groups) < 2:
            continue
        names, title = ranges(groups), f"Recall at {k} by popularity of the item"
        note = (
            "Share of the held-out interactions found, rare items on the left; every group has "
            f"about as many training interactions{_of_few(ordered, lines)}."
        )
        drawn = _drawn(
            "popularity",
            title,
            lines,
            ordered,
            "training users of the item",
            "recall",
            groups=names,
        )
        counts = [
            ("items", *(f"{n:,}" for n in groups["items"])),
            ("held-out interactions", *(f"{n:,}" for n in groups["targets"])),
        ]
        numbers = table(title, ["training users", *names], [*counts, *_rows(lines)])
        return figure_box("figure-popularity", title, note, drawn, numbers)
    return None


def training_figures(ordered: Sequence[Entry]) -> list[Markup]:
    """The validation metric after each epoch, a figure for each metric."""
    figures = []
    for number, (metric, lines) in enumerate(curve_lines(ordered).items()):
        title = f"Training: validation {metric} after each epoch"
        note = "First seeds, on the validation part: its level is not that of the test."
        drawn = _drawn(f"curves-{number}", title, lines, ordered, "epoch", metric, marks=False)
        figures.append(figure_box(f"figure-curves-{number}", title, note, drawn))
    return figures


def tuning_figure(ordered: Sequence[Entry], metric: str) -> Markup | None:
    """The trials of choosing the settings; None where none are known."""
    lines = trial_lines(ordered, metric)
    if not lines:
        return None
    title = "Tuning: best validation value so far"
    low, high = bounds = _tuning_bounds(lines, less_is_better(metric))
    values = [value for one in lines for _, value, _ in one.dots]
    note = "A dot for each setting that was tried; the line is the best until then."
    for sign, edge, beyond in (
        ("▼", "lower", sum(value < low for value in values)),
        ("▲", "upper", sum(value > high for value in values)),
    ):
        if beyond:
            note += f" {sign} at the {edge} edge: {beyond} of {len(values)} settings beyond it."
    drawn = _drawn(
        *("tuning", title, lines, ordered, "seconds of tuning", "value"), marks=False, bounds=bounds
    )
    return figure_box("figure-tuning", title, note, drawn)


def _tuning_bounds(lines: Sequence[Line], less: bool) -> tuple[float, float]:
    """The range of the lines once they are near the best of all, all their ends, and half as much
    again on the worse side."""
    best = [value for one in lines for value in one.y]
    low, high = main_group(best, less=less)
    shown = [value for value in best if low <= value <= high] + [one.y[-1] for one in lines]
    low, high = min(shown), max(shown)
    room = (high - low) / 2 or abs(high) * 0.1 or 1e-3
    return (low, high + room) if less else (low - room, high)


def _rows(lines: Sequence[Line]) -> list[tuple[str, ...]]:
    return [(one.name, *(figure(y) if math.isfinite(y) else "" for y in one.y)) for one in lines]


def _of_few(ordered: Sequence[Entry], lines: Sequence[Line]) -> str:
    names = {one.name for one in lines}
    several = any(len(entry.reports) > 1 for entry in ordered if entry.name in names)
    left = "; the best and the baselines" if len(names) < len(ordered) else ""
    return ("; first seeds" if several else "") + left


def _drawn(
    key: str, title: str, lines: Sequence[Line], ordered: Sequence[Entry], *names: str, **more: Any
) -> Markup:
    return line_chart(
        key, title, lines, kinds([one.name for one in lines], ordered), *names, **more
    )
