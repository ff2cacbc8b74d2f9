"""VanillaAE: the plain autoencoder, without noise, penalty or sampling."""

from __future__ import annotations

from recae import training
from recae.estimators.params import estimator, param
from recae.models.neural._base import (
    NeuralRecommender,
    loss_param,
    num_sampled_param,
    precision_param,
    softmax_param,
)
from recae.nn import (
    AutoencoderNet,
    Decoder,
    DeterministicCode,
    LinearHead,
    UnitNorm,
    encoder_mlp,
    mlp,
)


@estimator
class VanillaAE(NeuralRecommender):
    """An autoencoder that reconstructs a history from the full history, without noise.

    z = g(V x / |x| + a), f(x) = W z + b, with `hidden` more layers before and after z;
    loss = -sum_i x_i log softmax(f(x))_i, or another, plus l2.

    Hinton & Salakhutdinov, "Reducing the Dimensionality of Data with Neural Networks", Science
    2006. Only the width of the code keeps it from copying its input. It is the reference for the
    effect of denoising: Mult-DAE with `lr=0.003` differs from it only in its dropout. An epoch
    costs about 6 x users x items x (width of the last layer) operations. The memory is 2 x items x
    width weights, their gradients and two moments, and one chunk of logits.

    >>> recae.VanillaAE(latent=2, epochs=2).fit(data).score(data).shape
    (5, 4)
    """

    name = "vanilla-ae"
    small = dict(latent=8, epochs=2, batch_size=10, lr=0.01, hidden=(16,))

    softmax: str = softmax_param()
    num_sampled: int = num_sampled_param()
    precision: str = precision_param()
    # At 0.001 the logistic loss does not fall for more epochs than the default patience.
    lr: float = param("learning rate", default=3e-3, above=0, usual=(1e-4, 1e-2))
    hidden: tuple[int, ...] = param(
        "widths between the items and the code, mirrored in the decoder",
        default=(),
        low=1,
        usual=(128, 1024),
    )
    activation: str = param(
        "g, after every layer but the last",
        default="tanh",
        choices=("tanh", "sigmoid", "relu", "swish"),
    )
    loss: str = loss_param()

    def _network(self, n_items: int, n_users: int) -> AutoencoderNet:
        widths = (*self.hidden, self.latent)
        return AutoencoderNet(
            corrupt=UnitNorm(),
            encoder=encoder_mlp(n_items, widths, self.activation),
            code=DeterministicCode(),
            decoder=Decoder(mlp(widths[::-1], self.activation), LinearHead(widths[0], n_items)),
        )

    def _objective(self, updates: int) -> training.Objective:
        return training.Objective(self.loss)
