"""How much two ranked lists agree, for many users at once: overlap and rank-biased overlap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]

PERSISTENCE = 0.9
"""p of RBO: the first ten places then have 86 % of the weight (Webber et al. 2010, eq. 21)."""


@dataclass(frozen=True)
class Lists:
    """Ranked lists of users, one after the other.

    users: (n,) ids; starts: (n + 1,) where each list starts in `items`, and the end of the last;
    items: (rows,) int32 codes in the order of their ranks. A list has at least one item.
    """

    users: np.ndarray
    starts: npt.NDArray[np.int64]
    items: Codes

    def __len__(self) -> int:
        return len(self.users)

    def part(self, first: int, last: int) -> Lists:
        """Some neighbouring users."""
        starts = self.starts[first : last + 1]
        items = self.items[starts[0] : starts[-1]]
        return Lists(self.users[first:last], starts - starts[0], items)

    def square(self, rows: npt.NDArray[np.int64], k: int) -> Codes:
        """The first k items of the lists of some users, (rows, k), -1 in empty places."""
        lengths = np.minimum(np.diff(self.starts)[rows], k)
        width = int(lengths.max(initial=0))
        places = np.arange(width)
        filled = places < lengths[:, None]
        out = np.full((len(rows), width), -1, dtype=np.int32)
        out[filled] = self.items[(self.starts[rows][:, None] + places)[filled]]
        return out


def agreement(before: Codes, after: Codes) -> tuple[Floats, Floats]:
    """Overlap and RBO of pairs of lists, (rows, k) codes each, -1 after their end.

    The overlap is the number of common items as a share of the longer list. RBO is the extrapolated
    rank-biased overlap of lists of unequal length (Webber, Moffat and Zobel, "A similarity measure
    for indefinite rankings", TOIS 2010, eq. 32) with p = 0.9: 1 for equal lists, 0 for lists
    without a common item.
    """
    rows = len(before)
    width = max(before.shape[1], after.shape[1], 1)
    lengths = np.stack([(codes >= 0).sum(axis=1) for codes in (before, after)])
    short, long = lengths.min(axis=0), lengths.max(axis=0)
    row, depth = _common(before, after)
    found = np.bincount(row * width + depth, minlength=rows * width).reshape(rows, width)
    common = found.cumsum(axis=1).astype(np.float64)  # X_d for d = 1 .. width
    at = np.arange(width)
    d, last = at + 1.0, np.arange(rows)
    p = PERSISTENCE
    weights = p**d
    sums = (common / d * weights * (at < long[:, None])).sum(axis=1)
    in_short, in_long = common[last, short - 1], common[last, long - 1]
    beyond = (at >= short[:, None]) & (at < long[:, None])
    sums += ((d - short[:, None]) / d * weights * beyond).sum(axis=1) * in_short / short
    tail = ((in_long - in_short) / long + in_short / short) * p**long
    return in_long / long, np.clip((1 - p) / p * sums + tail, 0, 1)


def _common(before: Codes, after: Codes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Row and depth (the larger of the two places, from 0) of each item that both lists have."""
    keys, places = [], []
    for codes in (before, after):
        row, place = np.nonzero(codes >= 0)
        keys.append((row << 32) | codes[row, place])
        places.append(place)
    order = np.argsort(keys[1], kind="stable")
    ordered = keys[1][order]
    at = np.searchsorted(ordered, keys[0])
    at[at == len(ordered)] = 0
    both = ordered[at] == keys[0] if len(ordered) else np.zeros(len(keys[0]), dtype=bool)
    depth = np.maximum(places[0][both], places[1][order[at[both]]])
    return keys[0][both] >> 32, depth
