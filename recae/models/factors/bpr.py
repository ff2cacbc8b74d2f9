"""BPR: matrix factorisation with a pairwise ranking loss."""

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
from recae.data.splits import Fold
from recae.errors import TrainingError
from recae.estimators.params import estimator, learnt, param
from recae.models.factors._base import FactorRecommender, Stopped, report_epoch
from recae.nn.products import FactoredScores
from recae.recommend.explain.parts import LENGTH, Parts, from_factors
from recae.recommend.frozen import tensor_of
from recae.recommend.onnx.graph import Value
from recae.recommend.onnx.histories import Histories
from recae.recommend.saved import expect
from recae.recommend.sparse import with_weights_or_ones
from recae.rng import numpy_generator
from recae.system.progress import bar
from recae.system.threads import ONE_BLAS


@estimator
class BPR(FactorRecommender):
    """Matrix factorisation by Bayesian personalised ranking, new users folded in.

    max sum over (u, i, j) of ln sigma(s_ui - s_uj) - l2 / 2 |.|^2, with s_ui = x_u . y_i + b_i, an
    item i that u has and an item j drawn from the others, by its popularity as `implicit` does it;
    in the paper all are as likely. A user is then folded in, known or new, as the mean of the
    factors of the items in the history: x_u = mean y_i.

    Rendle, Freudenthaler, Gantner & Schmidt-Thieme, "BPR: Bayesian Personalized Ranking from
    Implicit Feedback", UAI 2009; trained by `implicit`, on one thread, because its threads race and
    no seed would repeat. The factors it learns for users are dropped: a user is a history here, and
    the mean ranked held-out items far better than they did (figures in CHANGELOG). An epoch costs
    interactions x latent; memory is (users + items) x latent while fitting.

    >>> data = recae.Interactions.from_csr(scipy.sparse.csr_matrix([[1, 1, 0], [0, 1, 1.0]]))
    >>> recae.BPR(latent=4, epochs=5).fit(data).recommend(0)["item_id"].tolist()
    [2]
    """

    name = "bpr"
    uses_seed = True
    uses_callbacks = True
    small = dict(latent=5, epochs=5)

    lr: float = param("learning rate", default=0.05, above=0, usual=(0.005, 0.2))
    l2: float = param("weight of the squared factors", default=0.01, low=0, usual=(1e-4, 0.1))
    epochs: int = param(
        "passes, of as many draws as there are interactions", default=60, low=1, usual=(20, 200)
    )

    item_biases_: np.ndarray = learnt()

    def _fit(self, data: Interactions, validation: Fold | None, run: training.Run) -> None:
        """Epochs of implicit's BPR in one thread: with several, the same seed would give other
        factors."""
        from implicit.cpu.bpr import BayesianPersonalizedRanking
        from implicit.recommender_base import ModelFitError

        with bar(self.epochs, type(self).__name__, "epoch", run.progress) as progress_bar, ONE_BLAS:
            model = BayesianPersonalizedRanking(
                factors=self.latent,
                learning_rate=self.lr,
                regularization=self.l2,
                iterations=self.epochs,
                num_threads=1,
                random_state=int(numpy_generator(run.seed).integers(2**31)),
            )
            histories = with_weights_or_ones(data.matrix, weighted=False).copy()

            def after_epoch(epoch: int, seconds: float, right: int, skipped: int) -> None:
                progress_bar.update()
                wrong = 1 - right / max(data.nnz - skipped, 1)
                report_epoch(run, epoch + 1, wrong, seconds)

            try:
                model.fit(
                    histories,  # a copy: implicit takes no read-only arrays
                    show_progress=False,
                    callback=after_epoch,
                )
            except Stopped:
                pass
            except ModelFitError as error:
                raise self._no_numbers() from error
        if not np.isfinite(model.item_factors).all():
            raise self._no_numbers()
        self.item_factors_ = np.ascontiguousarray(model.item_factors[:, :-1])
        self.item_biases_ = np.ascontiguousarray(model.item_factors[:, -1])

    def _no_numbers(self) -> TrainingError:
        return TrainingError(f"the factors are no longer numbers: lower lr (now {self.lr})")

    def _embed_rows(self, matrix: Any) -> Tensor:
        means = _means(matrix)
        return torch.from_numpy((means @ self.item_factors_).astype(np.float32))  # (rows, latent)

    def _score_rows(self, matrix: Any) -> FactoredScores:
        return replace(super()._score_rows(matrix), bias=tensor_of(self.item_biases_))

    def _explain_rows(self, matrix: Any, columns: Tensor) -> Parts:
        items = tensor_of(self.item_factors_)
        found = from_factors(_means(matrix), columns, items, items)
        return Parts.of(found, LENGTH, tensor_of(self.item_biases_)[columns])

    def _onnx_codes(self, histories: Histories) -> Value:
        shares = 1.0 / histories.lengths.to("float32")[histories.row]
        return histories.with_values(shares).bag(self.item_factors_)

    def _onnx_scores(self, histories: Histories) -> Value:
        return super()._onnx_scores(histories) + self.item_biases_

    def _arrays(self) -> Mapping[str, Tensor]:
        return {**super()._arrays(), "item_biases": tensor_of(self.item_biases_)}

    def _restore(self, arrays: Mapping[str, Tensor]) -> None:
        super()._restore(arrays)
        self.item_biases_ = expect(arrays["item_biases"], len(self.items_)).numpy()


def _means(matrix: Any) -> Any:
    """CSR histories whose entries are 1 / (entries of the row)."""
    lengths = np.maximum(np.diff(matrix.indptr), 1)
    shares = np.repeat(1 / lengths, np.diff(matrix.indptr))
    return sp.csr_matrix((shares, matrix.indices, matrix.indptr), shape=matrix.shape)
