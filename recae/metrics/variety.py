"""How unlike the items of a list are, and how far a list is from the tastes of its user.

    diversity           mean of 1 - cos(v_i, v_j) over the pairs of items of a list, with v the
                        vectors of the items: the intra-list diversity of Smyth & McClave 2001
                        (ICCBR) and Ziegler et al. 2005 (WWW). 0 if all point the same way.
    miscalibration      sum over the categories g of p(g) ln(p(g) / ((1 - a) q(g) + a p(g))) with
                        a = 0.01: the Kullback-Leibler divergence C_KL of Steck 2018 (RecSys,
                        "Calibrated recommendations", equations 2 to 6 with all weights one), in
                        nats. p(g) is the mean over the history, and q(g) over the list, of
                        p(g | i), which shares an item out equally among its categories. 0 if both
                        agree, at most ln(1 / a) = 4.6 if they have no category in common.

Both have a value per user, users without a target included. Items without a vector (or only zeros)
or without a category are left out; diversity is NaN for a list with fewer than two items left,
miscalibration for a history or list with none. Memory is the users of a batch times the latent
dimensions, or times the categories.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from recae.metrics.about import ItemFacts

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.integer[Any]]

ALPHA = 0.01
"""How much of p is mixed into q, so that no ratio is infinite (Steck 2018)."""

CELLS = 1 << 22
"""Users times categories whose shares are held at once."""


def diversity(items: IntArray, history: Any, facts: ItemFacts) -> FloatArray:
    """From lists (rows, k): (rows,)."""
    counted = (items >= 0) & facts.has_vector[items]
    number = counted.sum(axis=1)
    # The sum of the cosines of all pairs, both ways, is |sum of the unit vectors|^2 less the number
    # of items: k vectors are added up where k^2 / 2 would be multiplied.
    total = _listed(items, counted, facts.n_items, np.float32) @ facts.unit_vectors
    squares: FloatArray = np.sum(total * total, axis=1, dtype=np.float64)
    values = np.full(len(items), np.nan)
    some = number >= 2
    pairs = number[some] * (number[some] - 1.0)
    values[some] = np.clip(1 - (squares[some] - number[some]) / pairs, 0, 2)
    return values


def miscalibration(items: IntArray, history: Any, facts: ItemFacts) -> FloatArray:
    """From lists (rows, k) and csr histories (rows, n_items) of ones: (rows,)."""
    shares = facts.category_shares
    listed = _listed(items, items >= 0, facts.n_items, np.float64)
    step = max(CELLS // max(shares.shape[1], 1), 1)
    parts = [np.empty(0)]
    for start in range(0, len(items), step):
        rows = slice(start, start + step)
        parts.append(_divergence(*((part[rows] @ shares).toarray() for part in (history, listed))))
    return np.concatenate(parts)


def _divergence(p: FloatArray, q: FloatArray) -> FloatArray:
    """From the summed shares of histories and lists, (rows, n_categories) each: (rows,)."""
    of_history, of_list = p.sum(axis=1, keepdims=True), q.sum(axis=1, keepdims=True)
    defined = (of_history[:, 0] > 0) & (of_list[:, 0] > 0)
    p, q = p[defined] / of_history[defined], q[defined] / of_list[defined]
    mixed = (1 - ALPHA) * q + ALPHA * p
    ratio = np.divide(p, mixed, out=np.ones_like(p), where=p > 0)  # ln 1 = 0 where p is 0
    values = np.full(len(defined), np.nan)
    values[defined] = np.maximum((p * np.log(ratio)).sum(axis=1), 0)
    return values


def _listed(items: IntArray, counted: npt.NDArray[np.bool_], n_items: int, dtype: Any) -> Any:
    """The counted places of lists (rows, k) as a csr matrix (rows, n_items) of ones."""
    indptr = np.append(0, np.cumsum(counted.sum(axis=1)))
    ones = np.ones(indptr[-1], dtype=dtype)
    return sp.csr_matrix((ones, items[counted], indptr), shape=(len(items), n_items))
