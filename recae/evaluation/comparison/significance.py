"""Significance of paired differences: intervals, tests, and the minimal detectable difference."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from zlib import crc32

import numpy as np

from recae.errors import ConfigError, check_number, explained
from recae.evaluation.comparison.pairing import Reports, paired_values
from recae.metrics import FloatArray, percentile_interval, resampled_means
from recae.rng import numpy_generator

Interval = tuple[float, float]

POWER = 0.8
"""Level and power of the test in `detectable_difference`."""


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
        """A quantile of Student's t with these degrees of freedom; normal for infinitely many."""
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

    values: name -> (seeds, users). The users are drawn once for all. A model's seeds are drawn once
    for all of its pairs, by the random stream of its name, so that a row does not depend on the
    others. The mean of a difference is the difference of the means. So the reports are resampled,
    which are fewer than their pairs.
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
    generator = numpy_generator(seed, crc32(str(name).encode()))  # independent of the other models
    drawn = generator.integers(seeds, size=(seeds - 1, resamples))
    chosen = means if seeds == 1 else np.take_along_axis(means, drawn, axis=0)
    average: FloatArray = np.mean(chosen, axis=0)
    return average


def _stretched(interval: Interval, centre: float, spread: Spread, level: float) -> Interval:
    """Widens the interval by t / z, because few seeds give a poor estimate of the variance.

    Unchanged where users alone vary.
    """
    if np.isinf(spread.freedom):
        return interval
    share = (1 + level) / 2
    factor = spread.quantile(share) / NormalDist().inv_cdf(share)
    low, high = interval
    return centre - (centre - low) * factor, centre + (high - centre) * factor


ROUNDING = 2.0**-44
"""Tolerance as a share of the largest value: hundreds of times the rounding of a metric."""


def signed_rank(a: FloatArray, b: FloatArray) -> float:
    """Two-sided p of Wilcoxon (1945) for the non-zero differences a - b; 1 if all are zero.

    a, b: (users,). The test is whether the differences are symmetric about 0, which holds if the
    two models are exchangeable; a mean of 0 alone is not enough. Differences that are equal up to
    rounding are ties, and those that are zero up to rounding are zeros. Otherwise the last bit
    would decide ranks: 0.7 - 0.5 and 0.4 - 0.2 are not the same float.
    """
    # Here, because importing scipy.stats is slow and changes the warning filters.
    from scipy.stats import wilcoxon

    grain = max(np.abs(a).max(), np.abs(b).max()) * ROUNDING
    differences = np.rint((a - b) / grain) if grain else a - b
    moved = differences[differences != 0]
    return float(wilcoxon(moved).pvalue) if len(moved) else 1.0


def mean_test(difference: float, spread: Spread, users: int) -> float:
    """Two-sided p of Student's t for a mean difference of this spread; NaN for a single user.

    The test is whether the mean is 0; the differences need not be symmetric, and the variance over
    several seeds is included. By the central limit theorem they need not be normal if there are
    enough users: see `recae.compare`.
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


@explained
def detectable_difference(
    report: Reports,
    other: Reports | None = None,
    *,
    metric: str,
    level: float = 0.95,
    power: float = POWER,
    correlation: float | None = None,
) -> float:
    """The true difference that a two-sided paired test on these users finds with this power.

        (z[(1 + level) / 2] + z[power]) * sd(differences) / sqrt(users)

    with the quantiles z of the normal distribution (Cohen 1988, chapter 2; Bloom 1995): at the
    usual level 0.95 and power 0.8, 2.8 standard errors. A smaller difference may be real, but this
    test set will mostly not show it: more users, or users with less spread, would. It is about one
    comparison; Holm's correction over many needs more.

    report, other: a Report each, or the Reports of one model under several seeds. The standard
    error is then that of `recae.compare`, seeds included, and z is Student's t with its degrees of
    freedom. Without `other`, for a comparison with an unknown model of the same spread:
    sd(differences) = sd * sqrt(2 (1 - correlation)). correlation is that between the values of the
    two models over the users. The default 0 assumes independent models (sqrt 2 times the spread),
    which is conservative: on the same users the values of two models often have a correlation of
    0.7 to 0.95.

    In the unit of the metric; NaN for a single user. Raises ConfigError for an unknown metric or
    one without a value per user, a bad level, power or correlation, or a correlation beside
    `other`. Raises DataError if the reports have other targets, users or defined values.

    >>> from recae.evaluation.comparison import detectable_difference
    >>> users = pd.Index(range(100))
    >>> half = recae.Report("a", pd.DataFrame({"ndcg@5": [0.0, 1.0] * 50}, index=users))
    >>> round(detectable_difference(half, metric="ndcg@5"), 3)  # 2.8 sqrt(2) 0.5025 / 10
    0.199
    >>> round(detectable_difference(half, metric="ndcg@5", correlation=0.92), 3)
    0.056
    """
    level, power = (
        check_number(name, share, above=0, below=1)
        for name, share in (("level", level), ("power", power))
    )
    if other is not None:
        if correlation is not None:
            raise ConfigError(
                "correlation is for one report only; with two it is computed from their values",
                parameter="correlation",
                value=correlation,
            )
        both = paired_values({"report": report, "other": other}, metric)
        differences = both["report"].mean(axis=0) - both["other"].mean(axis=0)
        return detectable(Spread.of(differences, both["report"], both["other"]), level, power)
    default = 0.0 if correlation is None else correlation
    shared = check_number("correlation", default, low=-1, below=1)
    seeds = paired_values({"report": report}, metric)["report"]
    # As many seeds of the other model with as much luck; luck has no correlation.
    differences = seeds.mean(axis=0) * math.sqrt(2 * (1 - shared))
    return detectable(Spread.of(differences, seeds, seeds), level, power)


def detectable(spread: Spread, level: float, power: float) -> float:
    """The difference for a mean of this spread."""
    quantiles = spread.quantile((1 + level) / 2) + spread.quantile(power)
    return quantiles * math.sqrt(spread.variance)
