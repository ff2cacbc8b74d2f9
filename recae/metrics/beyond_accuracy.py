"""Beyond-accuracy metrics: popularity, coverage, diversity, calibration of lists.

With c(i) the training users of item i and C the sum of c over the items:

    novelty             mean of -log2(c(i) / C) over the items of a list, in bits: the
                        self-information of Zhou et al. 2010 (PNAS 107) with the popularity share
                        of Castells, Hurley & Vargas 2015 (Recommender Systems Handbook)
    popularity          mean of c(i) over the items of a list, in training users
    popularity_lift     (p - q) / q with p the popularity of the list and q the mean of c(i) over
                        the items of the user's history: 1 for a list twice as popular as the
                        history. It is that of Abdollahpouri et al. 2020 (RecSys, "The connection
                        between popularity bias, calibration, and fairness in recommendation") with
                        every user as a group of one; theirs takes the means of p and q over a group
                        of users first.
    diversity           mean of 1 - cos(v_i, v_j) over the pairs of items of a list, with v the
                        vectors of the items: the intra-list diversity of Smyth & McClave 2001
                        (ICCBR) and Ziegler et al. 2005 (WWW). 0 if all point the same way.
    miscalibration      sum over the categories g of p(g) ln(p(g) / ((1 - a) q(g) + a p(g))) with
                        a = 0.01: the Kullback-Leibler divergence C_KL of Steck 2018 (RecSys,
                        "Calibrated recommendations", equations 2 to 6 with all weights one), in
                        nats. p(g) is the mean over the history, and q(g) over the list, of
                        p(g | i), which shares an item out equally among its categories. 0 if both
                        agree, at most ln(1 / a) = 4.6 if they have no category in common.
    coverage            share of the catalogue that is in at least one list
    gini                Gini coefficient of how often each item of the catalogue is listed: 0 if all
                        are equally often, (n - 1) / n if one of n takes every place

Coverage and gini are one number for the whole catalogue, the items of the targets; gini is NaN if
nothing is listed. The others have a value per user, users without a target included. A short list
counts the items that it has; an empty list is NaN. An item without training users has no finite
self-information: novelty leaves it out, and is NaN for a list of such items. popularity counts it
as 0. popularity_lift is NaN for a history that is empty or only of such items. Items without a
vector (or with only zeros) or without a category are left out. diversity is NaN for a list with
fewer than two items left, miscalibration for a history or list with none. Memory is the users of a
batch times the latent dimensions, or times the categories.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from recae.data.csr import added_up
from recae.errors import DataError

FloatArray = npt.NDArray[np.float64]

Items = npt.NDArray[np.integer[Any]]
"""Lists of items (rows, k), -1 for an empty place."""

POPULARITY_GROUPS = 3
"""Head, middle and tail: the categories of items where none are given."""

ALPHA = 0.01
"""The weight of p in its mixture with q, so that no ratio is infinite (Steck 2018)."""

CELLS = 1 << 22
"""Users times categories whose shares are held at once."""


@dataclass(frozen=True, eq=False)
class ItemFacts:
    """Training users, vectors and categories of n_items items; None where unknown.

    counts: (n_items,) training users, >= 0. vectors: (n_items, d) finite numbers, only zeros for an
    item without one. categories: csr (n_items, n_categories), non-zero where an item is of a
    category. Raises DataError for other shapes or values.
    """

    n_items: int
    counts: Any = None
    vectors: Any = None
    categories: Any = None

    def __post_init__(self) -> None:
        n = self.n_items
        if self.counts is not None:
            counts = np.asarray(self.counts, dtype=np.float64)
            if counts.shape != (n,) or not (counts >= 0).all():
                raise DataError(f"item_counts must be {n} numbers >= 0, one for each item")
            vars(self)["counts"] = counts
        if self.vectors is not None:
            vectors = np.asarray(self.vectors)
            if vectors.ndim != 2 or len(vectors) != n or vectors.dtype.kind not in "fiu":
                raise DataError(f"item_vectors must be ({n}, d) numbers; found {vectors.shape}")
            if not np.isfinite(vectors).all():
                raise DataError("item_vectors hold NaN or infinite numbers")
            vars(self)["vectors"] = vectors
        shape = getattr(self.categories, "shape", None)
        sparse: bool = sp.issparse(self.categories)
        if self.categories is not None and (not sparse or shape is None or shape[0] != n):
            raise DataError(f"item_categories must be a sparse matrix with {n} rows")

    @cached_property
    def unit_vectors(self) -> npt.NDArray[np.float32]:
        """The vectors at length one, zeros for an item without one: (n_items, d) float32."""
        scale = np.abs(self.vectors).max(axis=1, keepdims=True, initial=0).astype(np.float64)
        scaled = self.vectors / np.where(scale > 0, scale, 1)  # first, as squares may overflow
        length = np.sqrt((scaled**2).sum(axis=1, keepdims=True))
        unit: npt.NDArray[np.float32] = (scaled / np.where(length > 0, length, 1)).astype(
            np.float32
        )
        return unit

    @cached_property
    def has_vector(self) -> npt.NDArray[np.bool_]:
        """Whether an item has a vector: (n_items,)."""
        some: npt.NDArray[np.bool_] = np.any(self.unit_vectors, axis=1)
        return some

    @cached_property
    def category_shares(self) -> Any:
        """p(category | item): csr (n_items, n_categories) float64 whose rows sum to one, or to zero
        for an item without a category. Without given categories they are groups of popularity."""
        if self.categories is None:
            group = popularity_groups(self.counts.astype(np.int64), POPULARITY_GROUPS)
            cells = (np.ones(self.n_items), (np.arange(self.n_items), group))
            return sp.csr_matrix(cells, shape=(self.n_items, POPULARITY_GROUPS))
        shares = added_up(self.categories)
        shares.eliminate_zeros()
        number = np.diff(shares.indptr)
        shares.data = 1 / np.repeat(number, number)
        return shares


def popularity_groups(counts: npt.NDArray[np.int64], groups: int) -> npt.NDArray[np.int64]:
    """The popularity group of each item, 0 for the head and groups - 1 for the tail.

    The groups hold nearly equal numbers of training interactions, not of items. Items with equally
    many training users (counts, (n_items,)) stay together, in the group in which the middle of
    their interactions falls; a group may stay empty.
    """
    distinct, place, number = np.unique(counts, return_inverse=True, return_counts=True)
    weight = (distinct * number)[::-1]  # interactions of the items that share a count, head first
    total = int(weight.sum())
    if not total:
        return np.zeros(len(counts), dtype=np.int64)
    middle = 2 * np.cumsum(weight) - weight  # twice, to stay among integers
    group = np.minimum(middle * groups // (2 * total), groups - 1)
    return np.asarray(group[::-1][place], dtype=np.int64)


def novelty(items: Items, history: Any, facts: ItemFacts) -> FloatArray:
    """From lists (rows, k): (rows,)."""
    counts: FloatArray = facts.counts
    some = counts[items] > 0
    bits = np.log2((counts.sum() or 1) / np.where(some, counts[items], 1))
    return mean_of(bits, (items >= 0) & some)


def popularity(items: Items, history: Any, facts: ItemFacts) -> FloatArray:
    """From lists (rows, k): (rows,)."""
    return mean_of(facts.counts[items], items >= 0)


def popularity_lift(items: Items, history: Any, facts: ItemFacts) -> FloatArray:
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


def coverage(exposed: Items) -> float:
    """From how often each item is listed, (n_items,)."""
    return float((exposed > 0).mean())


def gini(exposed: Items) -> float:
    """From how often each item is listed, (n_items,)."""
    total, n = exposed.sum(), len(exposed)
    if not total:
        return float("nan")
    weight = 2.0 * np.arange(1, n + 1) - n - 1
    return float((weight * np.sort(exposed)).sum() / (n * total))


def diversity(items: Items, history: Any, facts: ItemFacts) -> FloatArray:
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


def miscalibration(items: Items, history: Any, facts: ItemFacts) -> FloatArray:
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


def _listed(items: Items, counted: npt.NDArray[np.bool_], n_items: int, dtype: Any) -> Any:
    """The counted places of lists (rows, k) as a csr matrix (rows, n_items) of ones."""
    indptr = np.append(0, np.cumsum(counted.sum(axis=1)))
    ones = np.ones(indptr[-1], dtype=dtype)
    return sp.csr_matrix((ones, items[counted], indptr), shape=(len(items), n_items))


OfLists = Callable[[Items, Any, ItemFacts], FloatArray]

OF_LISTS: dict[str, tuple[OfLists, frozenset[str]]] = {
    "novelty": (novelty, frozenset({"counts"})),
    "popularity": (popularity, frozenset({"counts"})),
    "popularity_lift": (popularity_lift, frozenset({"counts", "history"})),
    "diversity": (diversity, frozenset({"vectors"})),
    "miscalibration": (miscalibration, frozenset({"categories", "history"})),
}
"""The metrics with a value per user: the function, and what it needs beside the lists."""

CATALOGUE: dict[str, Callable[[Items], float]] = {"coverage": coverage, "gini": gini}
"""The metrics with one value for the catalogue."""

LESS_IS_BETTER = ("gini", "popularity", "popularity_lift", "miscalibration", "percentile_rank")
