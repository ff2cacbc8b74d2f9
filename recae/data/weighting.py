"""Transforms of interaction weights by name: counts and ratings on a scale that models can use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from recae.data.csr import column_counts

Numbers = npt.NDArray[np.float64]

K1, B = 100.0, 0.8
"""How late a weight saturates and how much long histories are discounted, as in `implicit`."""

LEAST_IDF = 0.01
"""The inverse document frequency of an item that nearly all users have, where the formula is
smaller, zero or negative."""


def log1p(matrix: Any) -> Numbers:
    """ln(1 + w) of each entry of a CSR, (entries,): Hu, Koren & Volinsky (2008), eq. 6, epsilon 1.

    >>> log1p(sp.csr_matrix([[np.e - 1]])).round(6).tolist()
    [1.0]
    """
    values: Numbers = np.log1p(matrix.data.astype(np.float64))
    return values


def binarise(matrix: Any) -> Numbers:
    """A one for each entry of a CSR, (entries,)."""
    return np.ones(len(matrix.data))


def quantile(matrix: Any) -> Numbers:
    """The share of the row's entries that are at most as large, (entries,), above 0 up to 1.

    The cumulative distribution of the user's own weights, as Celma & Herrera (RecSys 2008) and
    Vargas & Castells (RecSys 2011) turn play counts into ratings. Equal weights of a row become 1.

    >>> quantile(sp.csr_matrix([[5.0, 5.0, 90.0, 1.0]])).tolist()
    [0.75, 0.75, 1.0, 0.25]
    """
    sizes = np.diff(matrix.indptr)
    rows = np.repeat(np.arange(len(sizes)), sizes)
    order = np.lexsort((matrix.data, rows))  # within each row from the smallest weight
    values = matrix.data[order]
    last = np.ones(len(values), dtype=bool)  # whether the next one is larger or of another row
    last[:-1] = (values[1:] != values[:-1]) | (rows[1:] != rows[:-1])  # rows are in order already
    ends = np.flatnonzero(last)
    place = ends[np.cumsum(last) - last] - matrix.indptr[:-1][rows] + 1
    shares = np.empty(len(values))
    shares[order] = place / sizes[rows]
    return shares


STATELESS: Mapping[str, Callable[[Any], Numbers]] = {
    "log1p": log1p,
    "binarise": binarise,
    "quantile": quantile,
}
"""The transforms that need the history alone."""

TRANSFORMS = ("none", "log1p", "bm25", "binarise", "quantile")


@dataclass(frozen=True, eq=False)
class Weighting:
    """A transform of weights, with what bm25 learns from the training data.

    idf: (n_items,) float64, and length: the mean sum of the weights of a user; of bm25 only.

        bm25: w' = idf_i w (K1 + 1) / (w + K1 (1 - B + B length_u / length))

    with length_u the sum of the user's weights, idf_i = ln(n_users / (1 + users of item i)), and
    K1 = 100, B = 0.8 as in `implicit`, whose `bm25_weight` this is with users as documents and
    items as terms. After Robertson & Zaragoza, "The Probabilistic Relevance Framework: BM25 and
    Beyond", 2009, section 3.4. An idf below 0.01 counts as 0.01, because a weight is above zero.

    >>> plays = sp.csr_matrix([[3.0, 1], [0, 2], [4, 0], [5, 0]])
    >>> Weighting.learn("bm25", plays).idf.round(3).tolist()  # ln(4 / 4) and ln(4 / 3)
    [0.01, 0.288]
    """

    name: str = "none"
    idf: Numbers | None = None
    length: float = 0.0

    @classmethod
    def learn(cls, name: str, matrix: Any) -> Weighting:
        """The transform for a model fitted on a CSR (n_users, n_items) with entries > 0."""
        if name != "bm25":
            return cls(name)
        n_users = matrix.shape[0]
        idf = np.log(n_users) - np.log1p(column_counts(matrix))
        return cls(name, np.maximum(idf, LEAST_IDF), float(_lengths(matrix).mean()))

    def apply(self, matrix: Any) -> Any:
        """The matrix with new weights, CSR (rows, n_items) float32 > 0; itself for "none".

        A row's weights depend on the row alone and on what was learnt.

        >>> Weighting("binarise").apply(sp.csr_matrix([[0, 5.0]])).toarray()
        array([[0., 1.]], dtype=float32)
        """
        if self.name == "none":
            return matrix
        values = self._bm25(matrix) if self.name == "bm25" else STATELESS[self.name](matrix)
        parts = (values.astype(np.float32), matrix.indices, matrix.indptr)
        return sp.csr_matrix(parts, shape=matrix.shape)

    def _bm25(self, matrix: Any) -> Numbers:
        assert self.idf is not None
        lengths = np.repeat(_lengths(matrix) / self.length, np.diff(matrix.indptr))
        weights = matrix.data.astype(np.float64)
        saturated = weights * (K1 + 1) / (weights + K1 * (1 - B + B * lengths))
        values: Numbers = saturated * self.idf[matrix.indices]
        return values


def _lengths(matrix: Any) -> Numbers:
    """The sum of each row's weights, (rows,), whatever the other rows are."""
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    return np.bincount(rows, matrix.data, minlength=matrix.shape[0]).astype(np.float64)
