"""Baselines: random items, and the most popular ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from recae import training
from recae.data import Interactions
from recae.data.csr import column_counts
from recae.data.splits import Fold
from recae.estimators.params import estimator, learnt
from recae.recommend.base import Recommender
from recae.recommend.frozen import tensor_of
from recae.recommend.onnx.graph import Value, apply, joined
from recae.recommend.onnx.histories import Histories
from recae.recommend.saved import expect
from recae.recommend.weights import transformed, weight_transform_param, weights_param
from recae.rng import numpy_generator

ROWS = 64
"""Histories scored at a time; a cell takes 8 bytes while it is made."""

Bits = npt.NDArray[np.uint64]


@estimator
class Random(Recommender):
    """Recommends items in an order that is random, and the same for the same history.

    score_uj is uniform in [0, 1), hashed from the seed, the set of items in the history, and j.

    The reference of every comparison: the value of a metric for random lists on this data. Costs
    nothing to fit; memory is 8 bytes an item.

    >>> data = recae.Interactions.from_csr(scipy.sparse.csr_matrix([[1, 0, 0], [0, 1, 1.0]]))
    >>> model = recae.Random().fit(data, seed=3)
    >>> sorted(model.recommend(0)["item_id"])
    [1, 2]
    """

    name = "random"
    personalised = False
    needs_history = False
    uses_seed = True

    item_keys_: Bits = learnt()

    def _fit(self, data: Interactions, validation: Fold | None, run: training.Run) -> None:
        numbers = numpy_generator(run.seed).integers(2**64, size=data.n_items, dtype=np.uint64)
        self.item_keys_ = numbers

    def _score_rows(self, matrix: Any) -> Tensor:
        # The key of a history is the sum of its items' keys, modulo 2^64, so order is irrelevant.
        sums = np.zeros(len(matrix.indices) + 1, dtype=np.uint64)
        np.cumsum(self.item_keys_[matrix.indices], out=sums[1:])
        keys = sums[matrix.indptr[1:]] - sums[matrix.indptr[:-1]]
        scores = np.empty(matrix.shape, dtype=np.float32)
        for start in range(0, len(scores), ROWS):
            mixed = _mixed(_mixed(keys[start : start + ROWS, None]) ^ self.item_keys_)
            scores[start : start + ROWS] = (mixed >> np.uint64(40)) * np.float32(2**-24)
        return torch.from_numpy(scores)

    def _arrays(self) -> Mapping[str, Tensor]:
        return {"item_keys": tensor_of(self.item_keys_.view(np.int64))}

    def _restore(self, arrays: Mapping[str, Tensor]) -> None:
        keys = expect(arrays["item_keys"], len(self.items_), dtype=torch.int64)
        self.item_keys_ = keys.numpy().view(np.uint64)


def _mixed(bits: Bits) -> Bits:
    """The finaliser of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014): every bit depends on all."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


@estimator
class Popularity(Recommender):
    """Recommends the most popular items, the same for all users.

    score_i = number of training users with item i (or the sum of their weights).

    A baseline for every comparison, and a fallback for users without a history. It costs one pass
    over the interactions and one number per item.

    >>> data = recae.Interactions.from_csr(scipy.sparse.csr_matrix([[1, 1, 0], [0, 1, 1.0]]))
    >>> recae.Popularity().fit(data).recommend(0)["item_id"].tolist()
    [2]
    """

    name = "popularity"
    personalised = False
    needs_history = False

    weights: str = weights_param(
        "whether an interaction counts its weight or 1", choices=("neither", "target")
    )
    weight_transform: str = weight_transform_param()

    item_scores_: np.ndarray = learnt()

    def _fit(self, data: Interactions, validation: Fold | None, run: training.Run) -> None:
        if self.weights == "neither":
            self.item_scores_ = column_counts(data.matrix).astype(np.float64)
            return
        # Not matrix.sum: scipy adds float32 up in float32, whatever dtype is asked for.
        matrix = transformed(self, data.matrix)
        self.item_scores_ = np.bincount(matrix.indices, matrix.data, minlength=data.n_items)

    def _score_rows(self, matrix: Any) -> Tensor:
        with np.errstate(over="ignore"):  # ranking refuses inf
            scores = torch.from_numpy(self.item_scores_.astype(np.float32))
        return scores.repeat(matrix.shape[0], 1)  # (rows, n_items)

    def _onnx_scores(self, histories: Histories) -> Value:
        shape = joined(histories.rows, [histories.n_items])
        return apply("Expand", self.item_scores_.astype(np.float32), shape, dtype="float32")

    def _popularity(self) -> np.ndarray:
        return self.item_scores_

    def _arrays(self) -> Mapping[str, Tensor]:
        return {"item_scores": tensor_of(self.item_scores_)}

    def _restore(self, arrays: Mapping[str, Tensor]) -> None:
        scores = expect(arrays["item_scores"], len(self.items_), dtype=torch.float64)
        self.item_scores_ = scores.numpy()
