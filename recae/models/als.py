"""ALS: implicit matrix factorisation, through the library `implicit`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recae.data import Interactions
from recae.errors import ConfigError, TrainingError
from recae.recommender import ONE_BLAS, FactorRecommender, Run, estimator, param, valued
from recae.rng import numpy_generator
from recae.splits import Fold
from recae.training import bar


@estimator
class ALS(FactorRecommender):
    """Implicit-feedback matrix factorisation by alternating least squares.

    min sum_ui c_ui (p_ui - x_u . y_i)^2 + l2 (sum |x_u|^2 + sum |y_i|^2), with p_ui = 1 where there
    is an interaction, c_ui = alpha (times its weight) there and 1 elsewhere.

    Hu, Koren & Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", ICDM 2008;
    fitted by `implicit` with conjugate gradients (Takacs, Pilaszy & Tikk 2011). Every user, known
    or new, is folded in: x_u is solved exactly from the history given (Hu et al., eq. 4). A strong
    baseline when alpha, l2 and the number of factors are tuned. A sweep costs about
    interactions x factors^2; memory is (users + items) x factors.

    >>> recae.ALS(latent=2, epochs=3).fit(data).embed_users(data).shape
    (5, 2)
    """

    name = "als"

    l2: float = param("weight of the squared factors", default=10.0, low=0)
    alpha: float = param("confidence of an interaction, beside 1 for none", default=10.0, above=0)
    epochs: int = param("sweeps over users and items", default=15, low=1)
    weights: str = param(
        "whether confidence grows with the weight", default="neither", choices=("neither", "target")
    )

    def _fit(self, data: Interactions, validation: Fold | None, run: Run) -> None:
        from implicit.recommender_base import ModelFitError

        model = self._implicit(int(numpy_generator(run.seed).integers(2**31)))
        with bar(self.epochs, type(self).__name__, "sweep", run.progress) as shown, ONE_BLAS:
            try:
                model.fit(
                    self._confidences(data.matrix),
                    show_progress=False,
                    callback=lambda *progress: shown.update(),
                )
            except ModelFitError as error:
                raise TrainingError(
                    f"the factors are no longer numbers: raise l2 (now {self.l2}) or lower alpha "
                    f"(now {self.alpha}); extreme weights do this too, if they reach the model"
                ) from error
        self.item_factors_ = model.item_factors
        self._solver = model

    def _implicit(self, seed: int = 0) -> Any:
        from implicit.cpu.als import AlternatingLeastSquares

        with ONE_BLAS:  # implicit warns about BLAS threads where it is made
            return AlternatingLeastSquares(
                factors=self.latent,
                regularization=self.l2,
                iterations=self.epochs,
                random_state=seed,
            )

    def _confidences(self, matrix: Any) -> Any:
        """alpha x weight, as a matrix of our own: implicit is handed nothing of the caller's."""
        with np.errstate(over="ignore"):  # what is not finite then is not finite in the factors
            return valued(matrix, self.weights == "target") * np.float32(self.alpha)

    def _embed_rows(self, matrix: Any) -> Tensor:
        rows, confidences = np.arange(matrix.shape[0]), self._confidences(matrix)
        with ONE_BLAS:
            try:
                users = self._solver.recalculate_user(rows, confidences)
            except ValueError as error:
                raise ConfigError(
                    f"the factors of a user have no solution at l2={self.l2}: raise l2"
                ) from error
        return torch.from_numpy(users)  # (rows, latent)

    def _restore(self, arrays: Mapping[str, Tensor]) -> None:
        super()._restore(arrays)
        self._solver = self._implicit()
        self._solver.item_factors = self.item_factors_
