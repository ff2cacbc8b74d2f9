"""A comparison in words."""

from __future__ import annotations

import math

import pandas as pd

from recae.errors import ConfigError
from recae.metrics import less_is_better

NEEDED = ["metric", "a", "b", "difference", "low", "high"]
NEEDED += ["p_holm", "p_mean_holm", "detectable", "better"]


def verdicts(frame: pd.DataFrame) -> list[str]:
    """A sentence for every row of a frame of `recae.compare`, in its order.

    Frames of several metrics may be concatenated. One is "better" if both tests and the interval
    agree on it; p is the larger of p_holm and p_mean_holm. "No difference shown" says that the test
    is not sure, never that there is none; what such a test by itself, not adjusted for the others,
    could have shown (four times in five) is the column `detectable`. Raises ConfigError for a frame
    without the columns of `recae.compare`.

    >>> users = pd.Index(range(40))
    >>> a = recae.Report("a", pd.DataFrame({"ndcg@5": [0.5, 0.7] * 20}, index=users))
    >>> b = recae.Report("b", pd.DataFrame({"ndcg@5": [0.4, 0.5] * 20}, index=users))
    >>> c = recae.Report("c", pd.DataFrame({"ndcg@5": [0.2, 0.7] * 20}, index=users))
    >>> frame = recae.compare({"a": a, "b": b, "c": c}, "ndcg@5", baseline="b")
    >>> for line in recae.evaluation.comparison.verdicts(frame):  # doctest: +NORMALIZE_WHITESPACE
    ...     print(line)
    a is better than b by 0.1500 [0.1350, 0.1650] in ndcg@5 (p < 0.0001 after Holm)
    c and b: no difference shown in ndcg@5, -0.0000 [-0.0600, 0.0600] (p = 1.00 after Holm);
    such a test alone could have shown 0.0897
    """
    missing = [name for name in NEEDED if name not in frame]
    if missing:
        raise ConfigError(f"this is no frame of recae.compare: it has no column {missing[0]!r}")
    return [_sentence(row) for _, row in frame.iterrows()]


def _sentence(row: pd.Series) -> str:
    a, b, metric, better = (str(row[name]) for name in ("a", "b", "metric", "better"))
    difference, low, high, visible = (
        float(row[name]) for name in ("difference", "low", "high", "detectable")
    )
    if better == b != a:  # said from the side of the better one
        a, b, difference, low, high = b, a, -difference, -high, -low
    less = bool(better) and less_is_better(metric)
    if less:
        difference, low, high = -difference, -high, -low
    digits = _digits(difference if better else visible)
    amount = f"{difference:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
    larger = float(row[["p_holm", "p_mean_holm"]].astype(float).max(skipna=False))
    p = f"({_probability(larger)} after Holm)"
    if better:
        how = ", where less is better," if less else ""
        return f"{a} is better than {b} by {amount} in {metric}{how} {p}"
    limit = (
        "" if math.isnan(visible) else f"; such a test alone could have shown {visible:.{digits}f}"
    )
    return f"{a} and {b}: no difference shown in {metric}, {amount} {p}{limit}"


def _digits(value: float) -> int:
    """Decimals that show two figures of it, four at least."""
    if math.isnan(value) or value == 0:
        return 4
    return max(4, 1 - math.floor(math.log10(abs(value))))


def _probability(p: float) -> str:
    if math.isnan(p):
        return "p unknown"
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.1g}" if p < 0.01 else f"p = {p:.2f}"
