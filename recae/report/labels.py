"""Places the labels of points and lines so that none covers another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

RADII = (7, 14, 22, 32, 44, 58, 74, 92)
"""Pixels between a point and its label: the nearest that is free."""
SIDES = ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (-1, -1), (1, 1), (-1, 1))


class Box(NamedTuple):
    """A rectangle in pixels; y grows downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """Whether they share a pixel."""
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom

    def within(self, other: Box) -> bool:
        """Whether it lies in the other altogether."""
        wide = other.left <= self.left and self.right <= other.right
        return wide and other.top <= self.top and self.bottom <= other.bottom


def place(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    area: Box,
    *,
    mark: float = 6,
) -> list[Box | None]:
    """A box in the area for the label of each point. It covers no point and no other label, and a
    straight line from its point reaches it without crossing one.

    sizes: width and height of each label; the first points choose first. None where all places
    around the point are taken.
    """
    marks = [Box(x - mark, y - mark, x + mark, y + mark) for x, y in points]
    labels: list[Box] = []
    found: list[Box | None] = []
    for own, (point, size) in enumerate(zip(points, sizes, strict=True)):
        others = [box for at, box in enumerate(marks) if at != own] + labels
        for box in (_beside(point, size, r, side, area) for r in RADII for side in SIDES):
            taken = any(box.meets(other) for other in (*others, marks[own]))
            if box.within(area) and not taken and not _crosses(point, box, others):
                labels.append(box)
                found.append(box)
                break
        else:
            found.append(None)
    return found


def nearest(point: tuple[float, float], box: Box) -> tuple[float, float]:
    """The place of a box that is nearest to a point."""
    x, y = point
    return min(max(x, box.left), box.right), min(max(y, box.top), box.bottom)


def _crosses(point: tuple[float, float], box: Box, others: Sequence[Box]) -> bool:
    """Whether the line from a point to its label, looked at in eight places, meets another box;
    those that the point itself lies in do not count."""
    here = Box(*point, *point)
    others, end = [other for other in others if not here.meets(other)], nearest(point, box)
    for step in range(1, 9):
        x, y = (a + (b - a) * step / 9 for a, b in zip(point, end, strict=True))
        if any(Box(x, y, x, y).meets(other) for other in others):
            return True
    return False


def _beside(
    point: tuple[float, float],
    size: tuple[float, float],
    radius: float,
    side: tuple[int, int],
    area: Box,
) -> Box:
    """The box of a label on one side of a point, above and below moved sideways into the area."""
    (x, y), (width, height), (across, down) = point, size, side
    left = x + radius if across > 0 else x - radius - width if across < 0 else x - width / 2
    top = y + radius if down > 0 else y - radius - height if down < 0 else y - height / 2
    if not across:
        left = min(max(left, area.left), area.right - width)
    return Box(left, top, left + width, top + height)


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions near the wanted ones, in their order, at least `gap` apart, within low and high.

    If they do not fit they are spread evenly.

    >>> spread([10, 11, 50], 10, 0, 100)
    [5.5, 15.5, 50.0]
    """
    from scipy.optimize import isotonic_regression  # which leaves a warning filter behind

    order = sorted(range(len(wanted)), key=lambda at: wanted[at])
    if (len(wanted) - 1) * gap > high - low:
        gap = (high - low) / (len(wanted) - 1)
    if not order:
        return []
    # Without the gaps positions may only rise: those that would fall share their mean.
    starts = isotonic_regression([wanted[at] - rank * gap for rank, at in enumerate(order)]).x
    starts = starts.clip(low, high - (len(wanted) - 1) * gap)
    found = dict(zip(order, (starts + gap * np.arange(len(order))).tolist(), strict=True))
    return [found[at] for at in range(len(order))]
