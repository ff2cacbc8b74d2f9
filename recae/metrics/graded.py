"""Graded metrics: the gain of a hit grows with the weight of its target.

The formulas are in `recae.metrics.metric`. Linear gains are those of Järvelin & Kekäläinen 2002
(ACM TOIS 20, "Cumulated gain-based evaluation of IR techniques") and of trec_eval's ndcg,
exponential ones those of Burges et al. 2005 (ICML, "Learning to rank using gradient descent").
"""

from __future__ import annotations

from typing import Any

import numpy as np

from recae.errors import DataError
from recae.metrics.beyond_accuracy import FloatArray
from recae.metrics.hits import Matched, discounts, row_sum

MOST = 1000.0
"""The largest weight of an exponential gain: 2^1024 is no finite float64."""

GRADED = {
    "dcg": ("linear", False),
    "graded_ndcg": ("linear", True),
    "exponential_dcg": ("exponential", False),
    "exponential_ndcg": ("exponential", True),
}
"""The metrics of weighted targets: the gain, and whether it is divided by that of the best list."""


def graded(name: str, matched: Matched, k: int) -> FloatArray:
    """A metric of `GRADED` from lists of k or more: (rows,), NaN where a row has no target.

    Raises DataError for weights that have no finite gain.
    """
    gain, normalised = GRADED[name]
    target, places = matched.target, matched.places[:, :k]
    gains = _gains(name, target.data.astype(np.float64), gain == "exponential")
    values = np.full(len(places), np.nan)
    some = matched.relevant > 0
    if not some.any():
        return values
    places = places[some]
    found = row_sum(np.where(places >= 0, gains[places], 0.0) * discounts(k))
    values[some] = found / _ideal(gains, target, k)[some] if normalised else found
    return values


def _gains(name: str, weights: FloatArray, exponential: bool) -> FloatArray:
    """The gains of weights, linear or 2^w - 1, (nnz,). Raises DataError for weights below 0 and for
    those whose power is not finite."""
    bad = ~np.isfinite(weights) | (weights < 0) | (weights > (MOST if exponential else np.inf))
    if bad.any():
        wanted = f"from 0 to {MOST:g}" if exponential else "finite and >= 0"
        remedy = ": take linear gains, or smaller weights such as logarithms" if exponential else ""
        raise DataError(
            f"{name} needs targets with weights {wanted}; found {weights[bad][0]:g} "
            f"({int(bad.sum()):,} such targets){remedy}",
            parameter="metrics",
            value=name,
        )
    return np.expm1(weights * np.log(2)) if exponential else weights


def _ideal(gains: FloatArray, target: Any, k: int) -> FloatArray:
    """The DCG of the best list of k, (rows,)."""
    rows = np.repeat(np.arange(target.shape[0]), np.diff(target.indptr))
    order = np.lexsort((-gains, rows))
    rank = np.arange(len(rows)) - target.indptr[rows]
    counted = rank < k
    worth = gains[order][counted] * discounts(k)[rank[counted]]
    # bincount adds up in order, so that a row's value does not depend on its batch.
    ideal = np.bincount(rows[counted], weights=worth, minlength=target.shape[0])
    return ideal.astype(np.float64)
