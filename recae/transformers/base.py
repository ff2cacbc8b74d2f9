"""The base of the four transformers: fit, transform, reconstruct, score, save."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from recae.errors import ConfigError, DataError, TrainingInterrupted
from recae.forks import survives_fork
from recae.memory import enough_memory
from recae.nn import AutoencoderNet
from recae.objective import Objective
from recae.progress import check_progress
from recae.recommender import estimator, learnt, param
from recae.rng import check_seed
from recae.saved import write_folder
from recae.training import (
    OPTIMISERS,
    ArrayLoader,
    Callback,
    Checkpoint,
    Epoch,
    Loader,
    Plan,
    Rewrite,
    SparseLoader,
    check_callbacks,
    resolve_device,
    train,
)
from recae.transformers.body import Body
from recae.transformers.examples import Examples, read_examples
from recae.transformers.fitted import Fitted
from recae.transformers.scaling import Scaling

TILE = 64
"""Rows computed together, padded when fewer: a row gets the same bits whatever its company."""


@estimator
class Transformer(Fitted):
    """An autoencoder over rows of numbers; a kind supplies its network and its objective."""

    only_dense: ClassVar[tuple[str, ...]] = ("gaussian", "cosine")

    latent: int = param("width of the code", default=32, low=1, usual=(2, 512))
    hidden: tuple[int, ...] = param(
        "widths of the dense layers between example and code, mirrored in the decoder",
        default=(256,),
        low=1,
        usual=(64, 1024),
    )
    channels: tuple[int, ...] = param(
        "for images: channels after each convolution, which halves height and width; () for an MLP",
        default=(),
        low=1,
    )
    activation: str = param(
        "after every layer but those of code and output",
        default="relu",
        choices=("relu", "swish", "tanh", "sigmoid"),
    )
    loss: str = param(
        "what an output is held to: the numbers themselves, a decision for every feature (between "
        "0 and 1), or one choice among all features (counts)",
        default="squared",
        choices=("squared", "logistic", "multinomial"),
    )
    epochs: int = param("passes over the examples, at most", default=50, low=1)
    batch_size: int = param("examples per update", default=128, low=1, usual=(32, 1024))
    lr: float = param("learning rate", default=1e-3, above=0, usual=(1e-4, 1e-2))
    optimiser: str = param("how the weights are updated", default="adam", choices=tuple(OPTIMISERS))
    l2: float = param(
        "the loss gains l2 x (sum of squared weights, without biases)",
        default=0.0,
        low=0,
        usual=(1e-7, 1e-3),
    )
    patience: int = param(
        "with validation: epochs without a new best before training stops", default=5, low=1
    )

    network_: AutoencoderNet = learnt()
    epochs_: list[Epoch] = learnt()
    shape_: tuple[int, ...] = learnt()
    scaling_: Scaling = learnt()
    n_features_in_: int = learnt()

    @abstractmethod
    def _network(self, body: Body, examples: Examples, seed: int) -> AutoencoderNet:
        """The network, its weights not yet drawn; examples: what it will read, scaled."""

    def _objective(self, updates: int) -> Objective:
        """What to minimise, given how many updates are planned."""
        return Objective(self.loss)

    def _rewrite(self, examples: Examples, seed: int) -> Rewrite | None:
        """What overwrites weights before some epochs."""
        return None

    @survives_fork
    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        validation: Any = None,
        seed: int = 0,
        device: str | torch.device = "auto",
        callbacks: Callback | Sequence[Callback] = (),
        progress: bool | None = None,
        checkpoint: str | Path | None = None,
    ) -> Self:
        """Learns from examples and returns self.

        X: (n, features) numbers, images (n, height, width) or (n, channels, height, width), as
        array, torch tensor or frame, or a scipy sparse matrix, which stays sparse. y is there for
        scikit-learn and ignored. validation: other examples, to keep the epoch with the lowest loss
        on them and to stop early. seed: an integer >= 0; the same seed gives the same model.
        device: "auto", "cpu", "cuda". callbacks: called with each finished Epoch. progress: True,
        False, or None to ask the terminal. checkpoint: a file that keeps the state of the training;
        the same call finds it after a kill and goes on to the same result.

        Raises DataError for bad examples, ConfigError for bad options, and on Ctrl-C
        TrainingInterrupted, with the model fitted to its best state, once an epoch is finished.

        >>> X = np.random.default_rng(0).normal(size=(20, 6))
        >>> recae.Autoencoder(latent=2, epochs=2).fit(X).transform(X).shape
        (20, 2)
        """
        self.check_params()
        called = check_callbacks(callbacks)
        check_progress(progress)
        seed, device = check_seed(seed), resolve_device(device)
        examples = read_examples(X, type(self).__name__)
        self._check_loss(examples)
        kept = None
        if validation is not None:
            kept = read_examples(validation, type(self).__name__)
            if kept.shape != examples.shape or kept.sparse != examples.sparse:
                raise DataError(
                    f"validation has {_kind(kept)}; X has {_kind(examples)}: give both alike"
                )
            self._check_loss(kept)
        about = {
            "model": type(self).__name__,
            "hyperparameters": self.get_params(),
            "seed": seed,
            "data": examples.digest(),
            "validation": None if kept is None else kept.digest(),
        }
        kept_at = None if checkpoint is None else Checkpoint(checkpoint, about)
        with enough_memory(f"fitting {self!r} on {len(examples):,} examples"):
            self._learn(examples, kept, seed, device, called, progress, kept_at)
        return self

    def _learn(
        self,
        examples: Examples,
        validation: Examples | None,
        seed: int,
        device: torch.device,
        callbacks: Sequence[Callback],
        progress: bool | None,
        checkpoint: Checkpoint | None,
    ) -> None:
        scaling = Scaling.of(examples, self.loss)
        scaled = scaling.apply(examples)
        net = self._network(self._body(examples.shape, scaling), scaled, seed)
        loader = self._loader(scaled, seed)
        validate: Callable[[], Mapping[str, float]] | None = None
        if validation is not None:
            held_out = scaling.apply(validation)

            def measured() -> Mapping[str, float]:
                return {"loss": float(self._losses(net, held_out, seed).mean())}

            validate = measured
        self.shape_, self.scaling_ = examples.shape, scaling
        self._note_names(examples)
        try:
            epochs = train(
                net,
                loader,
                self._objective(self.epochs * len(loader)),
                self._plan(scaled, seed),
                seed=seed,
                device=device,
                validate=validate,
                callbacks=callbacks,
                checkpoint=checkpoint,
                progress=progress,
                name=type(self).__name__,
            )
        except TrainingInterrupted as interruption:
            self.network_, self.epochs_ = net, list(interruption.epochs)
            self._after(scaled, seed)
            raise
        self.network_, self.epochs_ = net, epochs
        self._after(scaled, seed)

    def _after(self, examples: Examples, seed: int) -> None:
        """What is learnt from the scaled examples once the weights stand."""

    def _plan(self, examples: Examples, seed: int) -> Plan:
        return Plan(
            epochs=self.epochs,
            lr=self.lr,
            l2=self.l2,
            metric="loss",
            patience=self.patience,
            optimiser=self.optimiser,
            lowest_is_best=True,
            rewrite=self._rewrite(examples, seed),
        )

    def _body(self, shape: tuple[int, ...], scaling: Scaling) -> Body:
        if self.channels and len(shape) not in (2, 3):
            raise DataError(
                f"channels={self.channels} wants images, (n, height, width) or (n, channels, "
                f"height, width); X has examples of the shape {shape}: set channels=()"
            )
        return Body(shape, self.hidden, self.channels, self.activation, scaling.start)

    def _loader(self, examples: Examples, seed: int) -> Loader:
        if examples.sparse:
            return SparseLoader(examples.rows, None, self.batch_size, seed)
        return ArrayLoader(examples.rows, None, self.batch_size, seed)

    def _check_loss(self, examples: Examples) -> None:
        """Raises unless these examples can be held to the loss."""
        owner = type(self).__name__
        if examples.sparse and self.loss in self.only_dense:
            raise ConfigError(f"loss {self.loss!r} of {owner} needs dense examples, not sparse")
        values = torch.from_numpy(examples.rows.data) if examples.sparse else examples.rows
        if not values.numel():
            raise DataError(f"X of {owner} has no entry other than 0: there is nothing to learn")
        low, high = values.min(), values.max()
        if self.loss in ("logistic", "multinomial") and low < 0:
            raise DataError(
                f"Negative values in data passed to {owner}: loss={self.loss!r} takes none (the "
                f"lowest is {float(low):g}); scale X, or set loss='squared'"
            )
        if self.loss == "logistic" and high > 1:
            raise DataError(
                f"X of {owner} goes up to {float(high):g}; loss='logistic' takes 0 to 1: divide X "
                "by its largest value, or set loss='squared'"
            )

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Writes the fitted model to a directory, for `recae.load_transformer`.

        JSON and safetensors, whole or not at all. Raises StorageError for a path that is taken
        (unless it holds a saved model and `overwrite`), no permission or a full disk;
        NotFittedError before fit.

        >>> recae.Autoencoder().save("nowhere")
        Traceback (most recent call last):
        recae.errors.NotFittedError: this Autoencoder is not fitted: call fit first
        """
        self._check_fitted()
        settings = {
            "params": self.get_params(),
            "shape": list(self.shape_),
            "names": self._names(),
            "learnt": self._numbers(),
        }
        arrays = {f"net.{name}": tensor for name, tensor in self.network_.state_dict().items()}
        return write_folder(
            path,
            type(self).__name__,
            settings,
            arrays | self.scaling_.arrays(),
            overwrite=overwrite,
        )

    def _numbers(self) -> dict[str, float]:
        """Learnt numbers beside the weights, ready for JSON."""
        return {}

    @classmethod
    def _restored(cls, settings: Mapping[str, Any], arrays: Mapping[str, Tensor]) -> Self:
        """A transformer from what `save` wrote. Raises DataError where they don't belong together.

        `recae.load_transformer` reads a folder.
        """
        try:
            params: dict[str, Any] = dict(settings["params"])
            params = {k: tuple(v) if isinstance(v, list) else v for k, v in params.items()}
            model = cls().set_params(**params)
            model.check_params()
            model._restore(settings, arrays)
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise DataError(f"this {cls.__name__} cannot be restored: {error}") from error
        return model

    def _restore(self, settings: Mapping[str, Any], arrays: Mapping[str, Tensor]) -> None:
        self.shape_ = tuple(settings["shape"])
        self.scaling_ = Scaling.restored(arrays)
        blank = Examples(torch.zeros(1, int(np.prod(self.shape_))))
        net = self._network(self._body(self.shape_, self.scaling_), blank, 0)
        weights = {n.removeprefix("net."): t for n, t in arrays.items() if n.startswith("net.")}
        net.load_state_dict(weights)
        self.network_, self.epochs_ = net.eval(), []
        self._note_names(Examples(blank.rows, settings["names"] and tuple(settings["names"])))
        for name, value in settings["learnt"].items():
            setattr(self, name, value)


def _kind(examples: Examples) -> str:
    return f"{'sparse' if examples.sparse else 'dense'} examples of the shape {examples.shape}"
