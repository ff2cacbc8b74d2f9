"""MacridVAE: a disentangled variational autoencoder with one code for every concept."""

from __future__ import annotations

from typing import cast

from torch import Tensor

from recae import training
from recae.estimators.params import estimator, param
from recae.models.neural._base import NeuralRecommender, anneal_param, dropout_param
from recae.nn import (
    AutoencoderNet,
    Chain,
    ConceptDecoder,
    ConceptGaussians,
    Concepts,
    DrawConcepts,
    Dropout,
    NoCorruption,
    UnitNorm,
)


@estimator
class MacridVAE(NeuralRecommender):
    """A variational autoencoder with a code for each of some concepts that items belong to.

    c_ik = softmax_k(cos(h_i, m_k) / tau), z_k ~ N(mu_k(c_k * x), sigma_k^2) with |mu_k| = 1,
    p(i | z) ~ sum_k c_ik exp(cos(z_k, h_i) / tau) with tau = 0.1;
    loss = -sum_i x_i log p(i | z) + beta sum_k KL(q(z_k | x) || N(0, spread^2)), plus l2.

    Ma, Zhou, Cui, Yang & Zhu, "Learning Disentangled Representations for Recommendation", NeurIPS
    2019. For users with several different tastes, and for codes with interpretable parts. Training
    draws the c_ik anew for every step (Gumbel-softmax); recommending uses their expectation. An
    epoch costs some 6 x users x items x latent operations for each concept. The memory is items x
    (width + latent) weights, their gradients and moments, and 256 MiB of scores at most.

    >>> recae.MacridVAE(latent=2, concepts=2, width=3, epochs=2).fit(data).embed_users(data).shape
    (5, 4)
    """

    name = "macrid-vae"
    small = dict(latent=4, concepts=3, width=12, epochs=2, batch_size=10)

    latent: int = param("width of the code of a concept", default=64, low=1, usual=(16, 256))
    concepts: int = param("number of concepts", default=4, low=1, usual=(2, 20))
    width: int = param("width of the hidden layer", default=300, low=1, usual=(128, 1024))
    dropout: float = dropout_param()
    draw: bool = param(
        "whether training draws a concept for each item, as the paper does, or shares it out",
        default=True,
    )
    spread: float = param(
        "deviation of the codes under the prior", default=0.075, low=1e-6, usual=(0.01, 0.5)
    )
    beta: float = param("final weight of the KL term", default=0.2, low=0, usual=(0.01, 1))
    anneal: float = anneal_param()

    def _network(self, n_items: int, n_users: int) -> AutoencoderNet:
        """One encoder read once for each concept, and a decoder that mixes the concepts' scores."""
        encoder = Concepts(n_items, self.concepts, self.width, self.latent)
        return AutoencoderNet(
            corrupt=Chain(
                UnitNorm(),
                Dropout(self.dropout),
                DrawConcepts(encoder) if self.draw else NoCorruption(),
            ),
            encoder=encoder,
            code=ConceptGaussians(self.concepts, self.width, self.latent, self.spread),
            decoder=ConceptDecoder(encoder),
        )

    def _objective(self, updates: int) -> training.Objective:
        return training.Objective(
            "multinomial", {"kl": training.annealed(self.beta, self.anneal, updates)}
        )

    def _code_width(self) -> int:
        return self.concepts * self.latent

    def _item_vectors(self) -> Tensor:
        return cast(Concepts, self.network_.encoder).directions().detach()
