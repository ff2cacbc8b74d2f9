"""Accuracy against something else: seconds of training, coverage of the catalogue."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from recae.report.entry import Entry
from recae.report.labels import Box, nearest, place
from recae.report.page.drawing import (
    WIDE,
    WIDTH,
    chart,
    figure_box,
    frame,
    label,
    line,
    mark,
    pointer,
    polyline,
    text_width,
)
from recae.report.page.elements import Markup, shortened, together
from recae.report.page.scale import Scale, linear, logarithmic
from recae.report.rows import amount, figure, less_is_better, main_group, measured

LEFT, RIGHT, TOP, LONGEST = 62, 16, 44, 22
CROWDED = 20
"""With more points a chart has the whole width."""
LEAST_SECONDS = 0.01
"""Less than this is not told apart."""
Point = tuple[Entry, float, float]


def against_time(ordered: Sequence[Entry], metric: str) -> Markup | None:
    """The metric against the median seconds of a fit; None for fewer than two points."""
    points = [
        (entry, max(entry.seconds, LEAST_SECONDS), entry.value(metric))
        for entry in ordered
        if entry.seconds is not None and math.isfinite(entry.seconds + entry.value(metric))
    ]
    note = (
        "Median seconds of one fit, without tuning, on a logarithmic axis. The line joins the "
        "models that no faster one beats."
    )
    return _scatter(
        "time", f"{metric} against seconds of training", note, points, metric, "seconds"
    )


def against_coverage(ordered: Sequence[Entry], metric: str) -> list[Markup]:
    """A chart for the coverage of the catalogue at each k that two entries have."""
    known = dict.fromkeys(n for e in ordered for n in e.reports[0].mean)
    charts: list[Markup | None] = []
    for name in (n for n in known if n.startswith("coverage@") and n != metric):
        points = [
            (entry, found.mean, entry.value(metric))
            for entry in ordered
            if (found := measured(entry, name)) and math.isfinite(found.mean + entry.value(metric))
        ]
        k = name.partition("@")[2]
        note = f"Coverage: the share of the catalogue that is in anybody's first {k}."
        key = f"coverage-{len(charts)}"
        charts.append(_scatter(key, f"{metric} against {name}", note, points, metric, name))
    return [chart for chart in charts if chart]


def _scatter(
    key: str,
    title: str,
    note: str,
    points: Sequence[Point],
    metric: str,
    x_name: str,
) -> Markup | None:
    if len(points) < 2:
        return None
    less, timed = less_is_better(metric), x_name == "seconds"
    height = min(330 + 8 * len(points), 560)
    width = WIDE if len(points) > CROWDED else WIDTH
    area = Box(LEFT, TOP, width - RIGHT, height - 52)
    low, high = main_group([y for _, _, y in points], less=less)
    near = [(x, y) for _, x, y in points if low <= y <= high]
    xs, ys = zip(*near, strict=True)
    across = logarithmic(xs, area.left, area.right) if timed else linear(xs, area.left, area.right)
    across = replace(across, least=LEAST_SECONDS) if timed and min(xs) <= LEAST_SECONDS else across
    down = linear(ys, area.bottom, area.top, margin=0.1)
    parts: list[object] = [frame(across, down, x_name, metric)]
    if timed:
        parts.append(_front(points, across, down, less))
    spots = [_spot(x, y, across, down) for _, x, y in points]
    names = [shortened(entry.name, LONGEST) for entry, _, _ in points]
    boxes = place(spots, [(text_width(name), 15) for name in names], area)
    parts += [_labelled(s, name, box) for s, name, box in zip(spots, names, boxes, strict=True)]
    for (entry, x, y), spot in zip(points, spots, strict=True):
        hint = f"{entry.name}: {_told(x, y, timed)}"
        if down.holds(y):
            parts.append(mark(0, *spot, 5, hint, class_="s0"))
        else:
            parts.append(pointer(180 if y < down.low else 0, *spot, 5, hint, class_="s0"))
    note += _beyond(points, down, timed)
    hidden = sum(box is None for box in boxes)
    if hidden:
        note += f" {hidden} without room for a label: point at them."
    drawn = chart(key, title, height, parts, width=width)
    return figure_box(f"figure-{key}", title, note, drawn, wide=width == WIDE)


def _spot(x: float, y: float, across: Scale, down: Scale) -> tuple[float, float]:
    """Where a point stands: a little within the edge that it lies beyond."""
    inwards = 0 if down.holds(y) else -8 if y < down.low else 8
    return across.clipped(x), down.clipped(y) + inwards


def _told(x: float, y: float, timed: bool) -> str:
    if not timed:
        return f"{figure(y)}, {figure(x)}"
    seconds = f"{amount(x)} s" if x > LEAST_SECONDS else f"{LEAST_SECONDS:g} s or less"
    return f"{figure(y)}, {seconds}"


def _beyond(points: Sequence[Point], down: Scale, timed: bool) -> str:
    """The models that lie beyond the axis of the metric, for the caption."""
    told = ""
    for sign, edge in (("▼", "below"), ("▲", "above")):
        beyond = [
            f"{entry.name} ({_told(x, y, timed)})"
            for entry, x, y in points
            if (y < down.low if edge == "below" else y > down.high)
        ]
        told += (
            f" {sign} far {edge} the axis, drawn at its end: {', '.join(beyond)}." if beyond else ""
        )
    return told


def _labelled(spot: tuple[float, float], name: str, box: Box | None) -> Markup | None:
    """The label of a point, with a thin line to it where it stands apart."""
    if box is None:
        return None
    near = nearest(spot, box)
    leader = line(*spot, *near, "leader") if math.dist(spot, near) > 12 else None
    side = "start" if box.left > spot[0] else "end" if box.right < spot[0] else "middle"
    x = {"start": box.left, "end": box.right, "middle": (box.left + box.right) / 2}[side]
    return together(leader, label(x, (box.top + box.bottom) / 2, name, side, "point"))


def _front(points: Sequence[Point], across: Scale, down: Scale, less: bool) -> Markup | None:
    """A stepped line through the points that none with a smaller x beats."""
    best: list[tuple[float, float]] = []
    for _, x, y in sorted(points, key=lambda point: (point[1], point[2] if less else -point[2])):
        if not best or (y < best[-1][1] if less else y > best[-1][1]):
            best.append((x, y))
    spots: list[tuple[float, float]] = []
    for x, y in best:
        if spots:
            spots.append((across.clipped(x), spots[-1][1]))
        spots.append((across.clipped(x), down.clipped(y)))
    return polyline(spots, "front") if len(best) > 1 else None
