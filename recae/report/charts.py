"""The charts of a report: intervals in rows, labelled points, and lines with their names."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from recae.report.canvas import (
    COLOURS,
    DASHES,
    GRID,
    INK,
    MARKS,
    PAPER,
    SOFT,
    canvas,
    hinted,
    readable,
)
from recae.report.entry import Published
from recae.report.labels import Box, nearest, place, spread
from recae.report.lines import Line
from recae.report.markup import shortened
from recae.report.rows import Measured, amount, described, figure, interval, main_group

INCH = 72
"""Pixels of a page: matplotlib's SVG has so many units in an inch."""
WIDTH, WIDE = 620, 1100
"""Pixels of a chart: half of a large screen, and a row of the page."""
CROWDED = 20
"""With more points a chart has the full width."""
LEAST_SECONDS = 0.01
"""Shorter fits are drawn here."""
NAME, TICK = 12.0, 11.0
"""Points, and pixels of a page, of letters."""


@dataclass(frozen=True)
class Chart:
    """A figure of a report: `draw` makes it with matplotlib.

    key: its name in the page; note: its caption; numbers: the head and the rows of a table of what
    it shows.
    """

    key: str
    title: str
    note: str
    draw: Callable[[], Any]
    wide: bool = False
    numbers: tuple[Sequence[str], Sequence[Sequence[object]]] | None = None


class Row(NamedTuple):
    """A row of a forest plot."""

    name: str
    found: Measured
    published: Published | None = None


def forest(rows: Sequence[Row], metric: str, less: bool, width: int = WIDE) -> Chart:
    """A metric of each row with its interval and its published figure, the first row on top.

    Values that are far off the others are arrows at the end of the axis.
    """
    low, high = main_group([row.found.mean for row in rows], less=less)
    near = [row.found for row in rows if low <= row.found.mean <= high]
    published = [row.published.value for row in rows if row.published]
    view = [v for f in near for v in (f.mean, f.low, f.high, *f.seeds)]
    limits = span([*view, *(value for value in published if low <= value <= high)])

    def draw() -> Any:
        """A line for each row: the mean, its interval, the seeds and the published figure."""
        figure_, axes = canvas(width / INCH, (62 + 26 * len(rows)) / INCH, layout="constrained")
        names = [f"{shortened(readable(row.name), 28)}   {figure(row.found.mean)}" for row in rows]
        _style(axes)
        axes.set_yticks(range(len(rows)), names, parse_math=False, fontsize=NAME, color=INK)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(limits)
        axes.grid(False, axis="y")
        axes.set_xlabel(readable(metric), parse_math=False, color=SOFT, fontsize=NAME)
        for y, row in enumerate(rows):
            _row(axes, row, y, limits)
        return figure_

    return Chart("forest", f"{metric} of every model", _forest_note(rows, limits), draw, wide=True)


def _row(axes: Any, row: Row, y: int, limits: tuple[float, float]) -> None:
    """The interval, the seeds, the published figure and the mean of a row."""
    found, (least, most) = row.found, limits
    on = least <= found.mean <= most
    if on and math.isfinite(found.low + found.high):
        axes.plot([found.low, found.high], [y, y], color=COLOURS[0], linewidth=2, zorder=2)
    if on and len(found.seeds) > 1:
        axes.plot(found.seeds, [y] * len(found.seeds), "|", color=SOFT, markersize=12, zorder=2)
    if row.published:
        hint = f"published: {figure(row.published.value)}, {described(row.published)}"
        edge = INK if row.published.comparable else SOFT
        look = {"markerfacecolor": PAPER, "markeredgecolor": edge, "markersize": 7, "zorder": 3}
        inside = least <= row.published.value <= most
        if inside:
            hinted(axes.plot(row.published.value, y, "D", **look)[0], hint)
        else:
            beside = figure(row.published.value)
            _beyond(axes, row.published.value < least, y, hint, look, 2, beside)
    look = {"color": COLOURS[0], "markersize": 7, "zorder": 4}
    hint = f"{row.name}: {figure(found.mean)} {interval(found.low, found.high)}".rstrip()
    if on:
        hinted(axes.plot(found.mean, y, "o", **look)[0], hint)
    elif math.isfinite(found.mean):
        _beyond(axes, found.mean < least, y, hint, look, 0, "")


def _beyond(
    axes: Any, below: bool, y: float, hint: str, look: dict[str, Any], inwards: int, beside: str
) -> None:
    """An arrowhead at the end of the x axis that a value lies beyond, and the value beside it."""
    x = (1 + inwards) * 0.01
    x, aside = (x, x + 0.012) if below else (1 - x, 1 - x - 0.012)
    across = axes.get_yaxis_transform()
    hinted(axes.plot(x, y, "<" if below else ">", transform=across, **look)[0], hint)
    if beside:
        side = "left" if below else "right"
        text = axes.text(aside, y, beside, ha=side, va="center", transform=across)
        text.set(fontsize=TICK, color=SOFT)


def _forest_note(rows: Sequence[Row], limits: tuple[float, float]) -> str:
    """The caption: which of the marks are in the figure, and what they mean."""
    several = any(len(row.found.seeds) > 1 for row in rows)
    parts = ["● mean over users" + (" and seeds" if several else "")]
    if any(math.isfinite(row.found.low + row.found.high) for row in rows):
        parts.append("line: 95 % interval over users" + (" of the first seed" if several else ""))
    if several:
        parts.append("short upright lines: each seed")
    published = [row.published.value for row in rows if row.published]
    if published:
        parts.append("◇ published figure, grey where it cannot be compared")
    values = [*(row.found.mean for row in rows), *published]
    if any(value < limits[0] for value in values):
        parts.append("◀ far below the axis, with its figure")
    if any(value > limits[1] for value in values):
        parts.append("▶ far above the axis, with its figure")
    return "; ".join(parts) + "."


Point = tuple[str, float, float]
"""A name, x and y."""


def scatter(
    key: str, title: str, note: str, points: Sequence[Point], names: tuple[str, str], less: bool
) -> Chart:
    """Named points. names: of the axes; an x axis of seconds is logarithmic, and a line joins the
    points that none with a smaller x beats. Points far off the others are arrows at the edge."""
    timed = names[0] == "seconds"
    if timed:
        points = [(name, max(x, LEAST_SECONDS), y) for name, x, y in points]
    low, high = main_group([y for *_, y in points], less=less)
    near = [(x, y) for _, x, y in points if low <= y <= high]
    xs, ys = ([point[at] for point in near] for at in (0, 1))
    limits = (min(xs) / 1.6, max(xs) * 1.6) if timed else span(xs)
    bottom, top = span(ys, 0.1)
    width = WIDE if len(points) > CROWDED else WIDTH
    note += _far(points, (bottom, top), timed)

    def draw() -> Any:
        """A dot for each model with its name; those beyond the axes are triangles at the edge."""
        height = min(330 + 8 * len(points), 560)
        figure_, axes = canvas(width / INCH, height / INCH)
        figure_.subplots_adjust(56 / width, 44 / height, 1 - 16 / width, 1 - 40 / height)
        _style(axes, names)
        if timed:
            axes.set_xscale("log")
            axes.minorticks_off()
            axes.set_xticks(*log_ticks(*limits, least=LEAST_SECONDS))
        axes.set_xlim(limits)
        axes.set_ylim(bottom, top)
        if timed:
            _front(axes, points, less)
        spots = []
        edge = 0.02 * (top - bottom)
        for name, x, y in points:
            marker = "v" if y < bottom else "^" if y > top else "o"
            shown = y if marker == "o" else min(max(y, bottom + edge), top - edge)
            spot = min(max(x, limits[0]), limits[1]), shown
            dot = axes.plot(*spot, marker, color=COLOURS[0], markersize=7, clip_on=False)[0]
            hinted(dot, f"{name}: {_at(x, y, timed)}")
            spots.append(spot)
        _label(axes, [name for name, *_ in points], spots)
        return figure_

    return Chart(key, title, note, draw, wide=width == WIDE)


def _at(x: float, y: float, timed: bool) -> str:
    if not timed:
        return f"{figure(y)}, {figure(x)}"
    seconds = f"{amount(x)} s" if x > LEAST_SECONDS else f"{LEAST_SECONDS:g} s or less"
    return f"{figure(y)}, {seconds}"


def _far(points: Sequence[Point], limits: tuple[float, float], timed: bool) -> str:
    """The points beyond the y axis, for the caption."""
    said = ""
    for sign, edge in (("▼", "below"), ("▲", "above")):
        far = [
            f"{name} ({_at(x, y, timed)})"
            for name, x, y in points
            if (y < limits[0] if edge == "below" else y > limits[1])
        ]
        said += f" {sign} far {edge} the axis, drawn at its end: {', '.join(far)}." if far else ""
    return said


def _front(axes: Any, points: Sequence[Point], less: bool) -> None:
    """A stepped line through the points that none with a smaller x beats."""
    best: list[tuple[float, float]] = []
    for _, x, y in sorted(points, key=lambda point: (point[1], point[2] if less else -point[2])):
        if not best or (y < best[-1][1] if less else y > best[-1][1]):
            best.append((x, y))
    if len(best) > 1:
        look = {"where": "post", "color": SOFT, "linewidth": 1.1, "linestyle": (0, (3, 3))}
        axes.step(*zip(*best, strict=True), zorder=1, **look)


def _label(axes: Any, names: Iterable[str], points: list[tuple[float, float]]) -> None:
    """Names beside their points, the first ones first, each where it covers nothing."""
    renderer = axes.figure.canvas.get_renderer()
    scale = axes.figure.dpi / INCH  # dots of the picture in a pixel of the page
    corners = axes.get_window_extent(renderer)
    # Labels are placed in pixels that grow downwards, those of matplotlib upwards.
    area = Box(corners.x0 / scale, -corners.y1 / scale, corners.x1 / scale, -corners.y0 / scale)
    spots = [(x / scale, -y / scale) for x, y in axes.transData.transform(points)]
    texts = [
        axes.text(0, 0, shortened(readable(name), 22), fontsize=TICK, va="center", parse_math=False)
        for name in names
    ]
    extents = [text.get_window_extent(renderer) for text in texts]
    sizes = [(e.width / scale + 2, e.height / scale + 2) for e in extents]
    back = axes.transData.inverted()
    for text, spot, box in zip(texts, spots, place(spots, sizes, area), strict=True):
        if box is None:
            text.remove()
            continue
        side = "left" if box.left > spot[0] else "right" if box.right < spot[0] else "center"
        x = {"left": box.left, "right": box.right, "center": (box.left + box.right) / 2}[side]
        text.set(ha=side, color=INK, bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.5})
        text.set_position(back.transform((x * scale, -(box.top + box.bottom) / 2 * scale)))
        near = nearest(spot, box)
        if math.dist(spot, near) > 12:
            ends = back.transform([(x * scale, -y * scale) for x, y in (spot, near)])
            axes.plot(*ends.T, color=SOFT, linewidth=0.6, zorder=1)


def draw_lines(
    lines: Sequence[Line],
    kinds: Sequence[int],
    names: tuple[str, str],
    *,
    groups: Sequence[str] = (),
    marks: bool = True,
    bounds: tuple[float, float] | None = None,
) -> Any:
    """A figure of at most eight lines with their names at the right end.

    kinds: the colour and mark of each. names: of the axes. groups: names of the positions 0, 1, ...
    on the x axis. bounds: of the y axis, at whose edges points beyond it are arrows.
    """
    figure_, axes = canvas(WIDTH / INCH, 360 / INCH, layout="constrained")
    _style(axes, names)
    ys = [y for one in lines for y in (*one.y, *one.low, *one.high, *(d[1] for d in one.dots))]
    low, high = span(bounds or ys, 0.02 if bounds else 0.06)
    axes.set_ylim(low, high)
    if groups:
        long = max(map(len, groups)) * 6 > (WIDTH - 200) / len(groups)
        axes.set_xticks(range(len(groups)), [g.replace("–", "–\n") if long else g for g in groups])
        axes.set_xlim(-0.3, len(groups) - 0.7)
    else:
        axes.set_xlim(span([x for one in lines for x in (*one.x, *(d[0] for d in one.dots))], 0.02))
        if names[0] == "epoch":
            axes.xaxis.get_major_locator().set_params(integer=True)
    for one, kind in zip(lines, kinds, strict=True):
        _line(axes, one, kind, marks, (low, high))
    ends = [next(y for y in reversed(one.y) if math.isfinite(y)) for one in lines]
    ends = [(min(max(end, low), high) - low) / (high - low) for end in ends]
    for one, kind, height in zip(lines, kinds, spread(ends, 0.05, 0.0, 1.0), strict=True):
        look = {"color": COLOURS[kind], "transform": axes.transAxes, "clip_on": False}
        sample = {"linestyle": DASHES[kind], "linewidth": 1.5, "markersize": 5, "markevery": [1]}
        mark = MARKS[kind] if marks else None
        axes.plot((1.01, 1.03, 1.05), [height] * 3, marker=mark, **look, **sample)
        name = shortened(readable(one.name), 20)
        axes.text(1.06, height, name, va="center", fontsize=NAME, parse_math=False, **look)
    return figure_


def _line(axes: Any, one: Line, kind: int, marks: bool, limits: tuple[float, float]) -> None:
    """A line, its intervals, its marks and its dots, of one colour."""
    shift = (kind - 3.5) * 0.03 if one.low else 0.0  # so that intervals do not cover each other
    x, colour = [value + shift for value in one.x], COLOURS[kind]
    style = "steps-post" if one.steps else "default"
    axes.plot(x, one.y, linestyle=DASHES[kind], drawstyle=style, color=colour, linewidth=1.8)
    if one.low:
        axes.vlines(x, one.low, one.high, linewidth=1, alpha=0.55, color=colour)
    for at, hint in enumerate(one.hints if marks else ()):
        if math.isfinite(one.y[at]):
            dot = axes.plot(x[at], one.y[at], MARKS[kind], color=colour, markersize=5.5)[0]
            hinted(dot, hint)
    low, high = limits
    for end, value, hint in one.dots:
        mark = "v" if value < low else "^" if value > high else MARKS[kind]
        look = {"color": colour, "markersize": 4, "alpha": 0.5, "clip_on": False}
        hinted(axes.plot(end, min(max(value, low), high), mark, **look)[0], hint)


def span(values: Iterable[float], margin: float = 0.06) -> tuple[float, float]:
    """The ends of an axis that holds all finite values, with a margin, as a share, on both sides.

    >>> span([0.2, 0.4], 0.5)
    (0.1, 0.5)
    """
    finite = [value for value in values if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.5, 1.0)
    if high - low < 1e-9 * max(abs(low), abs(high), 1e-3):  # all the same
        low, high = low - max(abs(low) * 0.1, 1e-3), high + max(abs(high) * 0.1, 1e-3)
    gap = (high - low) * margin
    # A value that is never negative, such as a metric, has no axis below 0.
    return low - gap if low < 0 else max(low - gap, 0.0), high + gap


def log_ticks(
    low: float, high: float, most: int = 6, *, least: float | None = None
) -> tuple[list[float], list[str]]:
    """Round values of a logarithmic axis, and their texts.

    least: a value at which all below it is drawn; its text says so.

    >>> log_ticks(0.006, 20, least=0.01)
    ([0.01, 0.1, 1.0, 10.0], ['≤ 0.01', '0.1', '1', '10'])
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        ticks = [step * 10.0**power for power in powers for step in steps]
        ticks = [tick for tick in ticks if low <= tick * 1.001 and tick <= high]
        if len(ticks) <= most:
            break
    else:
        ticks = ticks[:: math.ceil(len(ticks) / most)]
    texts = [f"{tick:,.6g}" for tick in ticks]
    if least is not None:
        texts = [
            f"≤ {t}" if math.isclose(v, least) else t for v, t in zip(ticks, texts, strict=True)
        ]
    return ticks, texts


def _style(axes: Any, names: tuple[str, str] | None = None) -> None:
    """The colours of axes, and their names: that of the y axis stands above it."""
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.grid(True, color=GRID, alpha=1, linewidth=1)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=TICK, labelcolor=SOFT)
    axes.locator_params(nbins=6, steps=[1, 2, 5, 10])
    if names:
        look = {"color": SOFT, "fontsize": NAME, "fontweight": "bold", "parse_math": False}
        axes.set_xlabel(readable(names[0]), **look)
        axes.set_title(readable(names[1]), loc="left", **look)
