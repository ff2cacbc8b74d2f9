"""Checks the tests and intervals on random comparisons against scipy, statsmodels and counting.

    python -m evaluation statistics_oracle

Every case is a pair of reports whose values are of one of three kinds: normal, of few levels
(ties and zeros), or mostly 0. The script prints the largest absolute differences:

    signed rank     p of scipy.stats.wilcoxon, zeros left out, no continuity correction: exact for
                    up to 50 untied differences, else normal
    all signs       p counted over all 2^n signs, for up to 12 differences
    normal ranks    p of the normal approximation with the correction for ties, in plain Python, for
                    more than 50 users
    t test          p of scipy.stats.ttest_rel
    Holm            statsmodels' multipletests if it is installed, else the definition as a loop
    detectable      statsmodels' solve_power of a z test if it is installed (relative)
    interval        scipy.stats.bootstrap, percentile, which draws other users: both ends in
                    standard errors of two Monte Carlo quantiles, whose root mean square is near 1
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from itertools import product
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

import recae
from evaluation.kit.provenance import keep
from recae.evaluation.comparison.significance import holm
from recae.rng import numpy_generator

METRIC, RESAMPLES = "ndcg@10", 4000
TOLERANCE = {"detectable": 1e-5}  # the formula omits the other tail
KINDS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "normal": lambda g, users: g.normal(size=users),
    "levels": lambda g, users: g.integers(0, 9, size=users) / 8,
    "zeros": lambda g, users: (g.random(users) < 0.2) * g.random(users),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Prints and stores the largest differences. Returns 1 if one is more than rounding."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    differences: dict[str, list[float]] = {}
    ends: list[float] = []
    for number in range(options.cases):
        generator = numpy_generator(options.seed, number)
        for name, value in check(number, generator).items():
            differences.setdefault(name, []).append(value)
        if number % 5 == 0:
            ends += interval_errors(generator, number)
    counted = {
        name: {"cases": len(values), "largest": max(values)} for name, values in differences.items()
    }
    for name, found in counted.items():
        print(f"{name:<14}{found['cases']:>6} cases, largest difference {found['largest']:.1e}")
    spread, bias = float(np.sqrt(np.mean(np.square(ends)))), float(np.mean(ends))
    print(f"{'interval':<14}{len(ends):>6} ends, root mean square {spread:.2f}, mean {bias:.2f}")
    result: dict[str, Any] = {"seed": options.seed, "differences": counted}
    interval = {"ends": len(ends), "root_mean_square": spread, "mean": bias}
    keep("statistics-oracle", result | {"interval": interval})
    within = all(f["largest"] <= TOLERANCE.get(name, 1e-12) for name, f in counted.items())
    return 0 if within and 0.7 < spread < 1.3 else 1


def check(number: int, generator: np.random.Generator) -> dict[str, float]:
    """The differences of one case under every applicable comparison."""
    users = int(generator.choice([5, 12, 40, 60, 400]))
    kind = list(KINDS)[number % len(KINDS)]
    a, b = KINDS[kind](generator, users), KINDS[kind](generator, users)
    row = compared(a, b)
    found = {}
    if (a != b).any():  # without differences scipy returns NaN
        found["t test"] = abs(row["p_mean_holm"] - stats.ttest_rel(a, b).pvalue)
    moved = (a - b)[a != b]
    tied = len(np.unique(abs(moved))) < len(moved)
    if len(moved) > 13 or (len(moved) and not tied):
        method = "exact" if len(moved) <= 50 and not tied else "asymptotic"
        theirs = stats.wilcoxon(a, b, zero_method="wilcox", correction=False, method=method)
        found["signed rank"] = abs(row["p"] - theirs.pvalue)
    if 0 < len(moved) <= 12:
        found["all signs"] = abs(row["p"] - over_all_signs(moved))
    if len(moved) > 50:
        found["normal ranks"] = abs(row["p"] - normal_ranks(moved))
    p = generator.random(int(generator.integers(1, 15))).round(2)  # with ties
    found["Holm"] = float(np.abs(holm(p) - holm_of_others(p)).max())
    power = detectable_of_others((a - b).std(ddof=1), users)
    if power:
        found["detectable"] = abs(row["detectable"] / power - 1)
    # NaN on one side only is an error that a maximum would hide.
    return {name: math.inf if np.isnan(value) else float(value) for name, value in found.items()}


def compared(a: np.ndarray, b: np.ndarray, **options: int) -> pd.Series:
    """The row of `recae.compare`."""
    reports = {
        name: recae.Report(name, pd.DataFrame({METRIC: values}))
        for name, values in {"a": a, "b": b}.items()
    }
    return recae.compare(reports, METRIC, **{"resamples": 1} | options).iloc[0]


def over_all_signs(differences: np.ndarray) -> float:
    """The share of the 2^n sign patterns whose rank sum is at least as far from its mean as the
    observed one."""
    ranks = stats.rankdata(abs(differences))
    signs = np.array(list(product([0, 1], repeat=len(ranks))))
    middle = ranks.sum() / 2
    observed = abs(ranks[differences > 0].sum() - middle)
    return float((abs(signs @ ranks - middle) >= observed).mean())


def normal_ranks(differences: np.ndarray) -> float:
    """Lehmann 1975: mean n(n+1)/4, variance n(n+1)(2n+1)/24 less sum of (t^3 - t)/48 over ties."""
    size = len(differences)
    absolute, counts = np.unique(abs(differences), return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2)[np.searchsorted(absolute, abs(differences))]
    variance = size * (size + 1) * (2 * size + 1) / 24 - float((counts**3 - counts).sum()) / 48
    distance = ranks[differences > 0].sum() - size * (size + 1) / 4
    return math.erfc(abs(distance) / math.sqrt(variance) / math.sqrt(2))


def holm_of_others(p: np.ndarray) -> np.ndarray:
    """The adjusted p, computed without recae."""
    try:
        from statsmodels.stats.multitest import multipletests
    except ImportError:
        ascending = sorted(p)
        steps = [min((len(p) - rank) * value, 1.0) for rank, value in enumerate(ascending)]
        last = {value: rank for rank, value in enumerate(ascending)}
        return np.array([max(steps[: last[value] + 1]) for value in p])
    return np.asarray(multipletests(p, method="holm")[1])


def detectable_of_others(spread: float, users: int) -> float | None:
    """The effect size that a one-sample z test finds with power 0.8; None without statsmodels."""
    try:
        from statsmodels.stats.power import NormalIndPower
    except ImportError:
        return None
    solver = NormalIndPower()
    effect = solver.solve_power(nobs1=users, alpha=0.05, power=0.8, ratio=0)
    return float(effect) * spread


def interval_errors(generator: np.random.Generator, number: int) -> list[float]:
    """Both ends of an interval minus scipy's, in standard errors."""
    a, b = generator.normal(size=(2, 200))
    row = compared(a, b, resamples=RESAMPLES, seed=number)
    other = stats.bootstrap(
        (a - b,), np.mean, n_resamples=RESAMPLES, method="percentile", rng=generator
    ).confidence_interval
    # A quantile of R draws has the standard error sqrt(q (1 - q) / R) / density; both have it.
    normal = NormalDist(sigma=float((a - b).std()) / math.sqrt(len(a)))
    density = normal.pdf(normal.inv_cdf(0.975))
    error = math.sqrt(2 * 0.025 * 0.975 / RESAMPLES) / density
    return [(row["low"] - other.low) / error, (row["high"] - other.high) / error]


if __name__ == "__main__":
    raise SystemExit(main())
