"""VASP: a deep variational autoencoder with a shallow linear path beside it, under focal loss."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import nn

from recae import training
from recae.errors import ConfigError
from recae.estimators.params import estimator, param
from recae.models.neural._base import OPTIMISERS, NeuralRecommender, precision_param
from recae.nn import (
    AutoencoderNet,
    Chain,
    DenselyConnected,
    DeterministicCode,
    Dropout,
    EmptyCode,
    Gaussian,
    InputLinear,
    Linear,
    NoCorruption,
    ProductDecoder,
    UnitNorm,
)

EPS = 1e-3
"""Added to the variance in layer normalisation, as in Keras."""


@estimator
class FocalRecommender(NeuralRecommender):
    """Trained under the focal loss, on halves of histories that predict the other half.

    With `dropout` it is trained on whole histories instead, as `MultVAE`.
    """

    lr: float = param("learning rate", default=5e-4, above=0, usual=(1e-5, 1e-3))
    optimiser: str = param("how the weights are updated", default="nadam", choices=OPTIMISERS)
    whole: bool = param(
        "whether full histories are training rows too, each its own target", default=True
    )
    dropout: float = param(
        "share of a history hidden from the encoder, the rest scaled up; every row is then a full "
        "history of length 1, its own target. 0: rows are halves, as in the paper",
        default=0.0,
        low=0,
        high=0.99,
        usual=(0, 0.8),
    )

    def _corruption(self) -> nn.Module:
        return Chain(UnitNorm(), Dropout(self.dropout)) if self.dropout else NoCorruption()

    def _loader(self, input: Any, target: Any | None, seed: int) -> training.SparseLoader:
        if self.dropout:
            return super()._loader(input, target, seed)
        return training.HalvesLoader(input, target, self.batch_size, seed, whole=self.whole)

    def _objective(self, updates: int) -> training.Objective:
        return training.Objective("focal")


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
    depth: int = param("layers of the encoder", default=7, low=1, high=100, usual=(2, 8))
    decoder_depth: int = param("layers of the decoder", default=5, low=1, high=100, usual=(1, 6))
    beta: float = param(
        "weight of the KL term, averaged over the numbers of a code",
        default=1.0,
        low=0,
        usual=(0.01, 2),
    )
    precision: str = precision_param()

    def _network(self, n_items: int, n_users: int) -> AutoencoderNet:
        """A deep part and, for VASP, a shallow linear part, whose probabilities are multiplied."""
        first = InputLinear(n_items, self.width)
        deep = DenselyConnected(
            Linear(self.latent, self.width), self.width, self.decoder_depth, EPS
        )
        widths = self.width, self.latent
        return AutoencoderNet(
            corrupt=self._corruption(),
            encoder=DenselyConnected(first, self.width, self.depth, EPS),
            code=Gaussian(self.width, self.latent),
            decoder=ProductDecoder(n_items, deep=deep, widths=widths, shallow=self.shallow),
        )

    def _objective(self, updates: int) -> training.Objective:
        return training.Objective("focal", {"kl": self.beta / self.latent})


@estimator
class VASP(DeepFocalRecommender):
    """The product of a deep variational autoencoder and a linear one.

    z ~ N(mu(x), sigma(x)^2), p = sigma(W h(z) + a) sigma(V z + b) sigma(x (S - diag(S))) with
    densely connected h and encoder; loss = focal loss of p + beta KL(q(z | x) || N(0, 1)) / latent,
    plus l2. Two thirds of the rows have one half of a history as input and the other as target;
    with `whole=False`, as in the authors' notebook, all have.

    Vancura & Kordik, "Deep Variational Autoencoder with Shallow Parallel Path for Top-N
    Recommendation (VASP)", ICANN 2021. As in the authors' code, the KL term is averaged over the
    code, and histories are neither scaled nor dropped, which only `dropout` changes. All items have
    the shallow path (the authors' option to leave rare items out of the model is `data.filter`).
    Meant for a large GPU: an epoch costs 36 x users x items x width operations, a third of it with
    `dropout`. The memory is items^2 + (2 x width + latent) x items weights, their gradients and two
    moments, and six matrices of 3 x batch_size x items.

    >>> recae.VASP(latent=2, width=3, epochs=2).fit(data).score(data).shape
    (5, 4)
    """

    name = "vasp"
    small = dict(latent=6, width=12, depth=2, decoder_depth=2, epochs=2)
    shallow: ClassVar[bool] = True


@estimator
class FLVAE(DeepFocalRecommender):
    """The deep half of VASP: a variational autoencoder under the focal loss.

    z ~ N(mu(x), sigma(x)^2), p = sigma(W h(z) + a) sigma(V z + b) with densely connected h and
    encoder; loss = focal loss of p + beta KL(q(z | x) || N(0, 1)) / latent, plus l2.

    Vancura & Kordik, ICANN 2021, trained as `VASP`. An epoch costs 36 x users x items x width
    operations; memory is (width + width + latent) x items weights, their gradients and moments,
    and four matrices of 3 x batch_size x items.

    >>> recae.FLVAE(latent=2, width=3, epochs=2).fit(data).score(data).shape
    (5, 4)
    """

    name = "flvae"
    small = dict(latent=6, width=12, depth=2, decoder_depth=2, epochs=2)
    shallow: ClassVar[bool] = False


@estimator
class NeuralEASE(FocalRecommender):
    """The shallow half of VASP: a linear map of items onto items that cannot copy.

    p = sigma(x (S - diag(S))); loss = focal loss of p, plus l2.

    Vancura & Kordik, ICANN 2021, trained as `VASP`. EASE solves nearly the same problem
    exactly and at once; this is for comparison with VASP. An epoch costs 18 x users x items
    x (items of a user) operations; memory is items^2 weights, their gradients and two moments.

    >>> recae.NeuralEASE(epochs=2).fit(data).score(data).shape
    (5, 4)
    """

    name = "neural-ease"
    small = dict(epochs=2, batch_size=10, lr=0.01)

    def _network(self, n_items: int, n_users: int) -> AutoencoderNet:
        return AutoencoderNet(
            corrupt=self._corruption(),
            encoder=EmptyCode(),
            code=DeterministicCode(),
            decoder=ProductDecoder(n_items, shallow=True),
        )

    def _code_width(self) -> int:
        raise ConfigError("NeuralEASE has no latent space to embed users in")
