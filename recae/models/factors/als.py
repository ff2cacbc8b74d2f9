"""ALS: implicit matrix factorisation, through the library `implicit`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from recae import training
from recae.data import Interactions
from recae.data.splits import Fold
from recae.errors import TrainingError, TrainingInterrupted
from recae.estimators.params import estimator, param
from recae.models.factors._base import FactorRecommender, Stopped, report_epoch
from recae.models.factors._fold_in import FoldIn
from recae.models.factors._onnx_fold_in import onnx_scores
from recae.nn.products import FactoredScores
from recae.recommend.explain.parts import Padded, Parts
from recae.recommend.onnx.graph import Value
from recae.recommend.onnx.histories import Histories
from recae.recommend.saved import checkpoint
from recae.recommend.weights import (
    values_of_one,
    weight_transform_param,
    weighted,
    weights_param,
)
from recae.rng import numpy_generator
from recae.system.progress import bar, say
from recae.system.threads import ONE_BLAS


@estimator
class ALS(FactorRecommender):
    """Implicit-feedback matrix factorisation by alternating least squares.

    min sum_ui c_ui (p_ui - x_u . y_i)^2 + l2 (sum |x_u|^2 + sum |y_i|^2), with p_ui = 1 where there
    is an interaction, c_ui = alpha (times its weight) there and 1 elsewhere.

    Hu, Koren & Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", ICDM 2008;
    fitted by `implicit` with conjugate gradients (Takacs, Pilaszy & Tikk 2011). Every user, known
    or new, is folded in: x_u is solved exactly from the history given (Hu et al., eq. 4). In the
    paper the confidence is 1 + alpha x weight, in `implicit` and here alpha x weight. A strong
    baseline when alpha, l2 and the number of factors are tuned. A sweep costs about
    interactions x factors^2; memory is (users + items) x factors, and items x factors for scoring.

    >>> recae.ALS(latent=2, epochs=3).fit(data).embed_users(data).shape
    (5, 2)
    """

    name = "als"
    uses_seed = True
    uses_callbacks = True
    uses_checkpoint = True
    small = dict(latent=5, epochs=3, l2=0.7, alpha=3.5)

    l2: float = param("weight of the squared factors", default=10.0, low=0, usual=(0.1, 1000))
    alpha: float = param(
        "confidence of an interaction, beside 1 for none", default=10.0, above=0, usual=(1, 100)
    )
    epochs: int = param("sweeps over users and items", default=15, low=1, usual=(5, 30))
    weights: str = weights_param(
        "whether confidence grows with the weight", choices=("neither", "target")
    )
    weight_transform: str = weight_transform_param()

    def _fit(self, data: Interactions, validation: Fold | None, run: training.Run) -> None:
        """Sweeps of implicit's ALS, with a checkpoint after each. An interrupted fit keeps the
        factors of the last complete sweep."""
        from implicit.recommender_base import ModelFitError

        x = data.matrix  # `implicit` may change its input, which is therefore a copy
        parts = (self._confidences(x), x.indices.copy(), x.indptr.copy())
        confidences = sp.csr_matrix(parts, shape=x.shape)
        seed = int(numpy_generator(run.seed).integers(2**31))
        sweeps = _Sweeps(self._implicit(seed, with_loss=bool(run.callbacks)))
        kept = checkpoint(self, data, None, run)
        if kept is not None:
            kept.resume(sweeps)
        try:
            name, progress, done = type(self).__name__, run.progress, sweeps.done
            if kept is not None and done:
                say(f"{name}: resumed after sweep {done} of {self.epochs}, {kept.path}", progress)
            shown = bar(self.epochs, name, "sweep", progress, initial=done)
            with shown as progress_bar, ONE_BLAS:

                def after_sweep(_: int, seconds: float, loss: float) -> None:
                    sweeps.done += 1
                    progress_bar.update()
                    if kept is not None:
                        kept.after_epoch(sweeps)
                    report_epoch(run, sweeps.done, loss, seconds)

                if not sweeps.finished:
                    sweeps.go_on(confidences, after_sweep)
        except ModelFitError as error:
            raise self._no_numbers() from error
        except Stopped:
            if not np.isfinite(sweeps.model.item_factors).all():
                raise self._no_numbers() from None
        except KeyboardInterrupt:
            if not sweeps.done:
                raise
            self._own_factors(sweeps.model)
            raise TrainingInterrupted(
                f"interrupted after {sweeps.done} of {self.epochs} sweeps; the model keeps its "
                "factors as they were then"
            ) from None
        self._own_factors(sweeps.model)

    def _no_numbers(self) -> TrainingError:
        return TrainingError(
            f"the factors are no longer numbers: raise l2 (now {self.l2}) or lower alpha "
            f"(now {self.alpha}); extreme weights do this too, if they reach the model: "
            "weight_transform='log1p' tames them"
        )

    def _own_factors(self, model: Any) -> None:
        self.item_factors_ = model.item_factors
        self._fold_in: FoldIn | None = None  # made from the item factors when it is needed

    def _implicit(self, seed: int, with_loss: bool) -> Any:
        """A fresh model of implicit. It computes its loss only if a callback wants it."""
        from implicit.cpu.als import AlternatingLeastSquares

        with ONE_BLAS:  # implicit warns about BLAS threads where it is made
            return AlternatingLeastSquares(
                factors=self.latent,
                regularization=self.l2,
                iterations=self.epochs,
                random_state=seed,
                calculate_training_loss=with_loss,
            )

    def _confidences(self, matrix: Any) -> np.ndarray:
        """alpha x weight of each entry, (entries,) float32."""
        values = weighted(self, matrix, "target").data
        with np.errstate(over="ignore"):  # overflow shows in the factors
            confidences: np.ndarray = values * np.float32(self.alpha)
        return confidences

    def _solver(self) -> FoldIn:
        if self._fold_in is None:
            self._fold_in = FoldIn(self.item_factors_, self.l2)
        return self._fold_in

    def _score_rows(self, matrix: Any) -> FactoredScores:
        return self._solver().scores(matrix, self._confidences(matrix))

    def _score_one(self, codes: np.ndarray) -> FactoredScores:
        values = values_of_one(self, codes, "target")
        values = np.ones(len(codes), dtype=np.float32) if values is None else values
        with np.errstate(over="ignore"):
            return self._solver().scores_of_one(codes, values * np.float32(self.alpha))

    def _embed_rows(self, matrix: Any) -> Tensor:
        return self._solver().vectors(matrix, self._confidences(matrix))

    def _explain_rows(self, matrix: Any, columns: Tensor) -> Parts:
        """Hu et al. (2008), section 5: x_u is linear in the preferences, given the matrix."""
        some = Padded.of(matrix)
        confidences = some.spread(torch.from_numpy(self._confidences(matrix)).double())
        found = self._solver().parts(some.items, confidences, columns)
        return Parts.of(found, "exact, given the confidences: x_u is a weighted sum over the items")

    def _onnx_scores(self, histories: Histories) -> Value:
        read = histories.weighted(self, "target")
        return onnx_scores(self._solver(), read.with_values(read.values * self.alpha))

    def _restore(self, arrays: Mapping[str, Tensor]) -> None:
        super()._restore(arrays)
        self._fold_in = None


class _Sweeps:
    """A fit by `implicit`, sweep by sweep, in the interface of a checkpoint. Only the initial
    factors are random; a sweep depends on the factors of users and items alone."""

    device = "cpu"

    def __init__(self, model: Any) -> None:
        self.model, self.done, self.planned = model, 0, model.iterations

    @property
    def finished(self) -> bool:
        return bool(self.done == self.planned)

    def go_on(self, confidences: Any, after_sweep: Any) -> None:
        self.model.iterations = self.planned - self.done
        self.model.fit(confidences, show_progress=False, callback=after_sweep)

    def tensors(self) -> dict[str, Tensor]:
        return {
            "users": torch.from_numpy(self.model.user_factors),
            "items": torch.from_numpy(self.model.item_factors),
        }

    def progress(self) -> dict[str, Any]:
        return {"done": self.done}

    def put(self, tensors: Mapping[str, Tensor], progress: Mapping[str, Any]) -> None:
        self.model.user_factors = tensors["users"].numpy()
        self.model.item_factors = tensors["items"].numpy()
        self.done = progress["done"]
