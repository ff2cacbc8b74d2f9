"""What metrics may need to know of the items: training users, vectors, categories."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from recae.errors import DataError

POPULARITY_GROUPS = 3
"""Head, middle and tail: the categories of items where nobody gives any."""


@dataclass(frozen=True, eq=False)
class ItemFacts:
    """What is known of n_items items; None for what is not.

    counts: (n_items,) training users, >= 0; vectors: (n_items, d) finite numbers, only zeros for an
    item without one; categories: csr (n_items, n_categories), non-zero where an item is of a
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
        for an item without a category; of popularity groups where no categories are given."""
        if self.categories is None:
            group = popularity_groups(self.counts.astype(np.int64), POPULARITY_GROUPS)
            cells = (np.ones(self.n_items), (np.arange(self.n_items), group))
            return sp.csr_matrix(cells, shape=(self.n_items, POPULARITY_GROUPS))
        shares = sp.csr_matrix(self.categories, dtype=np.float64, copy=True)
        shares.sum_duplicates()
        shares.eliminate_zeros()
        number = np.diff(shares.indptr)
        shares.data = 1 / np.repeat(number, number)
        return shares


def popularity_groups(counts: npt.NDArray[np.int64], groups: int) -> npt.NDArray[np.int64]:
    """Which of some groups each item belongs to, 0 for the head and groups - 1 for the tail.

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
