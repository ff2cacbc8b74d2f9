"""VASP: a deep variational autoencoder with a shallow linear path beside it."""

from __future__ import annotations

from typing import ClassVar

from recae.recommender import DeepFocalRecommender, estimator


@estimator
class VASP(DeepFocalRecommender):
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
    shallow: ClassVar[bool] = True
