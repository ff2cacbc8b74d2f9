"""Item-kNN: items that the same users have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp
from torch import Tensor

from recae.data import Interactions
from recae.recommender import (
    Recommender,
    Run,
    csr_from_arrays,
    csr_to_arrays,
    estimator,
    evidence,
    learnt,
    nearest_columns,
    param,
    valued,
)
from recae.splits import Fold


@estimator
class ItemKNN(Recommender):
    """Recommends the nearest neighbours of what a user has.

    score_j = sum over i in the history of s(i, j) where j is among the nearest neighbours of i;
    s compares two items' columns of X, as `similarity` says.

    Sarwar, Karypis, Konstan & Riedl, "Item-based collaborative filtering recommendation
    algorithms", WWW 2001; neighbours from `implicit`. A hard baseline to beat where users have few
    items, and quick to fit and to explain. Costs about the sum over users of (items of the user)^2
    operations; memory is n_items x neighbours. An item that is no neighbour of anything in the
    history has score -inf and is never recommended, so lists can be shorter than k.

    >>> data = recae.Interactions.from_csr(scipy.sparse.csr_matrix([[1, 1, 0], [1, 1, 1.0]]))
    >>> model = recae.ItemKNN(neighbours=1).fit(data)
    >>> model.similar_items([0], k=2)["similar_item_id"].tolist()  # item 2 is nobody's nearest
    [1]
    """

    name = "item-knn"

    neighbours: int = param(
        "nearest items kept for each item, itself not counted", default=100, low=1, usual=(10, 1000)
    )
    similarity: str = param(
        "cosine of the columns, cosine of their tf-idf weights, or products of bm25 weights",
        default="cosine",
        choices=("cosine", "tf-idf", "bm25"),
    )
    weights: str = param(
        "whether X holds the weights of interactions or ones",
        default="neither",
        choices=("neither", "both"),
    )

    similarity_: Any = learnt()

    def _fit(self, data: Interactions, validation: Fold | None, run: Run) -> None:
        self.similarity_ = nearest_columns(self._weighted(data), self.neighbours)

    def _weighted(self, data: Interactions) -> Any:
        """X, weighted so that products of its columns are similarities, (n_users, n_items) CSR."""
        from implicit.nearest_neighbours import bm25_weight, normalize, tfidf_weight

        items = sp.csr_matrix(self._histories(data.matrix).T, dtype=np.float64)
        # A user of every item says nothing: weight 0, and 0 / 0 where an item has only such users.
        with np.errstate(invalid="ignore", divide="ignore"):
            if self.similarity == "bm25":
                items = bm25_weight(items, K1=1.2, B=0.75)
            else:
                items = normalize(tfidf_weight(items) if self.similarity == "tf-idf" else items)
        items.data[np.isnan(items.data)] = 0
        return sp.csr_matrix(items.T)

    def _histories(self, matrix: Any) -> Any:
        return valued(matrix, self.weights == "both")

    def _score_rows(self, matrix: Any) -> Tensor:
        return evidence(self._histories(matrix), self.similarity_)

    def _similarities(self, codes: np.ndarray) -> Tensor:
        """The neighbours of some items with their cosines, -inf for all others."""
        one_each = sp.csr_matrix(
            (np.ones(len(codes), dtype=np.float32), (np.arange(len(codes)), codes)),
            shape=(len(codes), len(self.items_)),
        )
        return evidence(one_each, self.similarity_)

    def _arrays(self) -> Mapping[str, Tensor]:
        return csr_to_arrays("similarity", self.similarity_)

    def _restore(self, arrays: Mapping[str, Tensor]) -> None:
        n = len(self.items_)
        self.similarity_ = csr_from_arrays("similarity", arrays, (n, n))
