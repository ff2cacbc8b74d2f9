"""Matches lists with targets, and computes the metrics of hits; `metric` has the formulas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from recae.errors import DataError
from recae.ranking.top_k import TopK

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
HitTable = npt.NDArray[np.bool_]


def match(topk: TopK, targets: Any, metric: str, k: int) -> tuple[HitTable, IntArray]:
    """Hits (rows, k) and the number of targets (rows,), after checking the shapes.

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
    places = np.flatnonzero(cells[found] == asked)
    # An item listed twice finds the same cell twice; np.unique keeps the first, at the better rank.
    _, first = np.unique(found[places], return_index=True)
    hits = np.zeros(items.size, dtype=np.bool_)
    hits[places[first]] = True
    return hits.reshape(items.shape), relevant


def canonical(matrix: Any) -> Any:
    """A csr matrix with every cell once, in order, and no stored zeros; a copy if need be."""
    if not matrix.has_canonical_format or not np.all(matrix.data):
        matrix = matrix.copy()  # the caller's matrix stays as it is
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
    return matrix


# Each takes hits (rows, k) and targets (rows,) >= 1, and returns (rows,). Sums run along the rows
# one by one (no matrix product), so that a row's value does not depend on its batch.


def _sum(table: npt.NDArray[Any]) -> FloatArray:
    total: FloatArray = np.sum(table, axis=1, dtype=np.float64)
    return total


def _ndcg(hits: HitTable, relevant: IntArray) -> FloatArray:
    k = hits.shape[1]
    discount = 1 / np.log2(np.arange(2, k + 2))
    ideal: FloatArray = np.cumsum(discount)[np.minimum(relevant, k) - 1]
    return _sum(hits * discount) / ideal


def _mrr(hits: HitTable, relevant: IntArray) -> FloatArray:
    first = np.argmax(hits, axis=1) + 1
    return np.where(np.any(hits, axis=1), 1 / first, 0.0)


def _map(hits: HitTable, relevant: IntArray) -> FloatArray:
    precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    return _sum(hits * precision) / relevant


OF_HITS: dict[str, Callable[[HitTable, IntArray], FloatArray]] = {
    "ndcg": _ndcg,
    "recall": lambda hits, relevant: _sum(hits) / relevant,
    "calibrated_recall": lambda hits, relevant: _sum(hits) / np.minimum(relevant, hits.shape[1]),
    "precision": lambda hits, relevant: _sum(hits) / hits.shape[1],
    "hit_rate": lambda hits, relevant: np.any(hits, axis=1).astype(np.float64),
    "mrr": _mrr,
    "map": _map,
}
