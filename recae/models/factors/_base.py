"""The base of the models that score items by products of factors."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from recae import training
from recae.data import Interactions
from recae.data.splits import Fold
from recae.errors import TrainingError
from recae.estimators.params import estimator, learnt, param
from recae.nn.products import FactoredScores
from recae.recommend.base import Recommender
from recae.recommend.explain.parts import SUM, Parts, from_factors
from recae.recommend.frozen import tensor_of
from recae.recommend.onnx.graph import Value, apply
from recae.recommend.onnx.histories import Histories
from recae.recommend.saved import expect
from recae.recommend.sparse import summed, summed_one
from recae.recommend.weights import (
    transformed,
    values_of_one,
    weight_transform_param,
    weighted,
    weights_param,
)


class Stopped(Exception):
    """A callback wants the training to end."""


def report_epoch(run: training.Run, number: int, loss: float, seconds: float) -> None:
    """Calls the callbacks of a fit by `implicit`; raises Stopped if one of them returns True."""
    if run.callbacks:  # else no loss was computed
        epoch = training.Epoch(number, float(loss), seconds)
        wanted = [callback(epoch) for callback in run.callbacks]
        if any(wanted):
            raise Stopped


@estimator
class FactorRecommender(Recommender):
    """score_ui = x_u . y_i: a model supplies the y_i in `_fit`, and x_u in `_embed_rows`."""

    latent: int = param("number of factors", default=64, low=1, usual=(16, 512))

    item_factors_: np.ndarray = learnt()

    def _score_rows(self, matrix: Any) -> FactoredScores:
        return FactoredScores(self._embed_rows(matrix), self._item_vectors())

    def _onnx_scores(self, histories: Histories) -> Value:
        return apply("Gemm", self._onnx_codes(histories), self.item_factors_, transB=1)

    def _onnx_codes(self, histories: Histories) -> Value:
        """What `_embed_rows` gives, in an ONNX graph: (rows, latent) float32."""
        raise NotImplementedError

    def _item_vectors(self) -> Tensor:
        return tensor_of(self.item_factors_)

    def _arrays(self) -> Mapping[str, Tensor]:
        return {"item_factors": tensor_of(self.item_factors_)}

    def _restore(self, arrays: Mapping[str, Tensor]) -> None:
        self.item_factors_ = expect(arrays["item_factors"], len(self.items_), self.latent).numpy()


@estimator
class SVDRecommender(FactorRecommender):
    """score_x = (x E) F': E embeds histories, and F holds the item factors.

    A model supplies E and F, each (n_items, latent), from singular vectors.
    """

    latent: int = param(
        "number of singular vectors, at most; tune it", default=64, low=1, usual=(16, 512)
    )
    weights: str = weights_param()
    weight_transform: str = weight_transform_param()

    input_factors_: np.ndarray = learnt()

    uses_device = True

    @abstractmethod
    def _factors(
        self, matrix: Any, read: Callable[[Any], Any], options: dict[str, Any]
    ) -> tuple[np.ndarray, np.ndarray]:
        """E and F, given CSR histories and what reads X from some of them. options: of
        `truncated_svd`."""

    def _fit(self, data: Interactions, validation: Fold | None, run: training.Run) -> None:
        """Computes the factors of this model's decomposition. Raises TrainingError if they are not
        finite."""
        options = dict(device=run.device, progress=run.progress)
        with np.errstate(over="ignore"):
            factors = self._factors(data.matrix, lambda part: weighted(self, part, "both"), options)
            self.input_factors_, self.item_factors_ = (
                np.ascontiguousarray(part, dtype=np.float32) for part in factors
            )
        if not all(np.isfinite(part).all() for part in (self.input_factors_, self.item_factors_)):
            raise TrainingError(
                "the factors are too large for float32: set weight_transform='log1p', or scale the "
                "weights of interactions down",
                parameter="weights",
                value=self.weights,
            )

    def _embed_rows(self, matrix: Any) -> Tensor:
        used = self.weights == "both"
        histories = transformed(self, matrix) if used else matrix
        return summed(histories, tensor_of(self.input_factors_), used)

    def _explain_rows(self, matrix: Any, columns: Tensor) -> Parts:
        factors = tensor_of(self.input_factors_), tensor_of(self.item_factors_)
        return Parts.of(from_factors(weighted(self, matrix, "both"), columns, *factors), SUM)

    def _score_one(self, codes: np.ndarray) -> FactoredScores:
        table = tensor_of(self.input_factors_)
        code = summed_one(codes, table, values_of_one(self, codes, "both"))
        return FactoredScores(code[None], self._item_vectors())

    def _onnx_codes(self, histories: Histories) -> Value:
        return histories.weighted(self, "both").bag(self.input_factors_)

    def _arrays(self) -> Mapping[str, Tensor]:
        return {**super()._arrays(), "input_factors": tensor_of(self.input_factors_)}

    def _restore(self, arrays: Mapping[str, Tensor]) -> None:
        super()._restore(arrays)
        shape = len(self.items_), self.latent
        self.input_factors_ = expect(arrays["input_factors"], *shape).numpy()
