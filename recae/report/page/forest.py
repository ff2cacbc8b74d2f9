"""The main metric of every entry with its interval: a forest plot."""

from __future__ import annotations

import math
from collections.abc import Sequence

from recae.report.entry import Entry
from recae.report.page.drawing import (
    WIDTH,
    chart,
    figure_box,
    label,
    line,
    mark,
    text_width,
    x_axis,
)
from recae.report.page.elements import Markup, shortened
from recae.report.page.scale import linear
from recae.report.published import described
from recae.report.rows import figure, interval, measured

ROW, TOP, LONGEST = 26, 10, 24


def forest(ordered: Sequence[Entry], metric: str) -> Markup | None:
    """A row for each entry that has a number, best on top; None if there is none."""
    rows = [
        (e, found) for e in ordered if (found := measured(e, metric)) and found.mean == found.mean
    ]
    if not rows:
        return None
    published = [e.published[metric].value for e, _ in rows if metric in e.published]
    values = [v for _, f in rows for v in (f.low, f.high, *f.seeds)] + published
    names = [shortened(entry.name, LONGEST) for entry, _ in rows]
    left = max(map(text_width, names)) + 20
    bottom = TOP + ROW * len(rows)
    across = linear(values, left, WIDTH - 70)
    parts: list[Markup] = [x_axis(across, TOP, bottom)]
    for number, ((entry, found), name) in enumerate(zip(rows, names, strict=True)):
        y = TOP + ROW * (number + 0.5)
        parts.append(label(left - 12, y, name, "end"))
        if math.isfinite(found.low + found.high):
            parts.append(line(across.at(found.low), y, across.at(found.high), y, "whisker s0"))
        if len(found.seeds) > 1:
            parts += [line(across.at(s), y - 7, across.at(s), y + 7, "seed") for s in found.seeds]
        if metric in entry.published:
            theirs = entry.published[metric]
            hint = f"published: {figure(theirs.value)}, {described(theirs)}"
            kind = "hollow" if theirs.comparable else "hollow dashed"
            parts.append(mark(2, across.at(theirs.value), y, 5, hint, class_=kind))
        hint = f"{entry.name}: {figure(found.mean)} {interval(found.low, found.high)}".rstrip()
        parts.append(mark(0, across.at(found.mean), y, 4.5, hint, class_="s0"))
        parts.append(label(WIDTH - 62, y, figure(found.mean), kind="value"))
    parts.append(label((left + WIDTH - 70) / 2, bottom + 36, metric, "middle", "axis"))
    title = f"{metric} of every model"
    drawn = chart("forest", title, bottom + 52, parts)
    return figure_box("figure-forest", title, _note(rows, metric, bool(published)), drawn)


def _note(rows: Sequence[tuple[Entry, object]], metric: str, published: bool) -> str:
    several = any(len(entry.reports) > 1 for entry, _ in rows)
    said = ["● mean over users" + (" and seeds" if several else "")]
    if any(math.isfinite(sum(e.reports[0].interval.get(metric, (math.nan,)))) for e, _ in rows):
        said.append("line: 95 % interval over users" + (" of the first seed" if several else ""))
    if several:
        said.append("short upright lines: each seed")
    if published:
        said.append("◇ published figure, dashed where it cannot be compared")
    return "; ".join(said) + "."
