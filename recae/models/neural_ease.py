"""Neural EASE: EASE trained by gradients under the focal loss."""

from __future__ import annotations

from recae.errors import ConfigError
from recae.nn import AutoencoderNet, Keep, Nothing, Plain, ProductDecoder
from recae.recommender import FocalRecommender, estimator


@estimator
class NeuralEASE(FocalRecommender):
    """The shallow half of VASP: a linear map of items onto items that cannot copy.

    p = sigma(x (S - diag(S))); loss = focal loss of p, plus l2. Two thirds of the rows have one
    half of a history as input and the other as target; with `whole=False`, as in the authors'
    notebook for VASP, all have.

    Vancura & Kordik, "Deep Variational Autoencoder with Shallow Parallel Path for Top-N
    Recommendation (VASP)", ICANN 2021; as in the authors' code. EASE solves nearly the same problem
    exactly and at once; this is for comparison with VASP. An epoch costs 18 x users x items
    x (items of a user) operations; memory is items^2 weights, their gradients and two moments.

    >>> recae.NeuralEASE(epochs=2).fit(data).score(data).shape
    (5, 4)
    """

    name = "neural-ease"

    def _network(self, n_items: int, n_users: int) -> AutoencoderNet:
        return AutoencoderNet(
            corrupt=Keep(),
            encoder=Nothing(),
            code=Plain(),
            decoder=ProductDecoder(n_items, shallow=True),
        )

    def _code_width(self) -> int:
        raise ConfigError("NeuralEASE has no latent space to embed users in")
