"""Where lists hit their targets, and what each metric makes of it; the formulas are in `lists`."""

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
    # look-up beyond the last cell inside the array.
    cells = np.append(np.repeat(row, relevant) * n_items + target.indices, np.int64(-1))
    asked = row[:, None] * n_items + items
    places = np.flatnonzero(_may_hold(cells[:-1], asked) & (items >= 0))
    found = np.searchsorted(cells[:-1], asked.ravel()[places])
    hit = cells[found] == asked.ravel()[places]
    # An item listed twice finds the same cell twice; np.unique keeps the first, at the better rank.
    _, first = np.unique(found[hit], return_index=True)
    once = np.zeros(items.size, dtype=np.bool_)
    once[places[hit][first]] = True
    return once.reshape(items.shape), relevant


def _may_hold(cells: IntArray, asked: IntArray) -> HitTable:
    """True wherever a key is among the cells, and for about one in 16 of the others.

    A Bloom filter with one hash (Bloom 1970; multiplicative, Knuth volume 3, section 6.4): most
    places of a list are no hits, and are told so by one read where a search would take a dozen.
    """
    bits = max((16 * len(cells)).bit_length(), 1)
    held = np.zeros(1 << bits, dtype=np.bool_)
    held[_hash(cells, bits)] = True
    return held[_hash(asked, bits)]


def _hash(keys: IntArray, bits: int) -> IntArray:
    mixed = keys.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio
    return (mixed >> np.uint64(64 - bits)).astype(np.int64)


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
