"""What a test set could show at all: the minimal detectable difference."""

from __future__ import annotations

import math

from recae.errors import ConfigError
from recae.evaluation.comparison.pairing import Reports, paired_values
from recae.evaluation.comparison.significance import Spread
from recae.metrics import check_share

POWER = 0.8


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

    report, other: a Report each, or the Reports of one model under several seeds; the standard
    error is then that of `recae.compare`, seeds included, and z is Student's t with its degrees of
    freedom. Without `other`: what can be shown against another model of the same spread, not yet
    fitted: sd(differences) = sd * sqrt(2 (1 - correlation)), where correlation is that between the
    values of the two models over the users. The default 0 says that they have nothing to do with
    each other (sqrt 2 times the spread), which is too careful: two models on the same users agree
    on who is easy, with a correlation of often 0.7 to 0.95.

    In the unit of the metric; NaN for a single user. Raises ConfigError for an unknown metric or
    one without a value per user, a bad level, power or correlation, or a correlation beside
    `other`; DataError if the reports have other targets, users or defined values.

    >>> from recae.evaluation.comparison import detectable_difference
    >>> users = pd.Index(range(100))
    >>> half = recae.Report("a", pd.DataFrame({"ndcg@5": [0.0, 1.0] * 50}, index=users))
    >>> round(detectable_difference(half, metric="ndcg@5"), 3)  # 2.8 sqrt(2) 0.5025 / 10
    0.199
    >>> round(detectable_difference(half, metric="ndcg@5", correlation=0.92), 3)
    0.056
    """
    level, power = check_share("level", level), check_share("power", power)
    if other is not None:
        if correlation is not None:
            raise ConfigError("correlation is for one report; of two it is in their values")
        both = paired_values({"report": report, "other": other}, metric)
        differences = both["report"].mean(axis=0) - both["other"].mean(axis=0)
        return detectable(Spread.of(differences, both["report"], both["other"]), level, power)
    shared = 0.0 if correlation is None else _checked(correlation)
    seeds = paired_values({"report": report}, metric)["report"]
    # As many seeds of the other model with as much luck; luck has no correlation.
    differences = seeds.mean(axis=0) * math.sqrt(2 * (1 - shared))
    return detectable(Spread.of(differences, seeds, seeds), level, power)


def detectable(spread: Spread, level: float, power: float) -> float:
    """The difference for a mean of this spread."""
    quantiles = spread.quantile((1 + level) / 2) + spread.quantile(power)
    return quantiles * math.sqrt(spread.variance)


def _checked(correlation: float) -> float:
    try:
        value = float(correlation)
    except (TypeError, ValueError):
        value = math.nan
    if not -1 <= value < 1:
        raise ConfigError(f"correlation must be at least -1 and less than 1, not {correlation!r}")
    return value
