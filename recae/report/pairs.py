"""Paired tests over users between the entries of a report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from recae.evaluation.comparison import compare
from recae.report.entry import Entry
from recae.report.rows import figure, interval, signed

METHOD = (
    "Better: Wilcoxon's signed-rank test and a t test of the mean, p the larger of both, adjusted "
    "for {pairs} (Holm), and a bootstrap interval that leaves out 0, at 5 %; otherwise not "
    "settled, which is no proof that there is no difference"
)
"""The explanation of the verdicts of `recae.compare` for the readers of a report."""


HEAD = ("model", "against", "difference", "95 % interval", "p", "the first is", "detectable")


class Pair(NamedTuple):
    """Two entries as `recae.compare` finds them, seen from a.

    difference, low, high: the mean of a - b over users (and seeds) and its 95 % interval. p: the
    larger of the two adjusted ones. detectable: the difference that one such comparison by itself
    would miss one time in five. verdict: "better" or "worse" if that is shown, else "not settled".
    """

    a: str
    b: str
    difference: float
    low: float
    high: float
    p: float
    detectable: float
    verdict: str

    @property
    def cells(self) -> tuple[str, ...]:
        """The fields as text, under `HEAD`."""
        bounds, visible = interval(self.low, self.high), figure(self.detectable)
        verdict = self.verdict
        return self.a, self.b, signed(self.difference), bounds, share(self.p), verdict, visible

    @property
    def turned(self) -> Pair:
        """The same seen from b."""
        verdict = {"better": "worse", "worse": "better"}.get(self.verdict, self.verdict)
        signs = (-self.difference, -self.high, -self.low)
        return Pair(self.b, self.a, *signs, self.p, self.detectable, verdict)


def all_pairs(ordered: Sequence[Entry], metric: str) -> list[Pair]:
    """`recae.compare` of every pair, with all their seeds; empty where there is nothing to pair.

    All pairs, even where only neighbours are shown: who is whose neighbour was seen in the same
    data, so the adjustment counts every pair that might have been.
    """
    reports = {entry.name: list(entry.reports) for entry in ordered}
    values = [r.per_user.get(metric) for entry in ordered for r in entry.reports]
    if len(reports) < 2 or any(column is None or column.isna().all() for column in values):
        return []
    frame = compare(reports, metric)
    p = np.maximum(frame["p_holm"], frame["p_mean_holm"])  # NaN where either is
    names = ("a", "b", "difference", "low", "high", "detectable", "better")
    columns = [frame[name].tolist() for name in names]
    return [
        Pair(a, b, difference, low, high, p, visible, _verdict(a, better))
        for a, b, difference, low, high, visible, better, p in zip(*columns, p, strict=True)
    ]


def _verdict(a: str, better: str) -> str:
    if not better:
        return "not settled"
    return "better" if better == a else "worse"


def method(pairs: Sequence[Pair]) -> str:
    """`METHOD` for so many pairs."""
    return METHOD.format(pairs="the one pair" if len(pairs) == 1 else f"all {len(pairs):,} pairs")


def neighbours(pairs: Sequence[Pair], ordered: Sequence[Entry]) -> list[Pair]:
    """The pairs of each entry and the next."""
    names = [entry.name for entry in ordered]
    following = dict(zip(names, names[1:], strict=False))
    return [pair for pair in pairs if following.get(pair.a) == pair.b]


def share(p: float) -> str:
    """A p as text.

    >>> share(0.03456), share(1e-9), share(float("nan"))
    ('0.035', '<0.001', '–')
    """
    if p != p:
        return "–"
    return "<0.001" if p < 0.001 else f"{p:.3f}"
