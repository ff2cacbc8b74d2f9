"""VASP: a deep variational autoencoder with a shallow linear path beside it."""

from __future__ import annotations

from typing import Any, ClassVar

from recae.nn import (
    AutoencoderNet,
    Dense,
    Gaussian,
    InputLinear,
    Keep,
    Linear,
    ProductDecoder,
)
from recae.objective import Objective
from recae.recommender import AutoencoderRecommender, estimator, param
from recae.training import OPTIMISERS, HalvesLoader, SparseLoader

EPS = 1e-3
"""Added to the variance in layer normalisation, as in Keras."""


@estimator
class VASP(AutoencoderRecommender):
    """What a deep autoencoder and a linear one agree on.

    z ~ N(mu(x), sigma(x)^2), p = sigma(W h(z) + a) sigma(V z + b) sigma(x (S - diag(S))) with
    densely connected h and encoder; loss = focal loss of p + beta KL(q(z | x) || N(0, 1)) / latent,
    plus l2. Two thirds of the rows have one half of a history as input and the other as target;
    with `whole=False`, as in the authors' notebook, all have.

    Vancura & Kordik, "Deep Variational Autoencoder with Shallow Parallel Path for Top-N
    Recommendation (VASP)", ICANN 2021; as in the authors' code, the KL term is averaged over the
    code, and histories are neither scaled nor dropped; all items have the shallow path (the
    authors' option to leave rare items out of the model is `data.filter`). Meant for a large GPU:
    an epoch costs 36 x users x items x width operations; memory is items^2 + (2 x width + latent)
    x items weights, their gradients and two moments, and some ten matrices of
    3 x batch_size x items.

    >>> recae.VASP(latent=2, width=3, epochs=2).fit(data).score(data).shape
    (5, 4)
    """

    name = "vasp"
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

    lr: float = param("learning rate", default=5e-4, above=0, usual=(1e-5, 1e-3))
    optimiser: str = param(
        "how the weights are updated", default="nadam", choices=tuple(OPTIMISERS)
    )
    width: int = param("width of the hidden layers", default=600, low=1, usual=(128, 1024))
    depth: int = param("layers of the encoder", default=7, low=1, usual=(2, 8))
    decoder_depth: int = param("layers of the decoder", default=5, low=1, usual=(1, 6))
    beta: float = param(
        "weight of the KL term, averaged over the numbers of a code",
        default=1.0,
        low=0,
        usual=(0.01, 2),
    )
    whole: bool = param("whether whole histories are dealt too, each its own target", default=True)

    def _network(self, n_items: int, n_users: int) -> AutoencoderNet:
        first = InputLinear(n_items, self.width)
        deep = Dense(Linear(self.latent, self.width), self.width, self.decoder_depth, EPS)
        return AutoencoderNet(
            corrupt=Keep(),
            encoder=Dense(first, self.width, self.depth, EPS),
            code=Gaussian(self.width, self.latent),
            decoder=ProductDecoder(
                n_items, deep=deep, widths=(self.width, self.latent), shallow=True
            ),
        )

    def _loader(self, input: Any, target: Any | None, seed: int) -> SparseLoader:
        return HalvesLoader(input, target, self.batch_size, seed, whole=self.whole)

    def _objective(self, updates: int) -> Objective:
        return Objective("focal", {"kl": self.beta / self.latent})
