"""Which entry of a report is better than which, by paired tests over the users."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from recae.compare import compare
from recae.report.entry import Entry

LEVEL = 0.05
"""A p, adjusted for the number of pairs, below this counts."""


def all_pairs(ordered: Sequence[Entry], metric: str) -> pd.DataFrame | None:
    """The frame of `recae.compare` for every pair of the first seeds, None where there is none.

    All pairs, even where only neighbours are shown: who is whose neighbour was seen in the same
    data, so the adjustment counts every pair that might have been.
    """
    if len(ordered) < 2 or any(metric not in entry.reports[0].per_user for entry in ordered):
        return None
    if any(entry.reports[0].per_user[metric].isna().all() for entry in ordered):
        return None
    return compare({entry.name: entry.reports[0] for entry in ordered}, metric)


def neighbours(pairs: pd.DataFrame, ordered: Sequence[Entry]) -> pd.DataFrame:
    """The rows of each entry and the next."""
    names = [entry.name for entry in ordered]
    following = dict(zip(names, names[1:], strict=False))
    return pairs[pairs["a"].map(following) == pairs["b"]]


def verdict(difference: float, p: float) -> str:
    """Whether a is "better" or "worse" than b, or whether that is "not settled"."""
    if not p < LEVEL or not difference:
        return "not settled"
    return "better" if difference > 0 else "worse"


def share(p: float) -> str:
    """A p as text.

    >>> share(0.03456), share(1e-9)
    ('0.035', '<0.001')
    """
    return "<0.001" if p < 0.001 else f"{p:.3f}"
