"""Autoencoder and DenoisingAutoencoder: a narrow code, without and with input noise."""

from __future__ import annotations

from torch import nn

from recae.errors import ConfigError
from recae.estimators.params import estimator, param
from recae.nn import (
    AutoencoderNet,
    DeterministicCode,
    Dropout,
    GaussianNoise,
    Masking,
    NoCorruption,
    SaltAndPepper,
)
from recae.transformers.base import Transformer
from recae.transformers.body import Body
from recae.transformers.examples import Examples


@estimator
class Autoencoder(Transformer):
    """An autoencoder with a narrow code: nonlinear dimensionality reduction.

    z = encoder(x), f(x) = decoder(z), loss = sum_i (f_i - x_i)^2 or another (Rumelhart, Hinton &
    Williams 1986; Hinton & Salakhutdinov, "Reducing the dimensionality of data with neural
    networks", Science 2006). With hidden=() it is linear and spans the subspace of PCA. An epoch
    takes about 6 x examples x weights operations; memory: four times the weights and one batch.

    >>> model = recae.Autoencoder(latent=2, epochs=2).fit(X)
    >>> model.inverse_transform(model.transform(X)).shape
    (100, 6)
    """

    def _network(self, body: Body, examples: Examples, seed: int) -> AutoencoderNet:
        return AutoencoderNet(
            corrupt=self._corruption(examples),
            encoder=body.encoder(self.latent),
            code=DeterministicCode(),
            decoder=body.decoder(self.latent),
        )

    def _corruption(self, examples: Examples) -> nn.Module:
        return NoCorruption()


@estimator
class DenoisingAutoencoder(Autoencoder):
    """An autoencoder that reconstructs examples from corrupted copies of them.

    z = encoder(corrupt(x)), loss = sum_i (decoder(z)_i - x_i)^2 or another (Vincent, Larochelle,
    Bengio & Manzagol, ICML 2008; Vincent et al., JMLR 2010). New noise is drawn for every batch,
    in training only. It acts on scaled examples: with loss "squared" and dense examples these have
    mean 0 and, over all features, variance 1, so that a masked entry becomes its mean.

    masking: a share `amount` of the entries becomes 0. dropout: the same, and the others grow by
    1 / (1 - amount). gaussian: normal noise of standard deviation `amount`, for sparse examples on
    the stored entries only. salt-and-pepper: a share `amount` becomes the lowest or the highest
    number of the scaled examples; dense examples only. Costs as much as `Autoencoder`.

    >>> recae.DenoisingAutoencoder(latent=2, epochs=2, noise="gaussian").fit(X).transform(X).shape
    (100, 2)
    """

    noise: str = param(
        "the corruption of the input",
        default="masking",
        choices=("masking", "dropout", "gaussian", "salt-and-pepper"),
    )
    amount: float = param(
        "share of the entries, or standard deviation; 0 for none",
        default=0.3,
        low=0,
        usual=(0.05, 0.6),
    )

    def check_params(self) -> None:
        super().check_params()
        if self.noise != "gaussian" and self.amount >= 1:
            raise ConfigError(
                f"amount={self.amount} of {type(self).__name__} is a share with noise="
                f"{self.noise!r}: it must be below 1",
                parameter="amount",
                value=self.amount,
            )

    def _corruption(self, examples: Examples) -> nn.Module:
        if self.noise == "salt-and-pepper" and examples.sparse:
            raise ConfigError(
                "noise='salt-and-pepper' needs dense examples, not sparse: use masking or dropout",
                parameter="noise",
                value=self.noise,
            )
        low, high = 0.0, 1.0
        if not examples.sparse and not examples.rows.is_meta:  # as a saved model is loaded
            low, high = float(examples.rows.min()), float(examples.rows.max())
        kinds = {
            "masking": Masking(self.amount),
            "dropout": Dropout(self.amount),
            "gaussian": GaussianNoise(self.amount),
            "salt-and-pepper": SaltAndPepper(self.amount, low, high),
        }
        return kinds[self.noise]
