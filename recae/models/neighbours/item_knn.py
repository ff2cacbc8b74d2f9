"""Item-kNN: nearest neighbours of the items in a history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp
from torch import Tensor

from recae import training
from recae.data import Interactions
from recae.data.splits import Fold
from recae.estimators.params import estimator, param
from recae.models.neighbours._base import SimilarityRecommender
from recae.recommend.saved import expect
from recae.recommend.sparse import nearest_columns


@estimator
class ItemKNN(SimilarityRecommender):
    """Recommends the nearest neighbours of the items in a history.

    sum:     score_j = sum over i in the history of s(i, j) where j is among the neighbours of i
    centred: score_j = m_j + sum over i in N(j) of s(i, j) (x_i - m_i) / sum over N(j) of s(i, j)

    with s(i, j) the `similarity` of the columns i and j of X, N(j) the nearest neighbours of j, x
    the history and m_j the mean of column j over all users.

    Sarwar, Karypis, Konstan & Riedl, "Item-based collaborative filtering recommendation
    algorithms", WWW 2001, whose weighted sum, with item means, is "centred"; neighbours from
    `implicit`. A hard baseline to beat where users have few items, and quick to fit and to explain.
    Costs about the sum over users of (items of the user)^2 operations; memory is n_items x
    neighbours. With "sum" an item that is not a neighbour of anything in the history has score -inf
    and is never recommended, so lists can be shorter than k. "centred" falls back on popularity.
    Learnt: `similarity_`, CSR (n_items, n_items) float32, the contribution of item i in the history
    to the score of item j. `bias_`, (n_items,) float32, is the additive term of "centred", else
    None.

    >>> data = recae.Interactions.from_csr(scipy.sparse.csr_matrix([[1, 1, 0], [1, 1, 1.0]]))
    >>> model = recae.ItemKNN(neighbours=1).fit(data)
    >>> model.similar_items([0], k=2)["similar_item_id"].tolist()  # item 2 is nobody's nearest
    [1]
    """

    name = "item-knn"
    small = dict(neighbours=15)

    neighbours: int = param(
        "nearest items kept for each item, itself not counted", default=100, low=1, usual=(10, 1000)
    )
    similarity: str = param(
        "cosine of the columns, cosine of their tf-idf weights, or products of bm25 weights",
        default="cosine",
        choices=("cosine", "tf-idf", "bm25"),
    )
    scoring: str = param(
        "sum over the neighbours of what is in the history, or centred mean over those of the item",
        default="sum",
        choices=("sum", "centred"),
    )

    def _fit(self, data: Interactions, validation: Fold | None, run: training.Run) -> None:
        nearest = nearest_columns(self._weighted(data), self.neighbours)
        self.similarity_, self.bias_ = nearest, None
        if self.scoring == "centred":
            total = np.asarray(nearest.sum(axis=1)).ravel()
            shares = sp.diags(1 / np.where(total > 0, total, 1)) @ nearest  # of each item's N(j)
            mean = np.asarray(self._histories(data.matrix).mean(axis=0)).ravel()
            self.similarity_ = sp.csr_matrix(shares.T, dtype=np.float32)
            self.similarity_.sort_indices()
            self.bias_ = (mean - shares @ mean).astype(np.float32)

    def _weighted(self, data: Interactions) -> Any:
        """X, weighted so that products of its columns are similarities, (n_users, n_items) CSR."""
        from implicit.nearest_neighbours import bm25_weight, normalize, tfidf_weight

        items = sp.csr_matrix(self._histories(data.matrix).T, dtype=np.float64)
        # A user of every item has no information: weight 0, and 0 / 0 for an item of such users.
        with np.errstate(invalid="ignore", divide="ignore"):
            if self.similarity == "bm25":
                items = bm25_weight(items, K1=1.2, B=0.75)
            else:
                items = normalize(tfidf_weight(items) if self.similarity == "tf-idf" else items)
        items.data[np.isnan(items.data)] = 0
        return sp.csr_matrix(items.T)

    def _restore(self, arrays: Mapping[str, Tensor]) -> None:
        super()._restore(arrays)
        if self.scoring == "centred":
            self.bias_ = expect(arrays["bias"], len(self.items_)).numpy()
