"""The base of the VASP family: focal loss on split histories, and densely connected networks."""

from __future__ import annotations

from typing import Any, ClassVar

from recae.estimators.params import estimator, param
from recae.models.neural._base import NeuralRecommender
from recae.nn import (
    AutoencoderNet,
    DenselyConnected,
    Gaussian,
    InputLinear,
    Linear,
    NoCorruption,
    ProductDecoder,
)
from recae.training import OPTIMISERS, HalvesLoader, Objective, SparseLoader

EPS = 1e-3
"""Added to the variance in layer normalisation, as in Keras."""


@estimator
class FocalRecommender(NeuralRecommender):
    """Trained with NAdam under the focal loss, on halves of histories that predict the other
    half."""

    lr: float = param("learning rate", default=5e-4, above=0, usual=(1e-5, 1e-3))
    optimiser: str = param(
        "how the weights are updated", default="nadam", choices=tuple(OPTIMISERS)
    )
    whole: bool = param(
        "whether full histories are training rows too, each its own target", default=True
    )

    def _loader(self, input: Any, target: Any | None, seed: int) -> SparseLoader:
        return HalvesLoader(input, target, self.batch_size, seed, whole=self.whole)

    def _objective(self, updates: int) -> Objective:
        return Objective("focal")


@estimator
class DeepFocalRecommender(FocalRecommender):
    """A densely connected variational autoencoder with two heads, whose sigmoids are multiplied.

    With `shallow`, a linear map of the history that cannot copy is a third factor.
    """

    shallow: ClassVar[bool]

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        # The authors' notebook for ML-20M.
        "paper": dict(
            latent=2048,
            width=4096,
            depth=7,
            decoder_depth=5,
            epochs=90,
            batch_size=1024,
            lr=5e-5,
            whole=False,
            milestones=(50,),
        )
    }

    width: int = param("width of the hidden layers", default=600, low=1, usual=(128, 1024))
    depth: int = param("layers of the encoder", default=7, low=1, usual=(2, 8))
    decoder_depth: int = param("layers of the decoder", default=5, low=1, usual=(1, 6))
    beta: float = param(
        "weight of the KL term, averaged over the numbers of a code",
        default=1.0,
        low=0,
        usual=(0.01, 2),
    )

    def _network(self, n_items: int, n_users: int) -> AutoencoderNet:
        first = InputLinear(n_items, self.width)
        deep = DenselyConnected(
            Linear(self.latent, self.width), self.width, self.decoder_depth, EPS
        )
        widths = self.width, self.latent
        return AutoencoderNet(
            corrupt=NoCorruption(),
            encoder=DenselyConnected(first, self.width, self.depth, EPS),
            code=Gaussian(self.width, self.latent),
            decoder=ProductDecoder(n_items, deep=deep, widths=widths, shallow=self.shallow),
        )

    def _objective(self, updates: int) -> Objective:
        return Objective("focal", {"kl": self.beta / self.latent})
