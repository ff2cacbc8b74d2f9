"""How sure a paired difference is: users, and the seeds of each model, as sources of variance."""

from __future__ import annotations

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

    values: name -> (seeds, users). The users are drawn once for all pairs; a model's seeds are
    drawn once for all of its pairs, by a stream of its name's own, so that a row does not depend on
    the others.
    """
    averages = {name: seeds.mean(axis=0) for name, seeds in values.items()}
    differences = [averages[a] - averages[b] for a, b in pairs]
    if len(differences[0]) < 2:
        return [(float("nan"), float("nan"))] * len(pairs)
    several = {name: seeds for name, seeds in values.items() if len(seeds) > 1}
    # What each seed has beyond its model's average: the same for all pairs of the model.
    beyond = [row for name, seeds in several.items() for row in seeds - averages[name]]
    means = resampled_means([*differences, *beyond], resamples, seed)
    luck = _luck(several, means[len(pairs) :], resamples, seed)
    found = []
    for (a, b), difference, resampled in zip(pairs, differences, means, strict=False):
        both = resampled + luck.get(a, 0.0) - luck.get(b, 0.0)
        interval = percentile_interval(both, level)
        spread = Spread.of(difference, values[a], values[b])
        found.append(_stretched(interval, float(difference.mean()), spread, level))
    return found


def _luck(
    several: Mapping[str, FloatArray], beyond: FloatArray, resamples: int, seed: int
) -> dict[str, FloatArray]:
    """Name -> (resamples,): the resampled seeds' mean, less that of all seeds, in each resample.

    Of S seeds S - 1 are drawn, with replacement: the variance of their mean is then s^2 / S, the
    unbiased estimate (Rao & Wu 1988); drawing S would give (S - 1) / S of it.
    """
    found, start = {}, 0
    for name, seeds in several.items():
        theirs = beyond[start : start + len(seeds)]
        start += len(seeds)
        generator = numpy_generator(seed, crc32(str(name).encode()))  # whatever stands beside it
        drawn = generator.integers(len(seeds), size=(len(seeds) - 1, resamples))
        found[name] = np.take_along_axis(theirs, drawn, axis=0).mean(axis=0)
    return found


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
