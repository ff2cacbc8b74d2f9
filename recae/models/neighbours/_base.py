"""The base of the models that sum up similarities of items, kept in CSR."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recae.data.csr import row_numbers, take_rows
from recae.estimators.params import estimator, learnt
from recae.recommend.base import Recommender
from recae.recommend.explain.parts import SUM, Parts, from_sparse
from recae.recommend.frozen import tensor_of
from recae.recommend.onnx.graph import Value
from recae.recommend.onnx.histories import Histories
from recae.recommend.saved import csr_from_arrays, csr_to_arrays
from recae.recommend.sparse import sparse_scores
from recae.recommend.weights import weight_transform_param, weighted, weights_param


@estimator
class SimilarityRecommender(Recommender):
    """score_j = b_j + sum over i in the history of x_i S_ij, S in CSR; -inf for no entry and no b.

    A model supplies S, and b or None, in `_fit`.
    """

    scores_every_item = False

    weights: str = weights_param()
    weight_transform: str = weight_transform_param()

    similarity_: Any = learnt()
    bias_: np.ndarray | None = learnt()

    def _histories(self, matrix: Any) -> Any:
        return weighted(self, matrix, "both")

    def _score_rows(self, matrix: Any) -> Tensor:
        scores = sparse_scores(self._histories(matrix), self.similarity_)
        if self.bias_ is None:
            return scores
        return scores.masked_fill_(scores == -torch.inf, 0).add_(tensor_of(self.bias_))

    def _explain_rows(self, matrix: Any, columns: Tensor) -> Parts:
        found = from_sparse(self._histories(matrix), columns, self.similarity_)
        biases = 0.0 if self.bias_ is None else tensor_of(self.bias_)[columns]
        return Parts.of(found, SUM, biases)

    def _onnx_scores(self, histories: Histories) -> Value:
        read = histories.weighted(self, "both")
        if self.bias_ is not None:
            return read.spread(self.similarity_, read.values) + self.bias_
        return read.spread(self.similarity_, read.values, -np.inf)

    def _similarities(self, codes: np.ndarray) -> Tensor:
        """Rows of `similarity_` for some items, -inf where there is no entry."""
        own = self.similarity_
        (columns, values), starts = take_rows(own.indptr, codes, own.indices, own.data)
        found = np.full((len(codes), len(self.items_)), -np.inf, dtype=np.float32)
        found[row_numbers(starts), columns] = values
        return torch.from_numpy(found)

    def _arrays(self) -> Mapping[str, Tensor]:
        bias = {} if self.bias_ is None else {"bias": tensor_of(self.bias_)}
        return csr_to_arrays("similarity", self.similarity_) | bias

    def _restore(self, arrays: Mapping[str, Tensor]) -> None:
        n = len(self.items_)
        self.similarity_, self.bias_ = csr_from_arrays("similarity", arrays, (n, n)), None
