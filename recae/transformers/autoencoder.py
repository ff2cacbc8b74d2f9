"""Autoencoder and DenoisingAutoencoder: a narrow code, without and with input noise."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from recae.data.svd import OVERSAMPLED, subspace_svd
from recae.errors import ConfigError
from recae.estimators.params import estimator, param
from recae.nn import (
    AutoencoderNet,
    DeterministicCode,
    Dropout,
    GaussianNoise,
    LinearHead,
    Masking,
    NoCorruption,
    SaltAndPepper,
)
from recae.rng import Stream, numpy_generator
from recae.transformers.base import Transformer
from recae.transformers.body import Body
from recae.transformers.examples import Examples
from recae.transformers.scaling import column_means

WIDTH = 64
"""Directions of the decomposition, at least; it is exact for no more rows or features."""

DOUBLE_CELLS = 10**7
"""Numbers below which the components are computed in float64."""

NEGLIGIBLE = 1e-5
"""Singular values below this share of the largest one are rounding errors."""


@estimator
class Autoencoder(Transformer):
    """An autoencoder with a narrow code: nonlinear dimensionality reduction.

    z = encoder(x), f(x) = decoder(z), loss = sum_i (f_i - x_i)^2 or another (Rumelhart, Hinton &
    Williams 1986; Hinton & Salakhutdinov, "Reducing the dimensionality of data with neural
    networks", Science 2006). An epoch takes about 6 x examples x weights operations; memory: four
    times the weights and one batch.

    With hidden=() it is linear. With loss "squared" and l2=0 its optimum is PCA, which is computed
    and not trained: z = V'(x - mean) with the leading singular vectors V of the centred examples
    (Baldi & Hornik 1989). Then seed, lr, batch_size and optimiser have no effect, and an epoch
    (one, by default) only measures the loss. With l2 above 0 training starts there.

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

    def _is_linear(self) -> bool:
        return not self.hidden and not self.channels and self.loss == "squared"

    def _solved(self) -> bool:
        return self._is_linear() and self.l2 == 0

    def _start(self, examples: Examples, seed: int) -> Callable[[Any], None] | None:
        return partial(as_pca, examples=examples) if self._is_linear() else None


@torch.no_grad()
def as_pca(net: AutoencoderNet, examples: Examples) -> None:
    """Makes a linear network the projection onto the principal components of scaled examples.

    The largest number of each component is positive. Units beyond the components of the data keep
    their first layer and add nothing to the output. Costs what `subspace_svd` costs.
    """
    first, head = cast(Any, net.encoder)[0], cast(LinearHead, net.decoder.head)
    rows = examples.rows if examples.sparse else examples.rows.numpy()
    kind = np.float64 if rows.shape[0] * rows.shape[1] < DOUBLE_CELLS else np.float32
    mean = column_means(examples).numpy().astype(kind)
    width = min(max(first.weight.shape[1] + OVERSAMPLED, WIDTH), *rows.shape)
    generator = numpy_generator(0, Stream.SVD_START)  # the result does not depend on it
    start = generator.standard_normal((rows.shape[1], width), dtype=kind)

    def image(basis: Tensor) -> Tensor:  # of the centred rows, which are not made
        return torch.from_numpy(rows @ basis.numpy() - mean @ basis.numpy())

    def gram(basis: Tensor) -> Tensor:
        found = image(basis).numpy()
        return torch.from_numpy(rows.T @ found - np.outer(mean, found.sum(axis=0)))

    wanted = first.weight.shape[1]
    found = subspace_svd(image, gram, torch.from_numpy(start), wanted, progress=False)
    s, v = found[1].numpy(), found[2].numpy()
    k = int((s > NEGLIGIBLE * s[0]).sum())
    v = v[:, :k] * np.where(v.max(axis=0) < -v.min(axis=0), -1, 1)[:k]  # (features, k)
    first.weight[:, :k], first.bias[:k] = torch.from_numpy(v), torch.from_numpy(-(mean @ v))
    head.weight.zero_()[:, :k] = torch.from_numpy(v)
    head.bias.copy_(torch.from_numpy(mean))


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

    def _solved(self) -> bool:
        return super()._solved() and self.amount == 0

    def _corruption(self, examples: Examples) -> nn.Module:
        """The noise by name. Raises ConfigError for salt-and-pepper on sparse examples, whose zeros
        it would fill."""
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
