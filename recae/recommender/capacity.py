"""Which matrix a closed form inverts, in which float, and whether it fits in memory."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import Any

import numpy as np

from recae.errors import CapacityError, warn
from recae.memory import total_memory

SPARE = 0.85
"""Share of the memory that the matrices may take."""

FEWER = 0.75
"""Users to an item below which users are inverted: users^3 is then less than half of items^3, so
that float64 over users takes no longer than float32 over items."""

MUCH_FEWER = 0.5
"""The same where float32 is asked for: the item-item matrix alone takes less memory, so that users
are inverted only where that takes a fraction of the time."""

HEAVY = 1e5
"""Sum of squares of a column, in ridges, up to which users are inverted. Rounding grows with its
square: up to here it stays below that of the float32 in which weights are kept."""


@dataclass(frozen=True)
class Way:
    """One way to the inverse: through the users or the items, in a float, in so many bytes."""

    over_users: bool
    dtype: np.dtype[Any]
    needed: int

    def __str__(self) -> str:
        if self.over_users:
            return f"a user-user matrix in {self.dtype} beside an item-item matrix in float32"
        return f"one item-item matrix in {self.dtype}"


def choose(name: str, n_users: int, n_items: int, heaviest: float, precision: str) -> Way:
    """The first way that fits in memory; users before items where they are clearly fewer.

    heaviest: the largest sum of squares of a column of X as a multiple of its ridge. precision:
    "float64", "float32" (of an item-item matrix; a user-user matrix is always in float64), or
    "auto": float64 if that fits, else float32, and a warning. Raises CapacityError.
    """
    doubled = [Way(False, np.dtype(np.float64), 8 * n_items**2)]
    fewer = MUCH_FEWER if precision == "float32" else FEWER
    if n_users < fewer * n_items and heaviest <= HEAVY:
        doubled.insert(0, Way(True, np.dtype(np.float64), 8 * n_users**2 + 4 * n_items**2))
    single = Way(False, np.dtype(np.float32), 4 * n_items**2)
    ways = {
        "auto": [*doubled, single],
        "float64": doubled,
        "float32": [*doubled[:-1], single],
    }[precision]
    available = SPARE * total_memory()
    least = min(ways, key=lambda way: way.needed)
    if least.needed > available:
        raise CapacityError(
            f"{name} on {n_items:,} items needs {least.needed / 1e9:.1f} GB for {least}, and "
            f"{available / 1e9:.1f} GB may be used: keep fewer items with "
            "data.filter(min_per_item=...), or use MultVAE or ALS"
        )
    chosen = next(way for way in ways if way.needed <= available)
    if precision == "auto" and chosen is single:
        needed = min(way.needed for way in doubled)
        warn(
            f"{name} on {n_items:,} items inverts their item-item matrix in float32: float64 would "
            f"need {needed / 1e9:.1f} GB"
        )
    return chosen


def largest_catalogue(total: int) -> int:
    """The most items whose item-item matrix in float32 fits into so many bytes of memory.

    >>> largest_catalogue(24 * 2**30)  # 4 items^2 <= 0.85 x 24 GiB
    74000
    """
    return isqrt(int(SPARE * total) // 4)
