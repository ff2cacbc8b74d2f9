"""Thresholds for a false-alarm rate: from genuine examples, or from the bulk of all scores."""

from __future__ import annotations

import math

import numpy as np

from recae.errors import ConfigError, DataError

SHAPE = 0.8
"""Scores to this power are assumed to fall off exponentially above their median; chosen on
ml-latest-small without attacks."""


def check_rate(rate: object) -> float:
    """The rate as a float. Raises ConfigError unless 0 < rate < 1."""
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < 1:
        raise ConfigError(
            f"false_alarm_rate must be a number between 0 and 1, not {rate!r}",
            parameter="false_alarm_rate",
            value=rate,
        )
    return float(rate)


def needed(rate: float) -> int:
    """The least number of genuine examples with which anything can be flagged at this rate."""
    return math.ceil(1 / rate * (1 - 1e-12)) - 1


def p_values(suspicion: np.ndarray, genuine: np.ndarray) -> np.ndarray:
    """(1 + number of genuine examples at least as suspicious) / (1 + their number); (n,).

    For an example that is exchangeable with the genuine ones P(p <= a) <= a, exactly, for every a
    and any distribution (Vovk, Gammerman & Shafer, "Algorithmic Learning in a Random
    World", 2005; split conformal: Papadopoulos et al. 2002).
    """
    ordered = np.sort(genuine)
    below = np.searchsorted(ordered, suspicion, side="left")
    values: np.ndarray = (1 + len(ordered) - below) / (1 + len(ordered))
    return values


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
    ordered = np.sort(genuine)[::-1]
    if allowed >= n:
        return -math.inf
    return float(ordered[allowed])


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
