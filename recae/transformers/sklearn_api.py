"""The scikit-learn interface of a transformer, without importing scikit-learn."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from recae.errors import DataError, NotFittedError, unknown_option
from recae.transformers.examples import Examples

OUTPUTS = ("default", "pandas", "polars")


class SklearnAPI:
    """The methods of scikit-learn transformers other than fit and transform."""

    shape_: tuple[int, ...]
    n_features_in_: int
    latent: int
    loss: str
    only_dense: ClassVar[tuple[str, ...]] = ("gaussian", "cosine")
    _output: str | None = None

    def fit_transform(self, X: Any, y: Any = None, **options: Any) -> np.ndarray:
        """Fits, then encodes the same examples, (n, latent) float32; options: those of `fit`.

        Raises what `fit` raises.

        >>> recae.Autoencoder(latent=2, epochs=1).fit_transform(np.eye(6)).shape
        (6, 2)
        """
        fitted: Any = self
        codes: np.ndarray = fitted.fit(X, y, **options).transform(X)
        return codes

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the units of the code, (latent,) object: the lowercase class name and a number.

        Raises NotFittedError before fit.

        >>> recae.Autoencoder(latent=2, epochs=1).fit(np.eye(6)).get_feature_names_out().tolist()
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
        >>> model.fit_transform(np.eye(6)).columns.tolist()
        ['autoencoder0', 'autoencoder1']
        """
        if transform is not None and transform not in OUTPUTS:
            raise unknown_option("output of transform", transform, OUTPUTS)
        if transform is not None:
            self._output = transform
        return self

    def _in_frame(self, codes: np.ndarray, X: Any) -> Any:
        """The codes in the chosen output type; a pandas frame has the index of X."""
        wanted = self._output
        if wanted is None and "sklearn" in sys.modules:
            wanted = sys.modules["sklearn"].get_config()["transform_output"]
        if wanted == "pandas":
            index = X.index if isinstance(X, pd.DataFrame) else None
            return pd.DataFrame(codes, index, self.get_feature_names_out(), copy=False)
        if wanted == "polars":
            import polars

            return polars.DataFrame(codes, schema=self.get_feature_names_out().tolist())
        return codes

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "network_")

    def __sklearn_clone__(self) -> Self:
        clone: Self = type(self)(**self.get_params())  # type: ignore[attr-defined]
        return clone.set_output(transform=self._output)

    def __sklearn_tags__(self) -> Any:
        """The tags of scikit-learn 1.6 and later."""
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type="transformer",
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(preserves_dtype=[]),
            input_tags=InputTags(
                sparse=self.loss not in self.only_dense,
                three_d_array=True,
                positive_only=self.loss in ("logistic", "multinomial"),
            ),
        )

    def _not_fitted(self) -> Exception:
        """A NotFittedError; once scikit-learn is imported, one that is also scikit-learn's."""
        message = f"this {type(self).__name__} is not fitted: call fit first"
        exceptions = sys.modules.get("sklearn.exceptions")
        if exceptions is None:
            return NotFittedError(message)
        members = {
            "__module__": NotFittedError.__module__,
            "__reduce__": lambda self: (NotFittedError, self.args),
        }
        bases = (NotFittedError, exceptions.NotFittedError)
        both: type[Exception] = type("NotFittedError", bases, members)
        return both(message)

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
        unseen = sorted(set(examples.names) - set(names))
        missing = sorted(set(names) - set(examples.names))
        raise DataError(
            "The feature names should match those that were passed during fit.\n"
            + (f"Feature names unseen at fit time:\n- {unseen[0]}\n" if unseen else "")
            + (
                f"Feature names seen at fit time, yet now missing:\n- {missing[0]}\n"
                if missing
                else ""
            )
            + (
                ""
                if unseen or missing
                else "Feature names must be in the same order as they were in fit.\n"
            )
        )

    def _wrong_shape(self, examples: Examples) -> Exception:
        if len(examples.shape) == len(self.shape_) == 1:
            return DataError(
                f"X has {examples.shape[0]} features, but {type(self).__name__} is expecting "
                f"{self.shape_[0]} features as input"
            )
        return DataError(
            f"X has examples of the shape {examples.shape}; this {type(self).__name__} was fitted "
            f"on {self.shape_}"
        )
