"""The figures with lines: by history, by popularity, training, tuning."""

from __future__ import annotations

import math
from collections.abc import Sequence

from recae.report.entry import Entry
from recae.report.lines import (
    Line,
    curve_lines,
    cut_offs,
    few,
    history_lines,
    popularity_lines,
    ranges,
    trial_lines,
)
from recae.report.page.drawing import figure_box, table
from recae.report.page.elements import Markup
from recae.report.page.lines import line_chart
from recae.report.rows import figure


def by_history_figure(ordered: Sequence[Entry], metric: str) -> Markup | None:
    """The metric by the length of the histories; None where nobody counted them."""
    lines, bins = history_lines(few(ordered), metric)
    if not lines or len(bins) < 2:
        return None
    groups = ranges(bins)
    users = bins["users"]
    title = f"{metric} by length of history"
    note = (
        f"Mean over the users whose history has so many items, {users.min():,} to "
        f"{users.max():,} users a group, with 95 % intervals{_of_few(ordered)}."
    )
    drawn = line_chart("history", title, lines, "items in the history", metric, groups=groups)
    rows = [("users", *(f"{n:,}" for n in users)), *_rows(lines)]
    numbers = table(title, ["items in the history", *groups], rows)
    return figure_box("figure-history", title, note, drawn, numbers)


def by_popularity_figure(ordered: Sequence[Entry]) -> Markup | None:
    """The recall of rare and of popular items, at the least k that was counted."""
    for k in cut_offs(ordered)[:1]:
        lines, groups = popularity_lines(few(ordered), k)
        if not lines or len(groups) < 2:
            continue
        names, title = ranges(groups), f"Recall at {k} by popularity of the item"
        note = (
            "Share of the held-out interactions found, rare items on the left; every group has "
            f"about as many training interactions{_of_few(ordered)}."
        )
        drawn = line_chart(
            "popularity", title, lines, "training users of the item", "recall", groups=names
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
        note = "First seed. Validation users are not those of the test: the level is another one."
        drawn = line_chart(f"curves-{number}", title, lines, "epoch", metric, marks=False)
        figures.append(figure_box(f"figure-curves-{number}", title, note, drawn))
    return figures


def tuning_figure(ordered: Sequence[Entry], metric: str) -> Markup | None:
    """The trials of choosing the settings; None where none are known."""
    lines = trial_lines(ordered, metric)
    if not lines:
        return None
    title = "Tuning: best validation value so far"
    note = "A dot for each setting that was tried; the line is the best until then."
    drawn = line_chart("tuning", title, lines, "seconds of tuning", "value", marks=False)
    return figure_box("figure-tuning", title, note, drawn)


def _rows(lines: Sequence[Line]) -> list[tuple[str, ...]]:
    return [(one.name, *(figure(y) if math.isfinite(y) else "" for y in one.y)) for one in lines]


def _of_few(ordered: Sequence[Entry]) -> str:
    chosen = few(ordered)
    several = "; first seeds" if any(len(entry.reports) > 1 for entry in chosen) else ""
    left = "; the best and the baselines" if len(chosen) < len(ordered) else ""
    return several + left
