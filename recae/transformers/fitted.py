"""The methods of a fitted transformer: transform, reconstruct, score."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recae.errors import DataError
from recae.estimators.params import Estimator
from recae.nn import DENSE_LOSSES, AutoencoderNet, Batch
from recae.system.machine import row_batches
from recae.system.threads import survives_fork
from recae.transformers.examples import Examples, check_loss, read_codes, read_examples
from recae.transformers.scaling import Scaling, variance
from recae.transformers.sklearn_api import SklearnAPI


class Fitted(SklearnAPI, Estimator, ABC):
    """The methods of a fitted transformer, given its network, shape and scaling."""

    latent: int
    hidden: tuple[int, ...]
    channels: tuple[int, ...]
    loss: str
    network_: AutoencoderNet
    scaling_: Scaling

    @survives_fork
    def transform(self, X: Any) -> np.ndarray:
        """The codes of examples, (n, latent) float32; posterior means of a variational autoencoder.

        A frame instead, if `set_output` or scikit-learn's configuration asks for one. Raises
        DataError for unusable examples and for another shape, NotFittedError before fit,
        ConfigError if a hyperparameter was changed after fit.

        >>> X = np.eye(6)
        >>> recae.Autoencoder(latent=2, epochs=1).fit(X).transform(X[:3]).shape
        (3, 2)
        """
        found: np.ndarray = self._in_frame(self._codes(X), X)
        return found

    @survives_fork
    def inverse_transform(self, Z: Any) -> np.ndarray:
        """Decodes codes, (n, *shape of an example) float32, in the units of the examples.

        With loss "logistic" these are probabilities, with "multinomial" they sum to 1. Raises
        DataError for codes of another width, NotFittedError before fit.

        >>> X = np.eye(6)
        >>> recae.Autoencoder(latent=2, epochs=1).fit(X).inverse_transform(np.zeros((3, 2))).shape
        (3, 6)
        """
        self._check_fitted()
        codes = Examples(read_codes(Z, self.latent, type(self).__name__))

        def decoded(batch: Batch) -> Tensor:
            assert isinstance(batch.input, Tensor)
            return self._means(batch.input, batch)

        return self._in_units(self._by_batch(self.network_, codes, decoded))

    @survives_fork
    def reconstruct(self, X: Any) -> np.ndarray:
        """Encodes and decodes examples, (n, *shape of an example) float32.

        With loss "multinomial" each reconstruction has the sum of its example. Raises
        DataError and NotFittedError as `transform` does.

        >>> X = np.eye(6)
        >>> recae.Autoencoder(latent=2, epochs=1).fit(X).reconstruct(X).shape
        (6, 6)
        """
        examples = self._read(X)
        return self._in_units(self._by_batch(self.network_, examples, self._reconstructed))

    @survives_fork
    def score_samples(self, X: Any) -> np.ndarray:
        """Minus the loss of each example, (n,) float32, higher is better.

        With loss "squared" minus the squared error summed over the features, in the units of the
        examples; otherwise a log likelihood in nats. Anomalies have low scores. Raises DataError
        and NotFittedError as `transform` does.

        >>> X = np.eye(6)
        >>> recae.Autoencoder(latent=2, epochs=1).fit(X).score_samples(X).shape
        (6,)
        """
        examples = self._read(X)
        losses = self._losses(self.network_, examples, 0)
        unit = self.scaling_.scale**2 if self.loss == "squared" else 1.0
        return np.asarray(-losses * unit, dtype=np.float32)

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of `score_samples`. Raises what it raises.

        >>> X = np.eye(6)
        >>> recae.Autoencoder(latent=2, epochs=1).fit(X).score(X) < 0
        True
        """
        return float(self.score_samples(X).mean(dtype=np.float64))

    @survives_fork
    def reconstruction_error(self, X: Any) -> np.ndarray:
        """The mean squared error of `reconstruct` for each example over its features, (n,) float32.

        In the units of the examples, squared. Raises DataError and NotFittedError as `transform`.

        >>> X = np.eye(6)
        >>> recae.Autoencoder(latent=2, epochs=1).fit(X).reconstruction_error(X).shape
        (6,)
        """
        examples = self._read(X)

        def errors(batch: Batch) -> Tensor:
            return (self._reconstructed(batch) - dense_target(batch)).square().mean(1)

        found = self._by_batch(self.network_, examples, errors) * self.scaling_.scale**2
        return np.asarray(found, dtype=np.float32)

    def explained_variance(self, X: Any) -> float:
        """1 - (squared error of the reconstructions) / (squared error of the feature means of X).

        At most 1; for PCA it is the sum of explained_variance_ratio_. Raises DataError for X with
        constant features only, and as `transform` does.

        >>> X = np.eye(6)
        >>> recae.Autoencoder(latent=2, epochs=1).fit(X).explained_variance(X) < 1
        True
        """
        error = float(self.reconstruction_error(X).mean(dtype=np.float64))
        total = variance(read_examples(X, type(self).__name__))
        if total == 0:
            raise DataError("all features of X are constant: there is no variance to explain")
        return 1 - error / total

    # Shared by the methods above.

    def _read(self, X: Any) -> Examples:
        """Checks examples against those of `fit`, and scales them."""
        self._check_fitted()
        examples = read_examples(X, type(self).__name__)
        self._check_names(examples, self._names())
        if examples.shape != self.shape_:
            raise self._wrong_shape(examples)
        check_loss(examples, self.loss, type(self).__name__)
        return self.scaling_.apply(examples)

    def _codes(self, X: Any) -> np.ndarray:
        examples, net = self._read(X), self.network_
        return self._by_batch(net, examples, lambda batch: net.encode(batch)[0])

    def _by_batch(
        self, net: AutoencoderNet, examples: Examples, read: Callable[[Batch], Tensor]
    ) -> np.ndarray:
        """Applies `read` to batches of scaled examples or codes: (n, ...) float32."""
        device = next(net.parameters()).device
        features = max(prod(examples.shape), getattr(self, "n_features_in_", 0))
        width = features * (1 + max(self.channels, default=0)) + sum(self.hidden) + self.latent
        with torch.no_grad():
            parts = [
                read(examples.batch(rows).to(device)).cpu().numpy()
                for rows in row_batches(len(examples), width)
            ]
        return np.concatenate(parts)

    def _means(self, z: Tensor, batch: Batch) -> Tensor:
        """The decoded means of codes, (rows, features), scaled."""
        output = self.network_.decoder(z, batch).dense()
        if self.loss == "logistic":
            return torch.sigmoid(output)
        if self.loss == "multinomial":
            return torch.softmax(output, 1)
        assert isinstance(output, Tensor)
        return output

    def _reconstructed(self, batch: Batch) -> Tensor:
        means = self._means(self.network_.encode(batch)[0], batch)
        if self.loss == "multinomial":
            return means * batch.target_sums()[:, None]
        return means

    def _in_units(self, scaled: np.ndarray) -> np.ndarray:
        found = self.scaling_.undo(scaled)
        return found.reshape(len(found), *self.shape_)

    def _losses(self, net: AutoencoderNet, examples: Examples, seed: int) -> np.ndarray:
        """The reconstruction loss of each scaled example, (n,) float32."""

        def losses(batch: Batch) -> Tensor:
            return DENSE_LOSSES[self.loss](net(batch)[0].dense(), dense_target(batch))

        return self._by_batch(net, examples, losses)


def dense_target(batch: Batch) -> Tensor:
    """The target of a batch, (rows, features)."""
    target = batch.target
    if isinstance(target, Tensor):
        return target
    dense = target.values.new_zeros(len(target), target.n_columns)
    dense[target.rows, target.indices] = target.values
    return dense
