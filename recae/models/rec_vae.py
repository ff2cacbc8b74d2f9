"""RecVAE: Mult-VAE with a deeper encoder, a prior that remembers, and alternating training."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from recae.nn import (
    AutoencoderNet,
    Batch,
    Chain,
    CompositeGaussian,
    Decoder,
    Dense,
    Dropout,
    InputLinear,
    LinearHead,
    Posterior,
    UnitNorm,
    mlp,
    remember,
)
from recae.objective import Objective
from recae.recommender import AutoencoderRecommender, estimator, param
from recae.training import Phase

EPS = 0.1
"""Added to the variance in layer normalisation; the authors' value, far above the usual 1e-5."""


@estimator
class RecVAE(AutoencoderRecommender):
    """A variational autoencoder held to its own past: encoder and decoder learn in turns.

    z ~ N(mu(x), sigma(x)^2), f = W z + b;
    loss = -sum_i x_i log softmax(f)_i + gamma |x| (log q(z | x) - log p(z | x)), plus l2, where p
    mixes N(0, 1) (3/20), N(0, e^10) (1/10) and the posterior of the encoder as it was a round ago
    (3/4), and |x| is the length of the history. In a round the encoder learns for
    `encoder_epochs` epochs from corrupted histories, then the decoder for one from whole ones.

    Shenbin, Alekseev, Tutubalina, Malykh & Nikolenko, "RecVAE: a New Variational Autoencoder for
    Top-N Recommendations with Implicit Feedback", WSDM 2020; the authors' master branch is
    followed, where the old posterior is that of an old encoder. Better than Mult-VAE on dense data,
    for about the same time. An epoch costs 6 x users x items x latent operations for the decoder
    and half for the encoder; memory is 3 x items x width weights, their gradients and moments.

    >>> recae.RecVAE(latent=2, width=3, epochs=4).fit(data).score(data).shape
    (5, 4)
    """

    name = "rec-vae"
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        # ML-20M, the authors' code: 50 rounds of three epochs and one.
        "paper": dict(
            latent=200, width=600, depth=5, epochs=200, batch_size=500, lr=5e-4, gamma=0.005
        )
    }

    patience: int = param("epochs without a new best before training stops", default=20, low=1)
    width: int = param("width of the encoder's layers", default=600, low=1, usual=(128, 1024))
    depth: int = param("layers of the encoder", default=5, low=1, usual=(1, 6))
    dropout: float = param(
        "share of a history hidden from the encoder while it learns",
        default=0.5,
        low=0,
        high=0.99,
        usual=(0, 0.8),
    )
    gamma: float = param(
        "weight of the KL term per interaction", default=0.005, low=0, usual=(0.001, 0.02)
    )
    encoder_epochs: int = param(
        "epochs of the encoder for one of the decoder", default=3, low=1, usual=(1, 5)
    )

    def _network(self, n_items: int, n_users: int) -> AutoencoderNet:
        def encoder() -> Dense:
            return Dense(InputLinear(n_items, self.width), self.width, self.depth, EPS)

        old = Posterior(UnitNorm(), encoder(), self.width, self.latent)
        return AutoencoderNet(
            corrupt=Chain(UnitNorm(), Dropout(self.dropout)),
            encoder=encoder(),
            code=CompositeGaussian(self.width, self.latent, old),
            decoder=Decoder(mlp(()), LinearHead(self.latent, n_items)),
        )

    def _objective(self, updates: int) -> Objective:
        def weight(batch: Batch, step: int) -> Tensor:
            lengths: Tensor = self.gamma * batch.target_sums()  # (rows,)
            return lengths

        return Objective("multinomial", {"kl": weight})

    def _phases(self) -> tuple[Phase, ...]:
        return (
            Phase(self.encoder_epochs, ("encoder", "code"), start=remember),
            Phase(1, ("decoder",), corrupt=False),
        )
