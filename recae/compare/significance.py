"""Two tests of paired differences, and the correction for many tests."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from recae.compare.two_level import Spread

FloatArray = npt.NDArray[np.float64]

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
