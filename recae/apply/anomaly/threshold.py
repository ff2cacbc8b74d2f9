"""Thresholds for a false-alarm rate: from genuine examples, or from the bulk of all scores."""

from __future__ import annotations

import math

import numpy as np

from recae.errors import DataError

SHAPE = 0.8
"""Scores to this power are assumed to fall off exponentially above their median; chosen on
ml-latest-small without attacks."""


def needed(rate: float) -> int:
    """The least number of genuine examples with which anything can be flagged at this rate."""
    return math.ceil(1 / rate * (1 - 1e-12)) - 1


def p_values(suspicion: np.ndarray, genuine: np.ndarray) -> np.ndarray:
    """(1 + number of genuine examples at least as suspicious) / (1 + their number); (n,).

    For an example that is exchangeable with the genuine ones P(p <= a) <= a, exactly, for every a
    and any distribution. (Vovk, Gammerman & Shafer, "Algorithmic Learning in a Random World", 2005;
    split conformal: Papadopoulos et al. 2002).
    """
    below = np.searchsorted(np.sort(genuine), suspicion, side="left")
    return np.asarray((1 + len(genuine) - below) / (1 + len(genuine)))


def conformal_limit(genuine: np.ndarray, rate: float, what: str) -> float:
    """The largest number that no suspicion with a p-value > rate exceeds.

    Raises DataError if there are too few genuine examples for this rate.
    """
    n = len(genuine)
    # p <= rate if at most `allowed` genuine ones are as suspicious. The factor keeps the rounding
    # of rate * (n + 1) from missing an integer.
    allowed = int(math.floor(rate * (n + 1) * (1 + 1e-12))) - 1
    if allowed < 0:
        raise DataError(
            f"a false_alarm_rate of {rate:g} needs at least {needed(rate):,} {what}, not {n:,}: "
            "pass more, or raise the rate"
        )
    return -math.inf if allowed >= n else float(np.sort(genuine)[::-1][allowed])


def bulk_limit(scores: np.ndarray, rate: float) -> float:
    """The score that about a share `rate` of the genuine users exceeds; scores >= 0, of all users.

    Estimated from the median and the upper quartile, which few fakes hardly change: scores to the
    power of 0.8 are assumed to fall off exponentially from there, so that the share above

        median + (quartile - median) log2(0.5 / rate)

    is `rate`. If more than a quarter of the profiles are fake, the limit is too high.
    """
    middle, upper = np.quantile(scores**SHAPE, [0.5, 0.75])
    if rate >= 0.5:
        return float(np.quantile(scores, 1 - rate))
    limit = middle + max(upper - middle, 1e-12) * math.log2(0.5 / rate)
    return float(limit ** (1 / SHAPE))
