"""How sure a paired difference is: users, and the seeds of each model, as sources of variance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from zlib import crc32

import numpy as np
import numpy.typing as npt

from recae.metrics import percentile_interval, resampled_means
from recae.rng import numpy_generator

FloatArray = npt.NDArray[np.float64]
Interval = tuple[float, float]


@dataclass(frozen=True)
class Spread:
    """The variance of a mean, and the degrees of freedom of its estimate.

    freedom is infinite where users alone vary, by the normal approximation.
    """

    variance: float
    freedom: float

    @classmethod
    def of(cls, users: FloatArray, *models: FloatArray) -> Spread:
        """users: (users,) values whose mean it is; models: (seeds, users) each, luck included.

        s^2 / n for the users and s^2 / S for the means of the S seeds of every model with several;
        the degrees of freedom are those of Satterthwaite (1946). NaN for a single user.
        """
        if len(users) < 2:
            return cls(float("nan"), float("inf"))
        parts = [(float(users.var(ddof=1)) / len(users), len(users) - 1)]
        for seeds in (seeds for seeds in models if len(seeds) > 1):
            parts.append((float(seeds.mean(axis=1).var(ddof=1)) / len(seeds), len(seeds) - 1))
        total = sum(part for part, _ in parts)
        if len(parts) == 1 or total == 0:
            return cls(total, float("inf"))
        return cls(total, total**2 / sum(part**2 / freedom for part, freedom in parts))

    def quantile(self, share: float) -> float:
        """Of Student's t with these degrees of freedom, or of the normal distribution."""
        if np.isinf(self.freedom):
            return NormalDist().inv_cdf(share)
        from scipy.special import stdtrit  # here, to keep the import light

        return float(stdtrit(self.freedom, share))


def intervals(
    values: Mapping[str, FloatArray],
    pairs: Sequence[tuple[str, str]],
    *,
    level: float,
    resamples: int,
    seed: int,
) -> list[Interval]:
    """The interval of the mean difference a - b of every pair; see `recae.compare`.

    values: name -> (seeds, users). The users are drawn once for all; a model's seeds are drawn once
    for all of its pairs, by a stream of its name's own, so that a row does not depend on the
    others. The mean of a difference is the difference of the means: what is resampled are the
    reports, which are fewer than their pairs.
    """
    if next(iter(values.values())).shape[1] < 2:
        return [(float("nan"), float("nan"))] * len(pairs)
    reports = [row for seeds in values.values() for row in seeds]
    means, start = resampled_means(reports, resamples, seed), 0
    drawn = {}
    for name, seeds in values.items():
        drawn[name] = _draw_seeds(means[start : start + len(seeds)], name, seed)
        start += len(seeds)
    found = []
    for a, b in pairs:
        interval = percentile_interval(drawn[a] - drawn[b], level)
        difference = values[a].mean(axis=0) - values[b].mean(axis=0)
        spread = Spread.of(difference, values[a], values[b])
        found.append(_stretched(interval, float(difference.mean()), spread, level))
    return found


def _draw_seeds(means: FloatArray, name: str, seed: int) -> FloatArray:
    """From the means of each seed, (seeds, resamples), the mean of those drawn: (resamples,).

    Of S seeds S - 1 are drawn, with replacement: the variance of their mean is then s^2 / S, the
    unbiased estimate (Rao & Wu 1988); drawing S would give (S - 1) / S of it.
    """
    seeds, resamples = means.shape
    generator = numpy_generator(seed, crc32(str(name).encode()))  # whatever stands beside it
    drawn = generator.integers(seeds, size=(seeds - 1, resamples))
    chosen = means if seeds == 1 else np.take_along_axis(means, drawn, axis=0)
    average: FloatArray = np.mean(chosen, axis=0)
    return average


def _stretched(interval: Interval, centre: float, spread: Spread, level: float) -> Interval:
    """Wider about the difference, as t is wider than the normal: few seeds say little of a spread.

    Unchanged where users alone vary.
    """
    if np.isinf(spread.freedom):
        return interval
    share = (1 + level) / 2
    factor = spread.quantile(share) / NormalDist().inv_cdf(share)
    low, high = interval
    return centre - (centre - low) * factor, centre + (high - centre) * factor


ROUNDING = 2.0**-44
"""Of the largest value: hundreds of times the rounding of a metric, far below what matters."""


def signed_rank(a: FloatArray, b: FloatArray) -> float:
    """Two-sided p of Wilcoxon (1945) for a - b without the zeros; 1 if nothing is left.

    a, b: (users,). It asks whether the differences are symmetric about 0, which they are if the two
    models are exchangeable; a mean of 0 alone is not enough. Differences that rounding alone tells
    apart are ties, and those it makes are none: 0.7 - 0.5 and 0.4 - 0.2 are not the same float, and
    their ranks would follow the last bit, the same way for many users.
    """
    # Here, because importing scipy.stats is slow and changes the warning filters.
    from scipy.stats import wilcoxon

    grain = max(np.abs(a).max(), np.abs(b).max()) * ROUNDING
    differences = np.rint((a - b) / grain) if grain else a - b
    moved = differences[differences != 0]
    return float(wilcoxon(moved).pvalue) if len(moved) else 1.0


def mean_test(difference: float, spread: Spread, users: int) -> float:
    """Two-sided p of Student's t for a mean difference of this spread; NaN for a single user.

    It asks whether the mean is 0, symmetric or not, and of several seeds it knows the luck. By the
    central limit theorem it needs no normal differences, but some users: see `recae.compare`.
    """
    from scipy.special import stdtr  # here, to keep the import light

    if spread.variance == 0:
        return float(difference == 0)
    freedom = users - 1 if math.isinf(spread.freedom) else spread.freedom
    return 2 * float(stdtr(freedom, -abs(difference) / math.sqrt(spread.variance)))


def holm(p: FloatArray) -> FloatArray:
    """(tests,) p of Holm (1979): the ascending p times m, m - 1, ..., 1, monotone, at most 1."""
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted
