"""Metrics of hits: which of the first k items of a list are targets.

Each function takes hits (rows, k) and relevant, the number of targets (rows,) >= 1, and returns
(rows,). Sums run along the rows one by one (no matrix product), so that a row's value does not
depend on its batch. The formulas are in `recae.metrics.metric`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from recae.data.csr import added_up
from recae.errors import DataError
from recae.metrics.beyond_accuracy import FloatArray
from recae.ranking.top_k import TopK

IntArray = npt.NDArray[np.int64]
HitTable = npt.NDArray[np.bool_]

PERSISTENCE = 0.8
"""The p of rank-biased precision where the name has none, as in ir_measures."""
RBP = re.compile(r"rbp(?:\.(\d+))?", re.ASCII)


@dataclass(frozen=True, eq=False)
class Matched:
    """Lists matched with their targets.

    places: (rows, k) int64, where the item of each place is in `target.data`; -1 if it is no target
    or was listed before. target: canonical csr (rows, n_items).
    """

    places: IntArray
    target: Any

    @cached_property
    def hits(self) -> HitTable:
        """Whether each place hits, (rows, k)."""
        return self.places >= 0

    @cached_property
    def relevant(self) -> IntArray:
        """The number of targets, (rows,)."""
        found: IntArray = np.diff(self.target.indptr).astype(np.int64)
        return found


def match(topk: TopK, targets: Any, metric: str, k: int) -> Matched:
    """The first k of the lists matched with the targets, after checking the shapes.

    metric: whose k it is, for messages. Raises DataError if the two do not fit.
    """
    target: Any = targets  # scipy has two csr classes without a common type
    if not sp.issparse(targets) or target.format != "csr":
        raise DataError(f"the target must be a scipy csr matrix, not {type(targets).__name__}")
    rows, n_items = target.shape
    if len(topk) != rows:
        raise DataError(f"there are {len(topk)} lists but {rows} rows of targets")
    if topk.items.shape[1] < k:
        raise DataError(f"{metric} needs lists of {k} items, not {topk.items.shape[1]}")
    items = topk.items[:, :k].astype(np.int64)
    if items.size and not (-1 <= items.min() and items.max() < n_items):
        span = f"{items.min()}..{items.max()}"
        raise DataError(f"lists hold items {span}, not within 0..{n_items - 1} or -1 for none")
    target = canonical(target)
    relevant = np.diff(target.indptr).astype(np.int64)
    row = np.arange(rows, dtype=np.int64)
    # One int64 key for each cell, ascending because the csr is sorted; the -1 at the end keeps a
    # look-up beyond the last cell inside the array, and -2 stands for an empty place.
    cells = np.append(np.repeat(row, relevant) * n_items + target.indices, np.int64(-1))
    asked = np.where(items >= 0, row[:, None] * n_items + items, -2).ravel()
    found = np.searchsorted(cells[:-1], asked)
    hits = np.flatnonzero(cells[found] == asked)
    # An item listed twice finds the same cell twice; np.unique keeps the first, at the better rank.
    _, first = np.unique(found[hits], return_index=True)
    places = np.full(items.size, -1, dtype=np.int64)
    places[hits[first]] = found[hits[first]]
    return Matched(places.reshape(items.shape), target)


def canonical(matrix: Any) -> Any:
    """A csr matrix with every cell once, in order, and no stored zeros; a copy if need be."""
    if not matrix.has_canonical_format or not np.all(matrix.data):
        matrix = added_up(matrix)  # a copy: the caller's matrix stays as it is
        matrix.eliminate_zeros()
    return matrix


def row_sum(table: npt.NDArray[Any]) -> FloatArray:
    """The sum of each row as float64, (rows, k) to (rows,)."""
    total: FloatArray = np.sum(table, axis=1, dtype=np.float64)
    return total


def discounts(k: int) -> FloatArray:
    """1 / log2(r + 1) for the ranks 1..k, (k,)."""
    found: FloatArray = 1 / np.log2(np.arange(2, k + 2))
    return found


def _ndcg(hits: HitTable, relevant: IntArray) -> FloatArray:
    k = hits.shape[1]
    discount = discounts(k)
    ideal: FloatArray = np.cumsum(discount)[np.minimum(relevant, k) - 1]
    return row_sum(hits * discount) / ideal


def _mrr(hits: HitTable, relevant: IntArray) -> FloatArray:
    first = np.argmax(hits, axis=1) + 1
    return np.where(np.any(hits, axis=1), 1 / first, 0.0)


def _precisions(hits: HitTable) -> FloatArray:
    """The sum over the hits of the precision at their rank."""
    precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    return row_sum(hits * precision)


def _r_precision(hits: HitTable, relevant: IntArray) -> FloatArray:
    within = np.arange(hits.shape[1]) < relevant[:, None]
    return row_sum(hits & within) / relevant


def _rbp(hits: HitTable, p: float) -> FloatArray:
    return (1 - p) * row_sum(hits * p ** np.arange(hits.shape[1], dtype=np.float64))


OfHits = Callable[[HitTable, IntArray], FloatArray]

OF_HITS: dict[str, OfHits] = {
    "ndcg": _ndcg,
    "recall": lambda hits, relevant: row_sum(hits) / relevant,
    "calibrated_recall": lambda hits, relevant: row_sum(hits) / np.minimum(relevant, hits.shape[1]),
    "precision": lambda hits, relevant: row_sum(hits) / hits.shape[1],
    "f1": lambda hits, relevant: 2 * row_sum(hits) / (hits.shape[1] + relevant),
    "hit_rate": lambda hits, relevant: np.any(hits, axis=1).astype(np.float64),
    "mrr": _mrr,
    "map": lambda hits, relevant: _precisions(hits) / relevant,
    "truncated_map": lambda hits, relevant: _precisions(hits) / np.minimum(relevant, hits.shape[1]),
    "r_precision": _r_precision,
    "rbp": lambda hits, relevant: _rbp(hits, PERSISTENCE),
}


def of_hits(name: str) -> OfHits | None:
    """The metric of hits called so, None if there is none; "rbp.95" is rbp with p = 0.95.

    >>> of_hits("rbp.5")(np.array([[True, False, True]]), np.array([2]))  # (1 - p) (1 + p^2)
    array([0.625])
    """
    if name in OF_HITS:
        return OF_HITS[name]
    found = RBP.fullmatch(name)
    if found is None or not found[1] or not int(found[1]):
        return None
    p = float(f"0.{found[1]}")
    return lambda hits, relevant: _rbp(hits, p)
