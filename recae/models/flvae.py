"""FLVAE: a deep variational autoencoder under the focal loss."""

from __future__ import annotations

from typing import ClassVar

from recae.recommender import DeepFocalRecommender, estimator


@estimator
class FLVAE(DeepFocalRecommender):
    """The deep half of VASP: a variational autoencoder held to what it gets wrong.

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
    shallow: ClassVar[bool] = False
