"""The methods of a fitted transformer: transform, reconstruct, score, and those of scikit-learn."""

from __future__ import annotations

import sys
from abc import ABC
from collections.abc import Callable, Sequence
from math import prod
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from recae.errors import DataError, check_option
from recae.estimators.params import Estimator
from recae.nn import DENSE_LOSSES, AutoencoderNet, Batch
from recae.system.machine import row_batches
from recae.system.rounding import full_sums
from recae.system.threads import survives_fork
from recae.transformers.examples import Examples, check_loss, read_codes, read_examples
from recae.transformers.scaling import Scaling, variance

OUTPUTS = ("default", "pandas", "polars")


class Fitted(Estimator, ABC):
    """The methods of a fitted transformer, given its network, shape and scaling, and the interface
    of scikit-learn, without importing it."""

    latent: int
    hidden: tuple[int, ...]
    channels: tuple[int, ...]
    loss: str
    only_dense: ClassVar[tuple[str, ...]] = ("gaussian", "cosine")
    network_: AutoencoderNet
    scaling_: Scaling
    shape_: tuple[int, ...]
    n_features_in_: int
    _output: str | None = None
    _kind = "transformer"
    _mark = "network_"

    @survives_fork
    def transform(self, X: Any) -> np.ndarray:
        """The codes of examples, (n, latent) float32; posterior means of a variational autoencoder.

        A frame instead, with the index of X, if `set_output` or scikit-learn's configuration asks
        for one. Raises DataError for unusable examples and for another shape, NotFittedError before
        fit, ConfigError if a hyperparameter was changed after fit.

        >>> recae.Autoencoder(latent=2, epochs=1).fit(X).transform(X[:3]).shape
        (3, 2)
        """
        codes: Any = self._codes(X)
        wanted = self._output
        if wanted is None and "sklearn" in sys.modules:
            wanted = sys.modules["sklearn"].get_config()["transform_output"]
        if wanted == "pandas":
            index = X.index if isinstance(X, pd.DataFrame) else None
            codes = pd.DataFrame(codes, index, self.get_feature_names_out(), copy=False)
        elif wanted == "polars":
            import polars

            codes = polars.DataFrame(codes, schema=self.get_feature_names_out().tolist())
        return codes  # type: ignore[no-any-return]

    @survives_fork
    def inverse_transform(self, Z: Any) -> np.ndarray:
        """Decodes codes, (n, *shape of an example) float32, in the units of the examples.

        With loss "logistic" these are probabilities, with "multinomial" they sum to 1. Raises
        DataError for codes of another width, NotFittedError before fit.

        >>> recae.Autoencoder(latent=2, epochs=1).fit(X).inverse_transform(np.zeros((3, 2))).shape
        (3, 6)
        """
        self._check_fitted()
        codes = Examples(read_codes(Z, self.latent, type(self).__name__))
        means = self._by_batch(self.network_, codes, lambda batch: self._means(batch.input, batch))
        return self._in_units(means)

    @survives_fork
    def reconstruct(self, X: Any) -> np.ndarray:
        """Encodes and decodes examples, (n, *shape of an example) float32.

        With loss "multinomial" each reconstruction has the sum of its example. Raises
        DataError and NotFittedError as `transform` does.

        >>> recae.Autoencoder(latent=2, epochs=1).fit(X).reconstruct(X).shape
        (100, 6)
        """
        examples = self._read(X)
        return self._in_units(self._by_batch(self.network_, examples, self._reconstructed))

    @survives_fork
    def score_samples(self, X: Any) -> np.ndarray:
        """Minus the loss of each example, (n,) float32, higher is better.

        With loss "squared" minus the squared error summed over the features, in the units of the
        examples; otherwise a log likelihood in nats. Anomalies have low scores. Raises DataError
        and NotFittedError as `transform` does.

        >>> recae.Autoencoder(latent=2, epochs=1).fit(X).score_samples(X).shape
        (100,)
        """
        examples = self._read(X)
        losses = self._losses(self.network_, examples, 0)
        unit = self.scaling_.scale**2 if self.loss == "squared" else 1.0
        return -_times(losses, unit)

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of `score_samples`. Raises what it raises.

        >>> recae.Autoencoder(latent=2, epochs=1).fit(X).score(X) < 0
        True
        """
        return float(self.score_samples(X).mean(dtype=np.float64))

    @survives_fork
    def reconstruction_error(self, X: Any) -> np.ndarray:
        """The mean squared error of `reconstruct` for each example over its features, (n,) float32.

        In the units of the examples, squared. Raises DataError and NotFittedError as `transform`.

        >>> recae.Autoencoder(latent=2, epochs=1).fit(X).reconstruction_error(X).shape
        (100,)
        """
        return _times(self._errors(self._read(X)), self.scaling_.scale**2)

    def explained_variance(self, X: Any) -> float:
        """1 - (squared error of the reconstructions) / (squared error of the feature means of X).

        At most 1; for PCA it is the sum of explained_variance_ratio_. Raises DataError for X with
        constant features only, and as `transform` does.

        >>> recae.Autoencoder(latent=2, epochs=1).fit(X).explained_variance(X) < 1
        True
        """
        error = float(self._errors(self._read(X)).mean(dtype=np.float64))
        total = variance(read_examples(X, type(self).__name__))
        if total == 0:
            raise DataError("all features of X are constant: there is no variance to explain")
        return 1 - error / (total / self.scaling_.scale**2)

    def fit_transform(self, X: Any, y: Any = None, **options: Any) -> np.ndarray:
        """Fits, then encodes the same examples, (n, latent) float32; options: those of `fit`.

        Raises what `fit` raises.

        >>> recae.Autoencoder(latent=2, epochs=1).fit_transform(X).shape
        (100, 2)
        """
        fitted: Any = self
        codes: np.ndarray = fitted.fit(X, y, **options).transform(X)
        return codes

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the n = `latent` units, (n,) object: the lowercase class name and a number.

        Raises NotFittedError before fit.

        >>> recae.Autoencoder(latent=2, epochs=1).fit(X).get_feature_names_out().tolist()
        ['autoencoder0', 'autoencoder1']
        """
        if not self.__sklearn_is_fitted__():
            raise self._not_fitted()
        name = type(self).__name__.lower()
        return np.array([f"{name}{unit}" for unit in range(self.latent)], dtype=object)

    def set_output(self, *, transform: str | None = None) -> Self:
        """Sets the output of `transform` and `fit_transform`: "default" (arrays), "pandas" or
        "polars".

        None changes nothing. Until it is set, scikit-learn's `set_config(transform_output=...)`
        decides, if scikit-learn is imported. Raises ConfigError for anything else.

        >>> model = recae.Autoencoder(latent=2, epochs=1).set_output(transform="pandas")
        >>> model.fit_transform(X).columns.tolist()
        ['autoencoder0', 'autoencoder1']
        """
        if transform is not None:
            check_option("output of transform", transform, OUTPUTS)
            self._output = transform
        return self

    # Shared by the methods above.

    def _read(self, X: Any) -> Examples:
        """Checks examples against those of `fit`, and scales them."""
        self._check_fitted()
        examples = read_examples(X, type(self).__name__)
        self._check_names(examples, self._names())
        if examples.shape != self.shape_:
            if len(examples.shape) == len(self.shape_) == 1:  # the words that scikit-learn expects
                raise DataError(
                    f"X has {examples.shape[0]} features, but {type(self).__name__} is expecting "
                    f"{self.shape_[0]} features as input"
                )
            raise DataError(
                f"X has examples of the shape {examples.shape}; this {type(self).__name__} was "
                f"fitted on {self.shape_}"
            )
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
        with torch.no_grad(), full_sums(device):
            parts = [
                read(examples.batch(rows).to(device)).cpu().numpy()
                for rows in row_batches(len(examples), width)
            ]
        return np.concatenate(parts)

    def _means(self, z: Any, batch: Batch) -> Tensor:
        """The decoded means of codes, (rows, features), scaled."""
        output: Tensor = self.network_.decoder(z, batch).dense()
        if self.loss == "logistic":
            return output.sigmoid()
        return output.softmax(1) if self.loss == "multinomial" else output

    def _reconstructed(self, batch: Batch) -> Tensor:
        means = self._means(self.network_.encode(batch)[0], batch)
        return means * batch.target_sums()[:, None] if self.loss == "multinomial" else means

    def _in_units(self, scaled: np.ndarray) -> np.ndarray:
        found = self.scaling_.undo(scaled)
        return found.reshape(len(found), *self.shape_)

    def _errors(self, examples: Examples) -> np.ndarray:
        """The mean squared error of each scaled example over its features, (n,) float32."""

        def errors(batch: Batch) -> Tensor:
            return (self._reconstructed(batch) - dense_target(batch)).square().mean(1)

        return self._by_batch(self.network_, examples, errors)

    def _losses(self, net: AutoencoderNet, examples: Examples, seed: int) -> np.ndarray:
        """The reconstruction loss of each scaled example, (n,) float32."""

        def losses(batch: Batch) -> Tensor:
            return DENSE_LOSSES[self.loss](net(batch)[0].dense(), dense_target(batch))

        return self._by_batch(net, examples, losses)

    def __sklearn_clone__(self) -> Self:
        return self.clone().set_output(transform=self._output)

    def _input_tags(self) -> dict[str, bool]:
        return {
            "sparse": self.loss not in self.only_dense,
            "three_d_array": True,
            "positive_only": self.loss in ("logistic", "multinomial"),
        }

    def _note_names(self, names: Sequence[str] | None) -> None:
        """Stores the number of features and their names."""
        self.n_features_in_ = int(np.prod(self.shape_))
        if names is not None:
            self.feature_names_in_ = np.array(names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    def _names(self) -> list[str] | None:
        names = getattr(self, "feature_names_in_", None)
        return None if names is None else names.tolist()

    def _check_names(self, examples: Examples, names: Sequence[str] | None) -> None:
        """Raises DataError for a frame whose columns differ from the names or their order."""
        if names is None or examples.names is None or [*examples.names] == [*names]:
            return
        found = ["The feature names should match those that were passed during fit."]
        for what, odd in (
            ("unseen at fit time", set(examples.names) - set(names)),
            ("seen at fit time, yet now missing", set(names) - set(examples.names)),
        ):
            if odd:
                found.append(f"Feature names {what}:\n- {min(odd)}")
        if len(found) == 1:
            found.append("Feature names must be in the same order as they were in fit.")
        raise DataError("\n".join(found) + "\n")


def _times(numbers: np.ndarray, unit: float) -> np.ndarray:
    """The product as float32, infinite where it is beyond float32."""
    if 1e-30 < unit < 1e30:
        return np.asarray(numbers * unit, dtype=np.float32)
    with np.errstate(over="ignore"):
        return (numbers * np.float64(unit)).astype(np.float32)


def dense_target(batch: Batch) -> Tensor:
    """The target of a batch, (rows, features)."""
    target = batch.target
    if isinstance(target, Tensor):
        return target
    dense = target.values.new_zeros(len(target), target.n_columns)
    dense[target.rows, target.indices] = target.values
    return dense
