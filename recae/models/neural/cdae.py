"""CDAE: the collaborative denoising autoencoder."""

from __future__ import annotations

from typing import Any, ClassVar

from recae import training
from recae.estimators.params import estimator, param
from recae.models.neural._base import NeuralRecommender, dropout_param
from recae.nn import AutoencoderNet, Decoder, Dropout, InputLinear, LinearHead, UserNodes, mlp


@estimator
class CDAE(NeuralRecommender):
    """A denoising autoencoder with one hidden layer and a node for every training user.

    z = sigma(W' dropout(x) + V_u + a), f = U z + b; loss = sum_i l(x_i, f_i), plus l2, over all
    items or, with `negatives`, over the history and some items drawn for each of its entries.

    Wu, DuBois, Zheng & Ester, "Collaborative Denoising Auto-Encoders for Top-N Recommender
    Systems", WSDM 2016. The published model is transductive: only training users have a node V_u.
    Here a user is a history, so recommending uses the mean of all nodes for known and new users.
    Mult-DAE is a better successor. An epoch costs 6 x users x items x latent operations, or
    interactions x (1 + negatives) x latent; memory is (2 x items + users) x latent weights, their
    gradients and moments. As in the paper, W and U are two matrices (the authors' code can tie
    them). It trains with AdaGrad (optimiser="adagrad", lr=0.1), five negatives and the logistic
    loss. A negative that is drawn twice counts twice in the paper and once here.

    >>> recae.CDAE(latent=2, epochs=2).fit(data).score(data).shape
    (5, 4)
    """

    name = "cdae"
    small = dict(latent=8, epochs=2, batch_size=10, lr=0.01, negatives=3)
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        # The authors' script for Yelp.
        "paper": dict(latent=50, negatives=5, optimiser="adagrad", lr=0.1, loss="logistic")
    }

    # At 0.001 it stays at item popularity for more epochs than the default patience.
    lr: float = param("learning rate", default=1e-2, above=0, usual=(1e-4, 1e-2))
    dropout: float = dropout_param()
    loss: str = param(
        "loss of the score of an item against the history",
        default="logistic",
        choices=("logistic", "squared"),
    )
    negatives: int = param(
        "items drawn against each interaction; 0 compares with all items",
        default=0,
        low=0,
        usual=(0, 10),
    )

    def _network(self, n_items: int, n_users: int) -> AutoencoderNet:
        return AutoencoderNet(
            corrupt=Dropout(self.dropout),
            encoder=InputLinear(n_items, self.latent),
            code=UserNodes(n_users, self.latent),
            decoder=Decoder(mlp(()), LinearHead(self.latent, n_items)),
        )

    def _loader(self, input: Any, target: Any | None, seed: int) -> training.SparseLoader:
        if not self.negatives:
            return super()._loader(input, target, seed)
        return training.NegativesLoader(
            input, target, self.batch_size, seed, negatives=self.negatives
        )

    def _objective(self, updates: int) -> training.Objective:
        return training.Objective(f"observed-{self.loss}" if self.negatives else self.loss)
