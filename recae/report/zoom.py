"""Which part of an axis the models worth comparing lie in."""

from __future__ import annotations

import math
from collections.abc import Sequence

SHARE, TIMES, LEAST = 0.75, 3.0, 4
"""Of `main_group`: its yardstick in the ranking, its reach, and the values it takes to judge."""


def main_group(values: Sequence[float], *, less: bool = False) -> tuple[float, float]:
    """The bounds that all values lie in but those that are far off.

    A value is far off if it is more than three times as far from the best as the one that three
    quarters of the ranking are not worse than. The bounds are that far from the best on both sides;
    they are infinite for fewer than four values, and if three quarters are all the same.
    less: whether the least is best. What is not finite is passed over.

    >>> low, high = main_group([0.34, 0.33, 0.33, 0.31, 0.01])
    >>> round(low, 2), round(high, 2)
    (0.25, 0.43)
    """
    ranked = sorted((v for v in values if math.isfinite(v)), reverse=not less)
    if len(ranked) < LEAST:
        return -math.inf, math.inf
    best = ranked[0]
    reach = TIMES * abs(ranked[math.floor(SHARE * (len(ranked) - 1))] - best)
    return (best - reach, best + reach) if reach else (-math.inf, math.inf)
