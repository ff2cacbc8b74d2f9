"""Rank-biased overlap of two lists: how alike they are, the top counting most."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from recae.metrics.beyond_accuracy import FloatArray

Items = npt.NDArray[np.integer[Any]]


def list_overlap(first: Items, second: Items, p: float) -> FloatArray:
    """RBO of pairs of lists, (rows, k) items each, -1 at the end of a shorter list: (rows,).

    The extrapolated RBO of Webber, Moffat & Zobel 2010 (ACM TOIS 28, "A similarity measure for
    indefinite rankings", equation 32): with X_d the number of items that both lists have in their
    first d, and s and l the shorter and the longer length,

        (1 - p) / p (sum over d = 1..l of X_d / d p^d
                     + sum over d = s+1..l of X_s (d - s) / (s d) p^d)
        + ((X_l - X_s) / l + X_s / s) p^l

    Items must not repeat within a list. NaN where a list is empty. p in (0, 1).
    """
    depth = max(first.shape[1], second.shape[1])
    lengths = np.stack([(first >= 0).sum(axis=1), (second >= 0).sum(axis=1)])
    short, long = lengths.min(axis=0), lengths.max(axis=0)
    rows = len(first)
    overlap = np.zeros((rows, depth))
    width = int(max(first.max(initial=-1), second.max(initial=-1))) + 1
    keys, ranks = [], []
    for items in (first, second):
        row, rank = np.nonzero(items >= 0)
        key = row * np.int64(width) + items[row, rank]
        order = np.argsort(key, kind="stable")
        keys.append(key[order])
        ranks.append(rank[order])
    shared, here, there = np.intersect1d(keys[0], keys[1], assume_unique=True, return_indices=True)
    deepest = np.maximum(ranks[0][here], ranks[1][there])
    if len(shared):
        cell = (shared // width) * depth + deepest
        overlap = np.bincount(cell, minlength=rows * depth).reshape(rows, depth).astype(np.float64)
    overlap = np.cumsum(overlap, axis=1)
    values = np.full(rows, np.nan)
    some = short > 0
    if not some.any():
        return values
    overlap, s, end = overlap[some], short[some], long[some]
    d = np.arange(1, depth + 1)
    at_s, at_l = (overlap[np.arange(len(s)), n - 1] for n in (s, end))
    agreement = overlap / d
    beyond = d > s[:, None]
    agreement += np.where(beyond, at_s[:, None] * (d - s[:, None]) / (s[:, None] * d), 0.0)
    weight = np.where(d <= end[:, None], p ** d.astype(np.float64), 0.0)
    head = (1 - p) / p * (agreement * weight).sum(axis=1)
    values[some] = head + ((at_l - at_s) / end + at_s / s) * p**end
    return values
