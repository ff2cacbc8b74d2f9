"""User-kNN: items of the users with the most similar histories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from recae import training
from recae.data import Interactions
from recae.data.csr import column_counts, row_sums
from recae.data.splits import Fold
from recae.estimators.params import estimator, learnt, param
from recae.ranking.top_k import top_k
from recae.recommend.base import Recommender
from recae.recommend.explain.parts import Padded, Parts, cells_of
from recae.recommend.onnx.graph import Value, apply, apply_many
from recae.recommend.onnx.histories import Histories
from recae.recommend.saved import csr_from_arrays, csr_to_arrays
from recae.recommend.sparse import sparse_scores, unit_rows
from recae.recommend.weights import weight_transform_param, weighted, weights_param

ROWS = 256
"""Histories compared with all training users at a time."""


@estimator
class UserKNN(Recommender):
    """Recommends the items of the users with the most similar histories.

    score_j = sum of cos(x, x_v) x_vj over the training users v nearest to the history x. (The
    nearest of all to a training user's own history is that user, who adds nothing unseen.)

    Resnick, Iacovou, Suchak, Bergstrom & Riedl, "GroupLens", CSCW 1994, in the form for implicit
    feedback. Nothing is learnt: the model is its training interactions, and saving it saves them
    all (without user ids). A row costs its co-occurrences with all users; memory is
    the interactions and 256 x n_users cosines. An item of no neighbour gets -inf and is never
    recommended, so lists can be shorter than k.

    >>> data = recae.Interactions.from_csr(scipy.sparse.csr_matrix([[1, 1, 0], [0, 1, 1.0]]))
    >>> history = scipy.sparse.csr_matrix([[1.0, 0, 0]])
    >>> recae.UserKNN().fit(data).recommend(history=history)["item_id"].tolist()
    [1]
    """

    name = "user-knn"
    cubic = True
    scores_every_item = False
    small = dict(neighbours=20)

    neighbours: int = param(
        "nearest training users of a history", default=100, low=1, usual=(10, 1000)
    )
    weights: str = weights_param("whether histories hold the weights of interactions or ones")
    weight_transform: str = weight_transform_param()

    training_: Any = learnt()

    def _fit(self, data: Interactions, validation: Fold | None, run: training.Run) -> None:
        self._set(self._values(data.matrix))

    def _set(self, training: Any) -> None:
        self.training_ = training
        self._columns = sp.csr_matrix(unit_rows(training).T)  # (n_items, n_users)

    def _values(self, matrix: Any) -> Any:
        return weighted(self, matrix, "both")

    def _score_rows(self, matrix: Any) -> Tensor:
        histories = unit_rows(self._values(matrix))
        parts = [torch.empty(0, matrix.shape[1])]
        for start in range(0, matrix.shape[0], ROWS):
            cosines = sparse_scores(histories[start : start + ROWS], self._columns)
            parts.append(sparse_scores(_nearest(cosines, self.neighbours), self.training_))
        return torch.cat(parts)

    def _explain_rows(self, matrix: Any, columns: Tensor) -> Parts:
        """cos(x, x_v) is a sum over the items that x and x_v have in common."""
        histories = unit_rows(self._values(matrix))
        nearest = Padded.of(_nearest(sparse_scores(histories, self._columns), self.neighbours))
        some, users = Padded.of(histories), nearest.items
        of_users = self.training_[users.clamp_min(0).view(-1).numpy()]
        squares = row_sums(np.square(of_users.data, dtype=np.float64), of_users.indptr)
        norms = torch.from_numpy(np.sqrt(squares)).view(users.shape)  # of users with an item
        theirs = cells_of(self.training_, users, some.items) / norms[:, :, None]
        found = some.weighted(theirs.mT @ cells_of(self.training_, users, columns))
        return Parts.of(found, "exact, given the nearest users and the norm of the history")

    def _onnx_scores(self, histories: Histories) -> Value:
        """Cosines with all training users, and the histories of the nearest of them, weighted by
        the cosine."""
        read = histories.weighted(self, "both")
        exact = read.values.to("float64")
        inverse = 1.0 / apply("Sqrt", read.row_sums(exact * exact))
        cosines = read.spread(self._columns, (exact * inverse[read.row]).to("float32"), -np.inf)
        count = min(self.neighbours, self.training_.shape[0])
        best, users = apply_many("TopK", cosines, [count], dtypes=[None, "int64"], axis=1)
        best, users = best.reshaped([-1]), users.reshaped([-1])
        found = apply("Greater", best, -np.inf, dtype="bool")
        place = apply("Compress", apply("Range", 0, apply("Squeeze", users.size), 1), found, axis=0)
        nearest = replace(read, row=place / count, item=users[place])
        return nearest.spread(self.training_, best[place], -np.inf)

    def _arrays(self) -> Mapping[str, Tensor]:
        return csr_to_arrays("training", self.training_)

    def _restore(self, arrays: Mapping[str, Tensor]) -> None:
        n_users = len(arrays["training.indptr"]) - 1
        training = csr_from_arrays("training", arrays, (n_users, len(self.items_)))
        if not np.array_equal(column_counts(training), self.item_counts_):
            raise ValueError("the training interactions are not those of the items' users")
        self._set(training)


def _nearest(cosines: Tensor, neighbours: int) -> Any:
    """The highest cosines of each row, as a CSR (rows, n_users); ties go to the first users."""
    top = top_k(cosines, min(neighbours, cosines.shape[1]), overwrite=True)
    rows, places = np.nonzero(top.items >= 0)
    entries = (top.scores[rows, places], (rows, top.items[rows, places]))
    nearest: Any = sp.csr_matrix(entries, shape=(len(cosines), cosines.shape[1]))
    nearest.sort_indices()
    return nearest
