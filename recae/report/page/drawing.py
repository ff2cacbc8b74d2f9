"""The parts that the charts of a page share: frame, marks, figure."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from recae.report.page.elements import Markup, element, together
from recae.report.page.scale import Scale

WIDTH = 620
"""Pixels of a chart: as wide as half a large screen; on a phone its box scrolls."""
WIDE = 1100
"""Pixels of a chart that has a row of the page for itself."""
LETTER = 7.2
"""Pixels that a letter of a label takes at most, on average, at 12 pixels of height."""
SERIES = 8
"""Colours, marks and dashes that can be told apart."""


def fixed(value: float) -> str:
    """A pixel position as text."""
    return f"{value:.1f}".removesuffix(".0")


def text_width(label: str) -> float:
    """Pixels that a label takes."""
    return LETTER * sum(1.7 if unicodedata.east_asian_width(s) in "WF" else 1 for s in label)


def label(x: float, y: float, words: str, anchor: str = "start", kind: str | None = None) -> Markup:
    """A text whose middle stands at y."""
    return element("text", words, x=fixed(x), y=fixed(y + 4), text_anchor=anchor, class_=kind)


def mark(
    kind: int, x: float, y: float, size: float = 4.5, hint: str = "", **more: object
) -> Markup:
    """A mark of one of eight shapes, with a text that is shown when it is pointed at."""
    s = size
    paths = (
        f"M{-s} 0a{s} {s} 0 1 0 {2 * s} 0a{s} {s} 0 1 0 {-2 * s} 0z",  # circle
        f"M{-s} {-s}h{2 * s}v{2 * s}h{-2 * s}z",  # square
        f"M0 {-1.3 * s:.1f}L{1.3 * s:.1f} 0L0 {1.3 * s:.1f}L{-1.3 * s:.1f} 0z",  # diamond
        f"M0 {-1.2 * s:.1f}L{1.2 * s:.1f} {s}H{-1.2 * s:.1f}z",  # triangle
        f"M0 {1.2 * s:.1f}L{1.2 * s:.1f} {-s}H{-1.2 * s:.1f}z",  # triangle, point down
        f"M{-s} {-s}L{s} {s}M{-s} {s}L{s} {-s}",  # cross
        f"M{-s} 0H{s}M0 {-s}V{s}",  # plus
        f"M{-1.4 * s:.1f} {-0.6 * s:.1f}h{2.8 * s:.1f}v{1.2 * s:.1f}h{-2.8 * s:.1f}z",  # bar
    )
    return _placed(paths[kind % SERIES], f"translate({fixed(x)} {fixed(y)})", hint, **more)


def pointer(
    turn: int, x: float, y: float, size: float = 4.5, hint: str = "", **more: object
) -> Markup:
    """An arrowhead for what lies beyond an axis: up, turned clockwise by so many degrees."""
    s = size
    path = f"M0 {-1.3 * s:.1f}L{1.2 * s:.1f} {0.9 * s:.1f}H{-1.2 * s:.1f}z"
    return _placed(path, f"translate({fixed(x)} {fixed(y)}) rotate({turn})", hint, **more)


def _placed(path: str, transform: str, hint: str, **more: object) -> Markup:
    return element(
        "g",
        element("title", hint) if hint else None,
        element("path", d=path),
        class_=f"mark {more.pop('class_', '')}".strip(),
        transform=transform,
    )


def frame(across: Scale, down: Scale, x_name: str, y_name: str, *, x_ticks: bool = True) -> Markup:
    """The grid, the ticks and the names of both axes. (`down` runs from the bottom to the top.)"""
    left, right, bottom, top = across.start, across.end, down.start, down.end
    parts = [label(left - 44, top - 20, y_name, kind="axis")]
    for value, words in down.ticks():
        y = down.at(value)
        parts.append(line(left, y, right, y, "grid"))
        parts.append(label(left - 8, y, words, "end", "tick"))
    if x_ticks:
        parts.append(x_axis(across, top, bottom))
    parts.append(label((left + right) / 2, bottom + 42, x_name, "middle", "axis"))
    return together(parts)


def x_axis(across: Scale, top: float, bottom: float) -> Markup:
    """Vertical grid lines, with their values below."""
    parts = []
    for value, words in across.ticks(max(6, int(across.end - across.start) // 100)):
        x = across.at(value)
        parts.append(line(x, top, x, bottom, "grid"))
        parts.append(label(x, bottom + 15, words, "middle", "tick"))
    return together(parts)


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    """A straight line of a class."""
    return element("line", x1=fixed(x1), y1=fixed(y1), x2=fixed(x2), y2=fixed(y2), class_=kind)


def polyline(points: Sequence[tuple[float, float]], kind: str) -> Markup:
    """A line through points."""
    path = " ".join(f"{fixed(x)},{fixed(y)}" for x, y in points)
    return element("polyline", points=path, class_=kind)


def chart(key: str, title: str, height: float, *parts: object, width: int = WIDTH) -> Markup:
    """An SVG with a title that is read out."""
    return element(
        "svg",
        element("title", title, id=f"{key}-title"),
        parts,
        role="img",
        aria_labelledby=f"{key}-title",
        class_="wide" if width > WIDTH else None,
        width=width,
        height=fixed(height),
        viewBox=f"0 0 {width} {fixed(height)}",
    )


def figure_box(
    key: str, title: str, note: object, drawn: Markup, *more: object, wide: bool = False
) -> Markup:
    """A figure with its caption; the chart scrolls within its box where the screen is narrow."""
    return element(
        "figure",
        element("figcaption", element("h2", title), element("p", note)),
        scrolling(title, drawn),
        more,
        id=key,
        class_="wide" if wide else None,
    )


def scrolling(title: str, *children: object) -> Markup:
    """A box of its own to scroll in, by keyboard too."""
    return element("div", children, class_="scroll", tabindex=0, role="region", aria_label=title)


def table(
    title: str,
    head: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    summary: str = "The numbers",
) -> Markup:
    """A folded plain table of the numbers of a chart: the first column names the row."""
    body = [
        element("tr", element("th", first, scope="row"), [element("td", cell) for cell in rest])
        for first, *rest in rows
    ]
    plain = element(
        "table",
        element("thead", element("tr", [element("th", name, scope="col") for name in head])),
        element("tbody", body),
    )
    return element("details", element("summary", summary), scrolling(f"{title}: numbers", plain))
