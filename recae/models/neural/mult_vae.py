"""Mult-VAE: the variational autoencoder with a multinomial likelihood."""

from __future__ import annotations

from typing import Any, ClassVar

from recae import training
from recae.errors import ConfigError
from recae.estimators.params import estimator, param
from recae.models.neural._base import (
    NeuralRecommender,
    alignment_param,
    anneal_param,
    dropout_param,
    num_sampled_param,
    precision_param,
    softmax_param,
)
from recae.models.neural._svd_init import check_init, init_param
from recae.nn import (
    AutoencoderNet,
    Chain,
    Decoder,
    Dropout,
    Gaussian,
    LinearHead,
    UnitNorm,
    encoder_mlp,
    mlp,
)


@estimator
class MultVAE(NeuralRecommender):
    """A variational autoencoder with a multinomial likelihood over the items.

    z ~ N(mu(x), sigma(x)^2), f = decoder(z);
    loss = -sum_i x_i log softmax(f)_i + beta KL(q(z | x) || N(0, 1)), plus l2.

    Liang, Krishnan, Hoffman & Jebara, "Variational Autoencoders for Collaborative Filtering", WWW
    2018, eq. 2 and 5. Trained as in the authors' code, but biases start at zero and beta rises over
    a share of the run. Their network is items-600-200-600-items with tanh (`mirror=True`);
    items-600-200-items was clearly better on validation users of MovieLens 1M and 20M. A good first
    choice where users have more than a handful of items. `init="svd"` reaches the same quality in
    fewer epochs. An epoch costs about 6 x users x items x (width of the last layer) operations, or
    with `softmax="sampled"` the same with the items of a sample. The memory is 2 x items x width
    weights, their gradients (only of the items that occurred, when sampled) and two moments, and
    one chunk of logits.

    >>> recae.MultVAE(latent=2, hidden=(3,), epochs=2).fit(data).embed_users(data).shape
    (5, 2)
    """

    name = "mult-vae"
    small = dict(latent=8, epochs=2, batch_size=10, lr=0.01, hidden=(16,))
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        # ML-20M: 0.2 is reached after 40,000 of the 46,800 updates.
        "paper": dict(
            hidden=(600,),
            mirror=True,
            latent=200,
            epochs=200,
            batch_size=500,
            beta=0.2,
            anneal=0.855,
        )
    }

    softmax: str = softmax_param()
    num_sampled: int = num_sampled_param()
    precision: str = precision_param()
    init: str = init_param()
    hidden: tuple[int, ...] = param(
        "widths between the items and the code", default=(600,), low=1, usual=(64, 1024)
    )
    mirror: bool = param(
        "whether the decoder has the hidden layers too, in reverse order, as in the paper",
        default=False,
    )
    dropout: float = dropout_param()
    beta: float = param("final weight of the KL term", default=0.2, low=0, usual=(0.01, 1))
    anneal: float = anneal_param()
    alignment: float = alignment_param()

    def check_params(self) -> None:
        super().check_params()
        if not self.hidden:
            raise ConfigError(
                "hidden of MultVAE must name at least one width, such as (600,)",
                parameter="hidden",
                value=self.hidden,
            )
        check_init(self, one_hidden_layer=len(self.hidden) == 1 and not self.mirror)

    def _network(self, n_items: int, n_users: int) -> AutoencoderNet:
        decoder = (self.latent, *(self.hidden[::-1] if self.mirror else ()))
        return AutoencoderNet(
            corrupt=Chain(UnitNorm(), Dropout(self.dropout)),
            encoder=encoder_mlp(n_items, self.hidden),
            code=Gaussian(self.hidden[-1], self.latent),
            decoder=Decoder(mlp(decoder), LinearHead(decoder[-1], n_items)),
        )

    def _objective(self, updates: int) -> training.Objective:
        return training.Objective(
            "multinomial", {"kl": training.annealed(self.beta, self.anneal, updates)}
        )
