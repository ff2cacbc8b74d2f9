"""What lists show, whether it hits or not: novelty, popularity, coverage and concentration.

With c(i) the training users of item i and C the sum of c over the items:

    novelty             mean of -log2(c(i) / C) over the items of a list, in bits: the
                        self-information of Zhou et al. 2010 (PNAS 107) with the popularity share
                        of Castells, Hurley & Vargas 2015 (Recommender Systems Handbook)
    popularity          mean of c(i) over the items of a list, in training users
    coverage            share of the catalogue in anybody's list
    gini                Gini coefficient of how often each item of the catalogue is listed: 0 if all
                        are equally often, (n - 1) / n if one of n takes every place

The first two have a value per user, users without a target included; the others are one number for
the whole catalogue, the items of the targets. A short list counts the items that it has. An empty
list is NaN. An item without training users has no finite self-information: novelty leaves it out,
and is NaN for a list of such items; popularity counts it as 0. gini is NaN if nothing is listed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.integer[Any]]


def _novelty(items: IntArray, counts: FloatArray) -> FloatArray:
    some = counts > 0
    bits = np.zeros(len(counts))
    bits[some] = np.log2(counts.sum() / counts[some])
    return _mean(bits[items], (items >= 0) & some[items])


def _popularity(items: IntArray, counts: FloatArray) -> FloatArray:
    return _mean(counts[items], items >= 0)


def _mean(values: FloatArray, counted: npt.NDArray[np.bool_]) -> FloatArray:
    number = np.sum(counted, axis=1)
    total = np.sum(np.where(counted, values, 0), axis=1)
    means = np.full(len(number), np.nan)
    means[number > 0] = total[number > 0] / number[number > 0]
    return means


def _coverage(exposed: IntArray) -> float:
    return float((exposed > 0).mean())


def _gini(exposed: IntArray) -> float:
    total, n = exposed.sum(), len(exposed)
    if not total:
        return float("nan")
    weight = 2.0 * np.arange(1, n + 1) - n - 1
    return float((weight * np.sort(exposed)).sum() / (n * total))


PER_LIST: dict[str, Callable[[IntArray, FloatArray], FloatArray]] = {
    "novelty": _novelty,
    "popularity": _popularity,
}
CATALOGUE: dict[str, Callable[[IntArray], float]] = {"coverage": _coverage, "gini": _gini}
