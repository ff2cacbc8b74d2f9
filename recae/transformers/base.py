"""Transformer: the common hyperparameters, fit and saved form of the four kinds of autoencoder."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from recae.errors import ConfigError, DataError, TrainingInterrupted, warn
from recae.estimators.params import estimator, learnt, param
from recae.estimators.saved import Contents, filled, hyperparameters, shape_of, write
from recae.nn import AutoencoderNet
from recae.system.machine import __version__, enough_memory
from recae.system.threads import survives_fork
from recae.training import (
    OPTIMISERS,
    ArrayLoader,
    BeforeEpoch,
    Callback,
    Checkpoint,
    Epoch,
    Job,
    Loader,
    Objective,
    Plan,
    Run,
    SparseLoader,
    following,
    train,
    warn_if_not_converged,
)
from recae.transformers.body import Body, channels_last
from recae.transformers.examples import Examples, check_loss, check_not_empty, read_examples
from recae.transformers.fitted import Fitted
from recae.transformers.scaling import Scaling, positive

EPOCHS, UPDATES = 50, 1000
"""Epochs by default, and the updates that they give at least."""

PATIENCE, PATIENT_UPDATES = 5, 100
"""The same for the epochs without a new best."""


@estimator
class Transformer(Fitted):
    """An autoencoder of rows of numbers; subclasses define its network and its objective."""

    numbers: ClassVar[tuple[str, ...]] = ()
    """Learnt numbers beside the weights, which are saved with them."""

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
    epochs: int | None = param(
        "largest number of passes over the examples; None: 50, or with few examples as many as "
        "give 1000 updates",
        default=None,
        low=1,
    )
    batch_size: int = param("examples per update", default=128, low=1, usual=(32, 1024))
    lr: float = param("learning rate", default=1e-3, above=0, usual=(1e-4, 1e-2))
    optimiser: str = param("how the weights are updated", default="adam", choices=tuple(OPTIMISERS))
    l2: float = param(
        "the loss gains l2 x (sum of squared weights, without biases)",
        default=0.0,
        low=0,
        usual=(1e-7, 1e-3),
    )
    patience: int | None = param(
        "with validation: epochs without a new best before training stops; None: 5, or with few "
        "examples as many as give 100 updates",
        default=None,
        low=1,
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
        """The training objective, given the number of planned updates."""
        return Objective(self.loss)

    def _before_epoch(self, examples: Examples, seed: int) -> BeforeEpoch | None:
        """A function that overwrites weights before some epochs."""
        return None

    def _planned(self, loader: Loader) -> int:
        """The largest number of epochs."""
        return self.epochs or max(EPOCHS, -(-UPDATES // len(loader)))

    def _solved(self) -> bool:
        """Whether `_start` gives the optimum, so that there is nothing to train."""
        return False

    def _start(self, examples: Examples, seed: int) -> Callable[[Any], None] | None:
        """A function that overwrites the network as drawn, given the scaled examples."""
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
        Epoch; trackers, as of `recae.tracking`, also get parameters and result. progress: True,
        False, or None to show a bar only in a terminal. checkpoint: a file for the state of the
        training; after an interruption the same call resumes from it and gives the same result.

        Raises DataError for bad examples, ConfigError for bad options, and on Ctrl-C
        TrainingInterrupted, with the model fitted to its best state, once an epoch is finished.

        >>> recae.Autoencoder(latent=2, epochs=2).fit(X).transform(X).shape
        (100, 2)
        """
        self.check_params()
        run = Run.checked(seed, device, callbacks, progress, checkpoint)
        examples = self._checked(X)
        check_not_empty(examples, self.loss, type(self).__name__)
        if self.channels and channels_last(examples.shape):
            warn(
                f"images of the shape {examples.shape} are read as {examples.shape[0]} channels of "
                f"{examples.shape[1]} x {examples.shape[2]} pixels: if channels come last, pass "
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
        params = {**self.get_params(), "seed": run.seed}
        facts = {
            "recae": __version__,
            "examples": len(examples),
            "device": str(run.device),
            **{name: about[name] for name in ("data", "validation") if about[name]},
        }
        name = type(self).__name__
        with following(run.callbacks, lambda: Job("fit", name, params, facts)) as told:
            with enough_memory(f"fitting {self!r} on {len(examples):,} examples"):
                self._learn(examples, kept, run, kept_at)
            told.model = self
        return self

    def _learn(
        self,
        examples: Examples,
        validation: Examples | None,
        run: Run,
        checkpoint: Checkpoint | None,
    ) -> None:
        """Scales, trains by the common loop, and keeps what was learnt, also after an interruption,
        which is raised at the end."""
        seed = run.seed
        interrupted: TrainingInterrupted | None = None
        scaling = Scaling.of(examples, self.loss)
        scaled = scaling.apply(examples)
        held_out = None if validation is None else scaling.apply(validation)
        net = self._network(self._body(examples.shape, scaling), scaled, seed)
        loader = self._loader(scaled, seed)
        solved = self._solved()
        planned = (self.epochs or 1) if solved else self._planned(loader)
        plan = Plan(
            epochs=planned,
            lr=0.0 if solved else self.lr,
            l2=self.l2,
            metric="loss",
            patience=self.patience or max(PATIENCE, -(-PATIENT_UPDATES // len(loader))),
            optimiser=self.optimiser,
            lowest_is_best=True,
            before_epoch=self._before_epoch(scaled, seed),
            start=self._start(scaled, seed),
        )

        def validate() -> Mapping[str, float]:
            assert held_out is not None
            return {"loss": float(self._losses(net, held_out, seed).mean())}

        try:
            epochs = train(
                net,
                loader,
                self._objective(planned * len(loader)),
                plan,
                seed=seed,
                device=run.device,
                validate=None if held_out is None else validate,
                callbacks=run.callbacks,
                checkpoint=checkpoint,
                progress=run.progress,
                name=type(self).__name__,
            )
        except TrainingInterrupted as interruption:
            epochs, interrupted = list(interruption.epochs), interruption
        self.network_, self.epochs_, self.scaling_ = net, epochs, scaling
        self.shape_, self.fitted_params_ = examples.shape, self.get_params()
        self._note_names(examples.names)
        self._after(scaled, seed)
        if interrupted is not None:
            raise interrupted
        losses = [e.loss if held_out is None else e.metrics["loss"] for e in epochs]
        warn_if_not_converged(type(self).__name__, losses, planned)

    def _checked(self, given: Any) -> Examples:
        """Reads examples and checks them against the loss."""
        owner = type(self).__name__
        examples = read_examples(given, owner)
        if examples.sparse and self.loss in self.only_dense:
            raise ConfigError(
                f"loss {self.loss!r} of {owner} needs dense examples, not sparse: set "
                "loss='multinomial' or 'logistic', or pass X.toarray() if it is small",
                parameter="loss",
                value=self.loss,
            )
        check_loss(examples, self.loss, owner)
        return examples

    def _after(self, examples: Examples, seed: int) -> None:
        """Learns from the scaled examples after training the network."""

    def _loader(self, examples: Examples, seed: int) -> Loader:
        if examples.sparse:
            return SparseLoader(examples.rows, None, self.batch_size, seed)
        return ArrayLoader(examples.rows, None, self.batch_size, seed)

    def _body(self, shape: tuple[int, ...], scaling: Scaling) -> Body:
        if self.channels and len(shape) not in (2, 3):
            raise DataError(
                f"channels={self.channels} needs images, (n, height, width) or (n, channels, "
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
            "centred": self.scaling_.centre is not None,
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
        """The transformer of a saved folder. Raises ValueError for names, shapes and scales that do
        not fit each other."""
        model = cls().set_params(**hyperparameters(settings))
        model.check_params()
        model.shape_ = shape_of(settings["shape"])
        features = math.prod(model.shape_)
        model.scaling_ = Scaling.restored(arrays, features)
        if settings.get("centred") not in (None, model.scaling_.centre is not None):
            raise ValueError("scaling.centre is there though the examples were not centred, or not")
        body = model._body(model.shape_, model.scaling_)
        weights = {n.removeprefix("net."): t for n, t in arrays.items() if n.startswith("net.")}
        model.network_ = filled(
            lambda: model._network(body, Examples(torch.empty(1, features)), 0), weights
        )
        model.epochs_, model.fitted_params_ = [], model.get_params()
        names = settings["names"]
        if names is not None and (
            len(names) != features or not all(isinstance(name, str) for name in names)
        ):
            raise ValueError(f"the names of the {features} features are {names!r:.50}")
        model._note_names(names)
        for name in model.numbers:
            setattr(model, name, positive(settings["learnt"][name], name))
        return model
