"""Popularity: the baseline that everything must beat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recae.data import Interactions
from recae.data.csr import column_counts
from recae.recommender import Recommender, Run, estimator, expect, learnt, param
from recae.splits import Fold


@estimator
class Popularity(Recommender):
    """Recommends what most users have, the same to everybody.

    score_i = number of training users with item i (or the sum of their weights).

    Good as the floor of every comparison and as the answer to a user nobody knows; costs nothing:
    one pass over the interactions, one number per item.

    >>> import recae
    >>> data = recae.Interactions.from_csr(scipy.sparse.csr_matrix([[1, 1, 0], [0, 1, 1.0]]))
    >>> recae.Popularity().fit(data).recommend(0)["item_id"].tolist()
    [2]
    """

    name = "popularity"

    weights: str = param(
        "whether an interaction counts its weight or 1",
        default="neither",
        choices=("neither", "target"),
    )

    item_scores_: np.ndarray = learnt()

    def _fit(self, data: Interactions, validation: Fold | None, run: Run) -> None:
        if self.weights == "neither":
            self.item_scores_ = column_counts(data.matrix).astype(np.float64)
            return
        # Not matrix.sum: scipy adds float32 up in float32, whatever dtype is asked for.
        matrix = data.matrix
        self.item_scores_ = np.bincount(matrix.indices, matrix.data, minlength=data.n_items)

    def _score_rows(self, matrix: Any) -> Tensor:
        scores = torch.from_numpy(self.item_scores_.astype(np.float32))
        return scores.repeat(matrix.shape[0], 1)  # (rows, n_items)

    def _arrays(self) -> Mapping[str, Tensor]:
        return {"item_scores": torch.from_numpy(self.item_scores_)}

    def _restore(self, arrays: Mapping[str, Tensor]) -> None:
        self.item_scores_ = expect(arrays["item_scores"], len(self.items_)).numpy()
