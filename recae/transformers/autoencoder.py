"""Autoencoder: the vanilla kind, a bottleneck and nothing else."""

from __future__ import annotations

from recae.estimators.params import estimator
from recae.nn import AutoencoderNet, DeterministicCode, NoCorruption
from recae.transformers.base import Transformer
from recae.transformers.body import Body
from recae.transformers.examples import Examples


@estimator
class Autoencoder(Transformer):
    """An autoencoder with a narrow code: nonlinear dimensionality reduction.

    z = encoder(x), f(x) = decoder(z), loss = sum_i (f_i - x_i)^2 or another (Rumelhart, Hinton &
    Williams 1986; Hinton & Salakhutdinov, "Reducing the dimensionality of data with neural
    networks", Science 2006). With hidden=() it is linear and spans the plane of PCA. An epoch costs
    about 6 x examples x weights operations; memory is four times the weights and one batch.

    >>> X = np.random.default_rng(0).normal(size=(20, 6))
    >>> model = recae.Autoencoder(latent=2, epochs=2).fit(X)
    >>> model.inverse_transform(model.transform(X)).shape
    (20, 6)
    """

    def _network(self, body: Body, examples: Examples, seed: int) -> AutoencoderNet:
        return AutoencoderNet(
            corrupt=NoCorruption(),
            encoder=body.encoder(self.latent),
            code=DeterministicCode(),
            decoder=body.decoder(self.latent),
        )
