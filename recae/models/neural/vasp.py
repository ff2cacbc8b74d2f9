"""VASP: a deep variational autoencoder with a shallow linear path beside it."""

from __future__ import annotations

from typing import ClassVar

from recae.errors import ConfigError
from recae.estimators.params import estimator
from recae.models.neural._focal import DeepFocalRecommender, FocalRecommender
from recae.nn import AutoencoderNet, DeterministicCode, EmptyCode, NoCorruption, ProductDecoder


@estimator
class VASP(DeepFocalRecommender):
    """The product of a deep variational autoencoder and a linear one.

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
    small = dict(latent=6, width=12, depth=2, decoder_depth=2, epochs=2)
    shallow: ClassVar[bool] = True


@estimator
class FLVAE(DeepFocalRecommender):
    """The deep half of VASP: a variational autoencoder under the focal loss.

    z ~ N(mu(x), sigma(x)^2), p = sigma(W h(z) + a) sigma(V z + b) with densely connected h and
    encoder; loss = focal loss of p + beta KL(q(z | x) || N(0, 1)) / latent, plus l2. Two thirds of
    the rows have one half of a history as input and the other as target; with `whole=False`, as in
    the authors' notebook, all have.

    Vancura & Kordik, "Deep Variational Autoencoder with Shallow Parallel Path for Top-N
    Recommendation (VASP)", ICANN 2021; as in the authors' code, the KL term is averaged over the
    code, and histories are neither scaled nor dropped. An epoch costs 36 x users x items x width
    operations; memory is (width + width + latent) x items weights, their gradients and moments,
    and some ten matrices of 3 x batch_size x items.

    >>> recae.FLVAE(latent=2, width=3, epochs=2).fit(data).score(data).shape
    (5, 4)
    """

    name = "flvae"
    small = dict(latent=6, width=12, depth=2, decoder_depth=2, epochs=2)
    shallow: ClassVar[bool] = False


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
    small = dict(epochs=2, batch_size=10, lr=0.01)

    def _network(self, n_items: int, n_users: int) -> AutoencoderNet:
        return AutoencoderNet(
            corrupt=NoCorruption(),
            encoder=EmptyCode(),
            code=DeterministicCode(),
            decoder=ProductDecoder(n_items, shallow=True),
        )

    def _code_width(self) -> int:
        raise ConfigError("NeuralEASE has no latent space to embed users in")
