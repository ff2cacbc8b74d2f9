"""The base of the linear autoencoders whose item-item matrix is sparse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from recae.data import Interactions
from recae.errors import TrainingError
from recae.estimators.params import estimator, learnt
from recae.recommend.base import Recommender
from recae.recommend.explain.parts import SUM, Parts, from_sparse
from recae.recommend.onnx.graph import Value
from recae.recommend.onnx.histories import Histories
from recae.recommend.saved import csr_from_arrays, csr_to_arrays
from recae.recommend.weights import weight_transform_param, weighted, weights_param


@estimator
class SparseLinear(Recommender):
    """The scores of a history x are x B, with B in CSR. A model gives B to `_keep` in `_fit`."""

    weights: str = weights_param()
    weight_transform: str = weight_transform_param()

    cubic = True
    weights_: Any = learnt()

    def _keep(self, by_column: Any, data: Interactions, l1: float) -> None:
        """Keeps B, given its columns as rows. Raises TrainingError if all weights are zero although
        a user has two items: all would be recommended the same."""
        if not by_column.nnz and np.diff(data.matrix.indptr).max() > 1:
            raise TrainingError(
                f"all weights are zero at l1={l1}: no two items have so many users in common, or "
                "weights so large; lower l1",
                parameter="l1",
                value=l1,
            )
        self.weights_ = sp.csr_matrix(by_column.T, dtype=np.float32)
        self.weights_.sort_indices()

    def _score_rows(self, matrix: Any) -> Tensor:
        histories = weighted(self, matrix, "both")
        product = sp.csr_matrix(histories @ self.weights_)
        return torch.from_numpy(product.toarray().astype(np.float32))

    def _explain_rows(self, matrix: Any, columns: Tensor) -> Parts:
        return Parts.of(from_sparse(weighted(self, matrix, "both"), columns, self.weights_), SUM)

    def _onnx_scores(self, histories: Histories) -> Value:
        read = histories.weighted(self, "both")
        return read.spread(self.weights_, read.values)

    def _similarities(self, codes: np.ndarray) -> Tensor:
        """Rows of `weights_`: how much each of some items adds to the scores of all others."""
        return torch.from_numpy(self.weights_[codes].toarray())

    def _arrays(self) -> Mapping[str, Tensor]:
        return csr_to_arrays("weights", self.weights_)

    def _restore(self, arrays: Mapping[str, Tensor]) -> None:
        n = len(self.items_)
        self.weights_ = csr_from_arrays("weights", arrays, (n, n))
