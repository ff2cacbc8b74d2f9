"""ALS: implicit matrix factorisation, through the library `implicit`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from recae.data import Interactions
from recae.recommender import Recommender, Run, estimator, learnt, param
from recae.rng import numpy_generator
from recae.splits import Fold
from recae.training import bar

TILE = 64
"""Rows scored together, padded when fewer, so that a row's scores never depend on its company."""


@estimator
class ALS(Recommender):
    """Implicit-feedback matrix factorisation by alternating least squares.

    min sum_ui c_ui (p_ui - x_u . y_i)^2 + l2 (sum |x_u|^2 + sum |y_i|^2), with p_ui = 1 where there
    is an interaction, c_ui = alpha (times its weight) there and 1 elsewhere.

    Hu, Koren & Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", ICDM 2008;
    fitted by `implicit` with conjugate gradients (Takacs, Pilaszy & Tikk 2011). Every user, known
    or new, is folded in: x_u is solved exactly from the history given (Hu et al., eq. 4). A strong
    baseline when alpha, l2 and the number of factors are tuned. A sweep costs about
    interactions x factors^2; memory is (users + items) x factors.
    """

    name = "als"

    latent: int = param(64, "number of factors", low=1)
    l2: float = param(10.0, "weight of the squared factors", low=0)
    alpha: float = param(10.0, "confidence of an interaction, beside 1 for none", low=0)
    epochs: int = param(15, "sweeps over users and items", low=1)
    weights: str = param(
        "neither", "whether confidence grows with the weight", choices=("neither", "target")
    )

    item_factors_: np.ndarray = learnt()

    def _fit(self, data: Interactions, validation: Fold | None, run: Run) -> None:
        model = self._implicit(int(numpy_generator(run.seed).integers(2**31)))
        with bar(self.epochs, type(self).__name__, "sweep", run.progress) as shown, one_blas():
            model.fit(
                self._confidences(data.matrix),
                show_progress=False,
                callback=lambda *progress: shown.update(),
            )
        self.item_factors_ = model.item_factors
        self._solver = model

    def _implicit(self, seed: int = 0) -> Any:
        from implicit.cpu.als import AlternatingLeastSquares

        with one_blas():  # implicit warns about BLAS threads where it is made
            return AlternatingLeastSquares(
                factors=self.latent,
                regularization=self.l2,
                iterations=self.epochs,
                random_state=seed,
            )

    def _confidences(self, matrix: Any) -> Any:
        """alpha x weight, as a matrix of our own: implicit is handed nothing of the caller's."""
        data = matrix.data if self.weights == "target" else np.ones_like(matrix.data)
        values = (self.alpha * data).astype(np.float32)
        indices, indptr = matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32)
        return sp.csr_matrix((values, indices, indptr), shape=matrix.shape)

    def _embed_rows(self, matrix: Any) -> Tensor:
        with one_blas():
            rows = np.arange(matrix.shape[0])
            return torch.from_numpy(
                self._solver.recalculate_user(rows, self._confidences(matrix))
            )  # (rows, latent)

    def _score_rows(self, matrix: Any) -> Tensor:
        users = self._embed_rows(matrix)
        items = torch.from_numpy(self.item_factors_)
        scores = torch.empty(len(users), len(items))
        padded = torch.zeros(TILE, self.latent)
        for start in range(0, len(users), TILE):
            some = users[start : start + TILE]
            padded[: len(some)] = some
            scores[start : start + TILE] = (padded @ items.t())[: len(some)]
        return scores

    @property
    def item_embeddings_(self) -> np.ndarray:
        """The item factors, (n_items, latent) float32."""
        return self.item_factors_

    def _arrays(self) -> Mapping[str, Tensor]:
        return {"item_factors": torch.from_numpy(self.item_factors_)}

    def _restore(self, arrays: Mapping[str, Tensor]) -> None:
        self.item_factors_ = arrays["item_factors"].numpy()
        self._solver = self._implicit()
        self._solver.item_factors = self.item_factors_


@contextmanager
def one_blas() -> Iterator[None]:
    """BLAS on one thread inside the block: implicit has threads of its own and crawls otherwise."""
    with threadpool_limits(1, user_api="blas"):
        yield
