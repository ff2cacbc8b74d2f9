"""Lines with their names at the right end: one for each of a few entries."""

from __future__ import annotations

import math
from collections.abc import Sequence

from recae.report.labels import spread
from recae.report.lines import Line
from recae.report.page.drawing import (
    WIDTH,
    chart,
    frame,
    label,
    line,
    mark,
    pointer,
    polyline,
    text_width,
)
from recae.report.page.elements import Markup, element, shortened
from recae.report.page.scale import Scale, linear

LEFT, TOP, HEIGHT, LONGEST = 62, 44, 380, 20


def line_chart(
    key: str,
    title: str,
    lines: Sequence[Line],
    kinds: Sequence[int],
    x_name: str,
    y_name: str,
    *,
    groups: Sequence[str] = (),
    marks: bool = True,
    bounds: tuple[float, float] | None = None,
) -> Markup:
    """At most eight lines. kinds: the colour and mark of each; groups: names of the positions 0, 1,
    ... on the x axis, where x is no number; bounds: of the y axis, at whose edges is drawn what
    lies beyond (all that is drawn by default)."""
    names = [shortened(one.name, LONGEST) for one in lines]
    right = WIDTH - max(map(text_width, names)) - 34
    ys = [y for one in lines for y in (*one.y, *one.low, *one.high, *(d[1] for d in one.dots))]
    down = linear(bounds or ys, HEIGHT - 58, TOP, margin=0.02 if bounds else 0.06)
    if groups:
        across = Scale(-0.3, len(groups) - 0.7, LEFT, right)
    else:
        xs = [x for one in lines for x in (*one.x, *(dot[0] for dot in one.dots))]
        across = linear(xs, LEFT, right, margin=0.02)
    parts: list[object] = [frame(across, down, x_name, y_name, x_ticks=not groups)]
    parts += _group_names(groups, across, down.start + 15)
    ends = [next(y for y in reversed(one.y) if math.isfinite(y)) for one in lines]
    heights = spread([down.clipped(y) for y in ends], 16, TOP, HEIGHT - 58)
    for kind, one, name, end, y in zip(kinds, lines, names, ends, heights, strict=True):
        parts.append(_drawn(kind, one, across, down, marks))
        last = max(x for x, value in zip(one.x, one.y, strict=True) if math.isfinite(value))
        parts.append(line(across.at(last) + 6, down.clipped(end), right + 14, y, "leader"))
        parts.append(mark(kind, right + 20, y, 4, class_=f"s{kind}"))
        parts.append(label(right + 29, y, name, kind=f"name s{kind}"))
    return chart(key, title, HEIGHT, parts)


def _group_names(groups: Sequence[str], across: Scale, y: float) -> list[Markup]:
    """The names below their positions, in two rows where they are too long for one."""
    space = across.at(1) - across.at(0)
    long = any(text_width(words) > space for words in groups)
    parts = []
    for at, words in enumerate(groups):
        first, dash, second = words.partition("–") if long else (words, "", "")
        parts.append(label(across.at(at), y, first + dash, "middle", "tick"))
        parts.append(label(across.at(at), y + 12, second, "middle", "tick"))
    return parts if long else parts[::2]


def _drawn(kind: int, one: Line, across: Scale, down: Scale, marks: bool) -> Markup:
    """The line, its intervals, its marks and its dots, of one colour."""
    colour = f"s{kind}"
    points = [
        (across.at(x), down.clipped(y), at)
        for at, (x, y) in enumerate(zip(one.x, one.y, strict=True))
        if math.isfinite(y)
    ]
    shift = (kind - 3.5) * 2.5 if one.low else 0  # so that intervals do not cover each other
    parts: list[Markup] = []
    for x, _, at in points:
        if one.low and math.isfinite(one.low[at] + one.high[at]):
            low, high = down.clipped(one.low[at]), down.clipped(one.high[at])
            parts.append(line(x + shift, low, x + shift, high, f"thin {colour}"))
    path = [(x + shift, y) for x, y, _ in points]
    parts.append(polyline(_stepped(path) if one.steps else path, f"line d{kind} {colour}"))
    for x, y, hint in one.dots:
        spot, look = (across.at(x), down.clipped(y)), f"dot {colour}"
        if down.holds(y):
            parts.append(mark(kind, *spot, 2.5, hint, class_=look))
        else:
            parts.append(pointer(180 if y < down.low else 0, *spot, 3, hint, class_=look))
    if marks:
        for x, y, at in points:
            hint = one.hints[at] if one.hints else ""
            parts.append(mark(kind, x + shift, y, 4, hint, class_=colour))
    return element("g", parts)


def _stepped(path: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Level to the x of the next point, then up or down."""
    corners = [(b[0], a[1]) for a, b in zip(path, path[1:], strict=False)]
    return [*(p for pair in zip(path, corners, strict=False) for p in pair), path[-1]]
