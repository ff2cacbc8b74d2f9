"""The base of the models that score items by products of factors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recae.recommender.base import Recommender
from recae.recommender.hyperparameters import estimator, learnt, param
from recae.recommender.persistence import expect
from recae.recommender.tiles import Products


@estimator
class FactorRecommender(Recommender):
    """score_ui = x_u . y_i: a model supplies the y_i in `_fit`, and x_u in `_embed_rows`."""

    latent: int = param("number of factors", default=64, low=1, usual=(16, 512))

    item_factors_: np.ndarray = learnt()

    def _products(self, matrix: Any) -> Products:
        """The scores of CSR histories, not yet computed."""
        return Products(self._embed_rows(matrix), self._item_vectors())

    def _scores(self, matrix: Any) -> Tensor | Products:
        return self._products(matrix)

    def _score_rows(self, matrix: Any) -> Tensor:
        return self._products(matrix).dense()

    def _item_vectors(self) -> Tensor:
        return torch.from_numpy(self.item_factors_)

    def _arrays(self) -> Mapping[str, Tensor]:
        return {"item_factors": torch.from_numpy(self.item_factors_)}

    def _restore(self, arrays: Mapping[str, Tensor]) -> None:
        self.item_factors_ = expect(arrays["item_factors"], len(self.items_), self.latent).numpy()
