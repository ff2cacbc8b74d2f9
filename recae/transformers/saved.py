"""Saves transformers and restores them for `recae.load`."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from recae.errors import DataError
from recae.estimators.saved import Contents, filled, hyperparameters, shape_of, write
from recae.nn import AutoencoderNet
from recae.training import Epoch
from recae.transformers.body import Body
from recae.transformers.examples import Examples
from recae.transformers.fitted import Fitted
from recae.transformers.scaling import Scaling, positive


class Saved(Fitted):
    """A transformer whose network can be built again from its hyperparameters, and so saved."""

    hidden: tuple[int, ...]
    channels: tuple[int, ...]
    activation: str
    epochs_: list[Epoch]
    numbers: ClassVar[tuple[str, ...]] = ()
    """Learnt numbers beside the weights."""

    @abstractmethod
    def _network(self, body: Body, examples: Examples, seed: int) -> AutoencoderNet:
        """The network, its weights not yet drawn; examples: what it will read, scaled."""

    def _body(self, shape: tuple[int, ...], scaling: Scaling) -> Body:
        if self.channels and len(shape) not in (2, 3):
            raise DataError(
                f"channels={self.channels} wants images, (n, height, width) or (n, channels, "
                f"height, width); X has examples of the shape {shape}: set channels=()"
            )
        return Body(shape, self.hidden, self.channels, self.activation, scaling.start)

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Writes the fitted model to a folder with a model card, atomically, for `recae.load`.

        Raises StorageError for a path that is taken (unless it holds a saved model and
        `overwrite`), no permission or a full disk; NotFittedError before fit.

        >>> recae.Autoencoder().save("nowhere")
        Traceback (most recent call last):
        recae.errors.NotFittedError: this Autoencoder is not fitted: call fit first
        """
        return write(type(self), self._contents(), path, overwrite=overwrite)

    def _contents(self) -> Contents:
        """The state from which `_restored` makes a transformer."""
        self._check_fitted()
        settings = {
            "params": self.get_params(),
            "shape": list(self.shape_),
            "names": self._names(),
            "learnt": {name: getattr(self, name) for name in self.numbers},
            "facts": {"Data": {"shape of an example": " x ".join(map(str, self.shape_))}},
        }
        arrays = {f"net.{name}": tensor for name, tensor in self.network_.state_dict().items()}
        return Contents(settings, arrays | self.scaling_.arrays())

    @classmethod
    def _restored(
        cls, settings: Mapping[str, Any], arrays: Mapping[str, Tensor], files: Mapping[str, Path]
    ) -> Self:
        model = cls().set_params(**hyperparameters(settings))
        model.check_params()
        model._restore(settings, arrays)
        return model

    def _restore(self, settings: Mapping[str, Any], arrays: Mapping[str, Tensor]) -> None:
        self.shape_ = shape_of(settings["shape"])
        features = math.prod(self.shape_)
        self.scaling_ = Scaling.restored(arrays, features)
        body = self._body(self.shape_, self.scaling_)
        weights = {n.removeprefix("net."): t for n, t in arrays.items() if n.startswith("net.")}
        self.network_ = filled(
            lambda: self._network(body, Examples(torch.empty(1, features)), 0), weights
        )
        self.epochs_, self.fitted_params_ = [], self.get_params()
        names = settings["names"]
        if names is not None and (
            len(names) != features or not all(isinstance(name, str) for name in names)
        ):
            raise ValueError(f"the names of the {features} features are {names!r:.50}")
        self._note_names(names)
        for name in self.numbers:
            setattr(self, name, positive(settings["learnt"][name], name))
