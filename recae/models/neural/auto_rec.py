"""AutoRec: an autoencoder that predicts ratings; its loss covers only the rated items."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from recae import training
from recae.data import Interactions
from recae.data.splits import Fold
from recae.errors import DataError
from recae.estimators.params import estimator, param
from recae.models.neural._base import NeuralRecommender
from recae.nn import (
    AutoencoderNet,
    Decoder,
    DeterministicCode,
    LinearHead,
    NoCorruption,
    encoder_mlp,
    mlp,
)
from recae.ranking.batches import ScoreRows
from recae.recommend.requests import align, rating_error


@estimator
class AutoRec(NeuralRecommender):
    """An autoencoder of explicit ratings: scores are predicted ratings.

    f(x) = W g(V x + a) + b;  loss = sum over the rated i of (x_i - f_i)^2, plus l2.

    Sedhain, Menon, Sanner & Xie, "AutoRec: Autoencoders Meet Collaborative Filtering", WWW 2015, in
    its user-based form (U-AutoRec), because a user is a history here. Differences from the paper
    are the optimiser (there Rprop or L-BFGS) and items without ratings (there 3). Validation keeps
    the epoch with the lowest root mean squared error, which `rmse` measures. A high rating does not
    predict the next choice: for top-k lists try Mult-DAE. An epoch costs 4 x ratings x latent
    operations; memory is 2 x items x latent weights, their gradients and moments.

    >>> recae.AutoRec(latent=2, epochs=2).fit(data).score(data).shape
    (5, 4)
    """

    name = "auto-rec"
    small = dict(latent=8, epochs=2, batch_size=10, lr=0.01)

    lowest_is_best: ClassVar[bool] = True
    predicts_ratings: ClassVar[bool] = True

    metric: str = param(
        "validation metric that decides which epoch is kept", default="rmse", choices=("rmse",)
    )
    weights: str = param(
        "where the ratings go; elsewhere every interaction counts 1",
        default="both",
        choices=("neither", "input", "target", "both"),
    )
    weight_transform: str = param(
        "scores are ratings in their own unit, so there is no transform",
        default="none",
        choices=("none",),
        added=True,
    )
    activation: str = param("g", default="sigmoid", choices=("sigmoid", "tanh", "relu", "swish"))

    def _validator(
        self, score_rows: ScoreRows, validation: Fold, data: Interactions
    ) -> Callable[[], Mapping[str, float]]:
        histories = align(validation.history, data.items).matrix
        targets = align(validation.target, data.items).matrix
        if not targets.nnz:
            raise DataError("the training data have no item of the validation targets")
        return lambda: {"rmse": rating_error(score_rows, histories, targets)}

    def _network(self, n_items: int, n_users: int) -> AutoencoderNet:
        return AutoencoderNet(
            corrupt=NoCorruption(),
            encoder=encoder_mlp(n_items, (self.latent,), self.activation),
            code=DeterministicCode(),
            decoder=Decoder(mlp(()), LinearHead(self.latent, n_items)),
        )

    def _objective(self, updates: int) -> training.Objective:
        return training.Objective("observed-squared")
