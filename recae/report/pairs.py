"""Which entry of a report is better than which, by paired tests over the users."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from recae.compare import compare
from recae.report.entry import Entry
from recae.report.rows import less_is_better

LEVEL = 0.05
"""A p, adjusted for the number of pairs, below this counts."""


class Pair(NamedTuple):
    """Two entries: the mean of a - b over users, its 95 % interval, and p adjusted by Holm."""

    a: str
    b: str
    difference: float
    low: float
    high: float
    p: float
    less: bool

    @property
    def verdict(self) -> str:
        """Whether a is "better" or "worse" than b, or whether that is "not settled"."""
        if not self.p < LEVEL or not self.difference:
            return "not settled"
        return "better" if (self.difference > 0) != self.less else "worse"

    @property
    def turned(self) -> Pair:
        """The same seen from b."""
        return Pair(self.b, self.a, -self.difference, -self.high, -self.low, self.p, self.less)


def all_pairs(ordered: Sequence[Entry], metric: str) -> list[Pair]:
    """`recae.compare` of every pair of the first seeds; empty where there is nothing to pair.

    All pairs, even where only neighbours are shown: who is whose neighbour was seen in the same
    data, so the adjustment counts every pair that might have been.
    """
    reports = {entry.name: entry.reports[0] for entry in ordered}
    values = [report.per_user.get(metric) for report in reports.values()]
    if len(reports) < 2 or any(column is None or column.isna().all() for column in values):
        return []
    frame, less = compare(reports, metric), less_is_better(metric)
    columns = (frame[name].tolist() for name in ("a", "b", "difference", "low", "high", "p_holm"))
    return [
        Pair(a, b, d, low, high, p, less) for a, b, d, low, high, p in zip(*columns, strict=True)
    ]


def neighbours(pairs: Sequence[Pair], ordered: Sequence[Entry]) -> list[Pair]:
    """The pairs of each entry and the next."""
    names = [entry.name for entry in ordered]
    following = dict(zip(names, names[1:], strict=False))
    return [pair for pair in pairs if following.get(pair.a) == pair.b]


def share(p: float) -> str:
    """A p as text.

    >>> share(0.03456), share(1e-9)
    ('0.035', '<0.001')
    """
    return "<0.001" if p < 0.001 else f"{p:.3f}"
