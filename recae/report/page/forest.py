"""The main metric of every entry with its interval: a forest plot."""

from __future__ import annotations

import math
from collections.abc import Sequence

from recae.report.entry import Entry
from recae.report.page.drawing import (
    WIDE,
    chart,
    figure_box,
    label,
    line,
    mark,
    pointer,
    text_width,
    x_axis,
)
from recae.report.page.elements import Markup, shortened
from recae.report.page.scale import Scale, linear
from recae.report.published import described
from recae.report.rows import Measured, figure, interval, less_is_better, main_group, measured

ROW, TOP, RIGHT, LONGEST = 26, 10, 24, 28
Row = tuple[Entry, Measured]


def forest(ordered: Sequence[Entry], metric: str) -> Markup | None:
    """A row for each entry that has a number, best on top; None if there is none."""
    rows = [
        (e, found) for e in ordered if (found := measured(e, metric)) and math.isfinite(found.mean)
    ]
    if not rows:
        return None
    names = [shortened(entry.name, LONGEST) for entry, _ in rows]
    values = [figure(found.mean) for _, found in rows]
    beside = max(map(text_width, values)) + 26  # between the names and the axis
    left = max(map(text_width, names)) + 8 + beside
    bottom = TOP + ROW * len(rows)
    across = linear(_in_view(rows, metric), left, WIDE - RIGHT)
    parts: list[Markup] = [x_axis(across, TOP, bottom)]
    for number, (row, name, value) in enumerate(zip(rows, names, values, strict=True)):
        y = TOP + ROW * (number + 0.5)
        parts.append(label(left - beside, y, name, "end"))
        parts.append(label(left - 14, y, value, "end", "value"))
        parts += _row(*row, metric, across, y)
    parts.append(label((left + WIDE - RIGHT) / 2, bottom + 36, metric, "middle", "axis"))
    title = f"{metric} of every model"
    drawn = chart("forest", title, bottom + 52, parts, width=WIDE)
    note = _note(rows, metric, across)
    return figure_box("figure-forest", title, note, drawn, wide=True)


def _in_view(rows: Sequence[Row], metric: str) -> list[float]:
    """What the axis holds: the models that are not far off, with all that is drawn of them, and the
    published figures that are not."""
    low, high = main_group([found.mean for _, found in rows], less=less_is_better(metric))
    near = [found for _, found in rows if low <= found.mean <= high]
    published = [e.published[metric].value for e, _ in rows if metric in e.published]
    return [v for f in near for v in (f.mean, f.low, f.high, *f.seeds)] + [
        value for value in published if low <= value <= high
    ]


def _row(entry: Entry, found: Measured, metric: str, across: Scale, y: float) -> list[Markup]:
    """The interval, the seeds, the published figure and the mean of an entry."""
    parts = []
    on = across.holds(found.mean)
    if on and math.isfinite(found.low + found.high):
        parts.append(
            line(across.clipped(found.low), y, across.clipped(found.high), y, "whisker s0")
        )
    if on and len(found.seeds) > 1:
        places = [across.at(seed) for seed in found.seeds if across.holds(seed)]
        parts += [line(x, y - 7, x, y + 7, "seed") for x in places]
    if metric in entry.published:
        theirs = entry.published[metric]
        hint = f"published: {figure(theirs.value)}, {described(theirs)}"
        kind = "hollow" if theirs.comparable else "hollow dashed"
        if across.holds(theirs.value):
            parts.append(mark(2, across.at(theirs.value), y, 5, hint, class_=kind))
        else:
            parts += _beyond(theirs.value, across, y, hint, kind, 20, figure(theirs.value))
    hint = f"{entry.name}: {figure(found.mean)} {interval(found.low, found.high)}".rstrip()
    if on:
        parts.append(mark(0, across.at(found.mean), y, 4.5, hint, class_="s0"))
    else:
        parts += _beyond(found.mean, across, y, hint, "s0")
    return parts


def _beyond(
    value: float, across: Scale, y: float, hint: str, kind: str, inwards: float = 0, told: str = ""
) -> list[Markup]:
    """An arrowhead near the end of the axis that a value lies beyond, and the value beside it."""
    below = value < across.low
    x, step = (across.start, 1) if below else (across.end, -1)
    x += step * (7 + inwards)
    parts = [pointer(-90 if below else 90, x, y, 4.5, hint, class_=kind)]
    if told:
        parts.append(label(x + step * 11, y, told, "start" if below else "end", "tick"))
    return parts


def _note(rows: Sequence[Row], metric: str, across: Scale) -> str:
    several = any(len(entry.reports) > 1 for entry, _ in rows)
    said = ["● mean over users" + (" and seeds" if several else "")]
    if any(math.isfinite(found.low + found.high) for _, found in rows):
        said.append("line: 95 % interval over users" + (" of the first seed" if several else ""))
    if several:
        said.append("short upright lines: each seed")
    published = [e.published[metric].value for e, _ in rows if metric in e.published]
    if published:
        said.append("◇ published figure, dashed where it cannot be compared")
    values = [*(found.mean for _, found in rows), *published]
    if any(value < across.low for value in values):
        said.append("◀ far below the axis, with its figure")
    if any(value > across.high for value in values):
        said.append("▶ far above the axis, with its figure")
    return "; ".join(said) + "."
