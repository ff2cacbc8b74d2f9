"""What lists show, whether it hits or not: novelty, popularity, coverage and concentration.

With c(i) the training users of item i and C the sum of c over the items:

    novelty             mean of -log2(c(i) / C) over the items of a list, in bits: the
                        self-information of Zhou et al. 2010 (PNAS 107) with the popularity share
                        of Castells, Hurley & Vargas 2015 (Recommender Systems Handbook)
    popularity          mean of c(i) over the items of a list, in training users
    popularity_lift     (p - q) / q with p the popularity of the list and q the mean of c(i) over
                        the items of the user's history: 1 for a list twice as popular as what the
                        user had. It is that of Abdollahpouri et al. 2020 (RecSys, "The connection
                        between popularity bias, calibration, and fairness in recommendation") with
                        every user as a group of one; theirs takes the means of p and q over a group
                        of users first.
    coverage            share of the catalogue in anybody's list
    gini                Gini coefficient of how often each item of the catalogue is listed: 0 if all
                        are equally often, (n - 1) / n if one of n takes every place

The first three have a value per user, users without a target included; the others are one number
for the whole catalogue, the items of the targets. A short list counts the items that it has. An
empty list is NaN. An item without training users has no finite self-information: novelty leaves it
out, and is NaN for a list of such items; popularity counts it as 0. popularity_lift is NaN for a
history that is empty or only of such items. gini is NaN if nothing is listed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from recae.metrics.about import ItemFacts

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.integer[Any]]


def novelty(items: IntArray, history: Any, facts: ItemFacts) -> FloatArray:
    """From lists (rows, k): (rows,)."""
    counts: FloatArray = facts.counts
    some = counts[items] > 0
    bits = np.log2((counts.sum() or 1) / np.where(some, counts[items], 1))
    return mean_of(bits, (items >= 0) & some)


def popularity(items: IntArray, history: Any, facts: ItemFacts) -> FloatArray:
    """From lists (rows, k): (rows,)."""
    return mean_of(facts.counts[items], items >= 0)


def popularity_lift(items: IntArray, history: Any, facts: ItemFacts) -> FloatArray:
    """From lists (rows, k) and csr histories (rows, n_items) of ones: (rows,)."""
    total, number = history @ facts.counts, np.diff(history.indptr)
    lift = np.full(len(number), np.nan)
    some = total > 0
    before = total[some] / number[some]
    lift[some] = (popularity(items, history, facts)[some] - before) / before
    return lift


def mean_of(values: FloatArray, counted: npt.NDArray[np.bool_]) -> FloatArray:
    """The mean of some places of each list, NaN where there is none: (rows, k) to (rows,)."""
    number = np.sum(counted, axis=1)
    total = np.sum(np.where(counted, values, 0), axis=1)
    means = np.full(len(number), np.nan)
    means[number > 0] = total[number > 0] / number[number > 0]
    return means


def coverage(exposed: IntArray) -> float:
    """From how often each item is listed, (n_items,)."""
    return float((exposed > 0).mean())


def gini(exposed: IntArray) -> float:
    """From how often each item is listed, (n_items,)."""
    total, n = exposed.sum(), len(exposed)
    if not total:
        return float("nan")
    weight = 2.0 * np.arange(1, n + 1) - n - 1
    return float((weight * np.sort(exposed)).sum() / (n * total))


CATALOGUE: dict[str, Callable[[IntArray], float]] = {"coverage": coverage, "gini": gini}
