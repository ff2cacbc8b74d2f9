"""Lines with their names at the right end: one for each of a few entries."""

from __future__ import annotations

import math
from collections.abc import Sequence

from recae.report.labels import spread
from recae.report.lines import Line
from recae.report.page.drawing import (
    SERIES,
    WIDTH,
    chart,
    fixed,
    frame,
    label,
    line,
    mark,
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
    x_name: str,
    y_name: str,
    *,
    groups: Sequence[str] = (),
    marks: bool = True,
) -> Markup:
    """At most eight lines. groups: names of the positions 0, 1, ... on the x axis, where x is no
    number."""
    names = [shortened(one.name, LONGEST) for one in lines]
    right = WIDTH - max(map(text_width, names)) - 34
    ys = [y for one in lines for y in (*one.y, *one.low, *one.high, *(d[1] for d in one.dots))]
    down = linear(ys, HEIGHT - 58, TOP)
    if groups:
        across = Scale(-0.3, len(groups) - 0.7, LEFT, right)
    else:
        xs = [x for one in lines for x in (*one.x, *(dot[0] for dot in one.dots))]
        across = linear(xs, LEFT, right, margin=0.02)
    parts: list[object] = [frame(across, down, x_name, y_name, x_ticks=not groups)]
    parts += [
        label(across.at(at), down.start + 15, words, "middle", "tick")
        for at, words in enumerate(groups)
    ]
    ends = [next(y for y in reversed(one.y) if math.isfinite(y)) for one in lines]
    heights = spread([down.at(y) for y in ends], 16, TOP, HEIGHT - 58)
    for number, (one, name, y) in enumerate(zip(lines, names, heights, strict=True)):
        parts.append(_drawn(number, one, across, down, marks))
        last = max(x for x, value in zip(one.x, one.y, strict=True) if math.isfinite(value))
        kind = f"s{number % SERIES}"
        parts.append(line(across.at(last) + 6, down.at(ends[number]), right + 14, y, "leader"))
        parts.append(mark(number, right + 20, y, 4, class_=kind))
        parts.append(label(right + 29, y, name, kind=f"name {kind}"))
    return chart(key, title, HEIGHT, parts)


def _drawn(number: int, one: Line, across: Scale, down: Scale, marks: bool) -> Markup:
    """The line, its intervals, its marks and its dots, of one colour."""
    kind = f"s{number % SERIES}"
    points = [
        (across.at(x), down.at(y), at)
        for at, (x, y) in enumerate(zip(one.x, one.y, strict=True))
        if math.isfinite(y)
    ]
    shift = (number - 3.5) * 2.5 if len(one.low) else 0  # so that intervals do not cover each other
    parts: list[Markup] = []
    for x, _, at in points:
        if len(one.low) and math.isfinite(one.low[at] + one.high[at]):
            low, high = down.at(one.low[at]), down.at(one.high[at])
            parts.append(line(x + shift, low, x + shift, high, f"thin {kind}"))
    path = [(x + shift, y) for x, y, _ in points]
    if one.steps:
        path = [p for a, b in zip(path, path[1:], strict=False) for p in (a, (b[0], a[1]))] + path[
            -1:
        ]
    parts.append(polyline(path, f"line d{number % SERIES} {kind}"))
    for x, y, hint in one.dots:
        parts.append(mark(number, across.at(x), down.at(y), 2.5, hint, class_=f"dot {kind}"))
    if marks:
        for x, y, at in points:
            hint = one.hints[at] if one.hints else ""
            parts.append(mark(number, x + shift, y, 4, hint, class_=kind))
    return element("g", parts, data_line=fixed(number))
