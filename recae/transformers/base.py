"""Transformer: the common hyperparameters and fit of the four kinds of autoencoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch

from recae.errors import ConfigError, DataError, TrainingInterrupted, warn
from recae.estimators.params import estimator, learnt, param
from recae.nn import AutoencoderNet
from recae.system.machine import enough_memory
from recae.system.threads import survives_fork
from recae.training import (
    OPTIMISERS,
    ArrayLoader,
    BeforeEpoch,
    Callback,
    Checkpoint,
    Epoch,
    Loader,
    Objective,
    Plan,
    Run,
    SparseLoader,
    train,
)
from recae.transformers.body import channels_last
from recae.transformers.examples import Examples, check_loss, check_not_empty, read_examples
from recae.transformers.saved import Saved
from recae.transformers.scaling import Scaling


@estimator
class Transformer(Saved):
    """An autoencoder of rows of numbers; subclasses define its network and its objective."""

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
        "after every layer except the code and the output",
        default="relu",
        choices=("relu", "swish", "tanh", "sigmoid"),
    )
    loss: str = param(
        "squared for any numbers, logistic for features between 0 and 1, multinomial for counts",
        default="squared",
        choices=("squared", "logistic", "multinomial"),
    )
    epochs: int = param("largest number of passes over the examples", default=50, low=1)
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

    def _objective(self, updates: int) -> Objective:
        """The training objective, given the number of planned updates."""
        return Objective(self.loss)

    def _before_epoch(self, examples: Examples, seed: int) -> BeforeEpoch | None:
        """A function that overwrites weights before some epochs."""
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
        array, torch tensor or frame, or a scipy sparse matrix, which stays sparse. y is ignored, as
        scikit-learn requires it. validation: further examples; the epoch with the lowest loss on
        them is kept, and training stops early. Their loss excludes penalties of the code (for a
        variational autoencoder it is the evidence bound). seed: an integer >= 0; the same seed
        gives the same model. device: "auto", "cpu", "cuda". callbacks: called with each finished
        Epoch. progress: True, False, or None to show a bar only in a terminal. checkpoint: a file
        for the state of the training; after an interruption the same call resumes from it and
        gives the same result.

        Raises DataError for bad examples, ConfigError for bad options, and on Ctrl-C
        TrainingInterrupted, with the model fitted to its best state, once an epoch is finished.

        >>> X = np.random.default_rng(0).normal(size=(20, 6))
        >>> recae.Autoencoder(latent=2, epochs=2).fit(X).transform(X).shape
        (20, 2)
        """
        self.check_params()
        run = Run.checked(seed, device, callbacks, progress, checkpoint)
        examples = self._checked(X)
        check_not_empty(examples, self.loss, type(self).__name__)
        if self.channels and channels_last(examples.shape):
            warn(
                f"images of the shape {examples.shape} are read as {examples.shape[0]} channels of "
                f"{examples.shape[1]} x {examples.shape[2]} pixels: if channels come last, give "
                "np.moveaxis(X, -1, 1)"
            )
        kept = None
        if validation is not None:
            kept = self._checked(validation)
            if kept.shape != examples.shape or kept.sparse != examples.sparse:
                raise DataError(f"validation has {kept}; X has {examples}: both must be alike")
            self._check_names(kept, examples.names)
        about = {
            "model": type(self).__name__,
            "hyperparameters": self.get_params(),
            "seed": run.seed,
            "data": examples.digest(),
            "validation": None if kept is None else kept.digest(),
        }
        kept_at = None if checkpoint is None else Checkpoint(checkpoint, about)
        with enough_memory(f"fitting {self!r} on {len(examples):,} examples"):
            self._learn(examples, kept, run, kept_at)
        return self

    def _learn(
        self,
        examples: Examples,
        validation: Examples | None,
        run: Run,
        checkpoint: Checkpoint | None,
    ) -> None:
        seed = run.seed
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
        try:
            epochs = train(
                net,
                loader,
                self._objective(self.epochs * len(loader)),
                self._plan(scaled, seed),
                seed=seed,
                device=run.device,
                validate=validate,
                callbacks=run.callbacks,
                checkpoint=checkpoint,
                progress=run.progress,
                name=type(self).__name__,
            )
        except TrainingInterrupted as interruption:
            self._own(net, interruption.epochs, examples, scaling)
            self._after(scaled, seed)
            raise
        self._own(net, epochs, examples, scaling)
        self._after(scaled, seed)

    def _own(
        self, net: AutoencoderNet, epochs: Sequence[Epoch], examples: Examples, scaling: Scaling
    ) -> None:
        self.network_, self.epochs_, self.scaling_ = net, list(epochs), scaling
        self.shape_, self.fitted_params_ = examples.shape, self.get_params()
        self._note_names(examples.names)

    def _checked(self, given: Any) -> Examples:
        """Reads examples and checks them against the loss."""
        owner = type(self).__name__
        examples = read_examples(given, owner)
        if examples.sparse and self.loss in self.only_dense:
            raise ConfigError(
                f"loss {self.loss!r} of {owner} needs dense examples, not sparse: set "
                "loss='multinomial' or 'logistic', or give X.toarray() if it is small"
            )
        check_loss(examples, self.loss, owner)
        return examples

    def _after(self, examples: Examples, seed: int) -> None:
        """Learns from the scaled examples after training the network."""

    def _plan(self, examples: Examples, seed: int) -> Plan:
        return Plan(
            epochs=self.epochs,
            lr=self.lr,
            l2=self.l2,
            metric="loss",
            patience=self.patience,
            optimiser=self.optimiser,
            lowest_is_best=True,
            before_epoch=self._before_epoch(examples, seed),
        )

    def _loader(self, examples: Examples, seed: int) -> Loader:
        if examples.sparse:
            return SparseLoader(examples.rows, None, self.batch_size, seed)
        return ArrayLoader(examples.rows, None, self.batch_size, seed)
