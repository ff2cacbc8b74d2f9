"""What a fitted transformer does: transform, reconstruct, score."""

from __future__ import annotations

import operator
from abc import ABC
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recae.errors import ConfigError, DataError
from recae.estimators.estimator import Estimator
from recae.nn import DENSE_LOSSES, AutoencoderNet, Batch
from recae.system.forks import survives_fork
from recae.transformers.examples import Examples, read_codes, read_examples
from recae.transformers.losses import check_loss
from recae.transformers.manners import Manners
from recae.transformers.scaling import Scaling, variance

TILE = 64
"""Rows computed together, padded when fewer: a row gets the same bits whatever its company."""


class Fitted(Manners, Estimator, ABC):
    """The methods of a fitted transformer, over its network, shape and scaling."""

    latent: int
    loss: str
    network_: AutoencoderNet
    scaling_: Scaling
    fitted_params_: dict[str, Any]

    @survives_fork
    def transform(self, X: Any) -> np.ndarray:
        """The codes of examples, (n, latent) float32; of a variational one the posterior means.

        A frame instead, if `set_output` or scikit-learn's configuration says so. Raises DataError
        for examples of another shape or that are none, NotFittedError before fit, ConfigError where
        a hyperparameter was changed since.

        >>> X = np.eye(6)
        >>> recae.Autoencoder(latent=2, epochs=1).fit(X).transform(X[:3]).shape
        (3, 2)
        """
        found: np.ndarray = self._in_frame(self._codes(X), X)
        return found

    @survives_fork
    def inverse_transform(self, Z: Any) -> np.ndarray:
        """What codes stand for, (n, *shape of an example) float32, in the units of the examples.

        With loss "logistic" these are probabilities, with "multinomial" each row's sum to 1. Raises
        DataError for codes of another width, NotFittedError before fit.

        >>> X = np.eye(6)
        >>> recae.Autoencoder(latent=2, epochs=1).fit(X).inverse_transform(np.zeros((3, 2))).shape
        (3, 6)
        """
        self._check_fitted()
        codes = Examples(read_codes(Z, self.latent, type(self).__name__))
        return self._in_units(self._tiles(codes, self._decoded))

    @survives_fork
    def reconstruct(self, X: Any) -> np.ndarray:
        """Examples through the code and back, (n, *shape of an example) float32.

        With loss "multinomial" every example is given back with the sum that it has. Raises
        DataError and NotFittedError as `transform` does.

        >>> X = np.eye(6)
        >>> recae.Autoencoder(latent=2, epochs=1).fit(X).reconstruct(X).shape
        (6, 6)
        """
        return self._in_units(self._tiles(self._read(X), self._reconstructed))

    @survives_fork
    def score_samples(self, X: Any) -> np.ndarray:
        """How well each example is explained, (n,) float32: minus its loss, higher is better.

        With loss "squared" minus the squared error summed over the features, in the units of the
        examples; otherwise a log likelihood in nats. Anomalies come out low. Raises DataError and
        NotFittedError as `transform` does.

        >>> X = np.eye(6)
        >>> recae.Autoencoder(latent=2, epochs=1).fit(X).score_samples(X).shape
        (6,)
        """
        losses = self._losses(self.network_, self._read(X), 0)
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
        scaled = self._read(X)

        def errors(net: AutoencoderNet, batch: Batch, target: Tensor) -> Tensor:
            return (self._reconstructed(batch) - target).square().mean(1)

        found = self._by_tile(self.network_, scaled, errors) * self.scaling_.scale**2
        return np.asarray(found, dtype=np.float32)

    def explained_variance(self, X: Any) -> float:
        """1 - (squared error of the reconstructions) / (that of the features' means): at most 1.

        The figure by which PCA is judged (its explained_variance_ratio_, summed). The means are
        those of X. Raises DataError for X in which nothing varies, and as `transform` does.

        >>> X = np.eye(6)
        >>> recae.Autoencoder(latent=2, epochs=1).fit(X).explained_variance(X) < 1
        True
        """
        error = float(self.reconstruction_error(X).mean(dtype=np.float64))
        total = variance(read_examples(X, type(self).__name__))
        if total == 0:
            raise DataError("nothing varies in X: there is no variance to explain")
        return 1 - error / total

    # The pieces that the methods above share.

    def _check_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            raise self._not_fitted()
        for name, then in self.fitted_params_.items():
            now = getattr(self, name)
            if now != then:
                raise ConfigError(
                    f"{name} of this {type(self).__name__} was {then!r} when it was fitted and is "
                    f"{now!r} now: fit it again, or set it back"
                )

    def _read(self, X: Any) -> Examples:
        """Examples checked against those of `fit`, and scaled."""
        self._check_fitted()
        examples = read_examples(X, type(self).__name__)
        self._check_names(examples, self._names())
        if examples.shape != self.shape_:
            raise self._wrong_shape(examples)
        check_loss(examples, self.loss, type(self).__name__)
        return self.scaling_.apply(examples)

    def _codes(self, X: Any) -> np.ndarray:
        return self._tiles(self._read(X), lambda batch: self.network_.encode(batch)[0])

    def _tiles(self, examples: Examples, read: Callable[[Batch], Tensor]) -> np.ndarray:
        """Applies `read` to padded tiles of the rows: (n, ...) float32."""
        device = next(self.network_.parameters()).device
        found = []
        with torch.no_grad():
            for start in range(0, len(examples), TILE):
                stop = min(start + TILE, len(examples))
                batch = examples.batch(start, stop, TILE).to(device)
                found.append(read(batch)[: stop - start].cpu().numpy())
        return np.concatenate(found)

    def _means(self, z: Tensor, batch: Batch) -> Tensor:
        """What codes stand for, (rows, features), scaled."""
        output = self.network_.decoder(z, batch).dense()
        if self.loss == "logistic":
            return torch.sigmoid(output)
        if self.loss == "multinomial":
            return torch.softmax(output, 1)
        assert isinstance(output, Tensor)
        return output

    def _decoded(self, codes: Batch) -> Tensor:
        assert isinstance(codes.input, Tensor)
        return self._means(codes.input, codes)

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
        return self._by_tile(net, examples, self._tile_losses)

    def _tile_losses(self, net: AutoencoderNet, batch: Batch, target: Tensor) -> Tensor:
        output = net(batch)[0].dense()
        return DENSE_LOSSES[self.loss](output, target)

    def _by_tile(
        self, net: AutoencoderNet, examples: Examples, read: Callable[..., Tensor]
    ) -> np.ndarray:
        """read(net, batch, dense target) over padded tiles: (n,) float32."""
        device = next(net.parameters()).device
        found = []
        with torch.no_grad():
            for start in range(0, len(examples), TILE):
                stop = min(start + TILE, len(examples))
                batch = examples.batch(start, stop, TILE).to(device)
                target = torch.zeros(TILE, int(np.prod(examples.shape)), device=device)
                target[: stop - start] = examples.dense(start, stop).to(device)
                found.append(read(net, batch, target)[: stop - start].cpu().numpy())
        return np.concatenate(found)


def count(value: object, name: str) -> int:
    """An integer >= 1 as an int. Raises ConfigError for anything else."""
    try:
        number = 0 if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = 0
    if number < 1:
        raise ConfigError(f"{name} must be an integer >= 1, not {value!r}")
    return number
