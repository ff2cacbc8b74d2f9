"""The base of the neural models: training in epochs and the multinomial loss over items."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor

from recae import training
from recae.data import Interactions
from recae.data.csr import column_counts
from recae.data.splits import Fold
from recae.errors import ConfigError, TrainingInterrupted
from recae.estimators.params import estimator, learnt, param
from recae.estimators.saved import filled
from recae.models.neural._explain import integrated_gradients
from recae.models.neural._svd_init import svd_init
from recae.nn import Anchors, AutoencoderNet, Batch, InputLinear, LinearHead, Ragged, Scores
from recae.ranking.batches import BLOCK_ROWS, RowScores, ScoreRows
from recae.recommend.base import Recommender
from recae.recommend.explain.parts import Padded, Parts
from recae.recommend.onnx.graph import Value
from recae.recommend.onnx.histories import Histories
from recae.recommend.onnx.networks import scores_of
from recae.recommend.requests import AlignedFold, check_metric, measure
from recae.recommend.saved import checkpoint
from recae.recommend.weights import (
    transformed,
    values_of_one,
    weight_transform_param,
    weights_param,
)

LOG = logging.getLogger("recae")

FULL_ITEMS = 100_000
"""Items up to which softmax="auto" takes all of them."""

OPTIMISERS = ("adam", "nadam", "adagrad", "normalised-adam")
"""Those of `recae.training`, which is imported only to fit."""

PRIOR = "code.prior."
"""The module of a network for the parts that only training needs."""


def softmax_param() -> Any:
    """The hyperparameter `softmax` of a model with a linear last layer."""
    return param(
        "softmax over the items: full, or sampled for each update; auto: sampled beyond 100,000",
        default="auto",
        choices=("full", "sampled", "auto"),
        usual=("auto",),
    )


def num_sampled_param() -> Any:
    """The hyperparameter `num_sampled` of a model with a linear last layer."""
    return param("items drawn for an update of a sampled softmax", default=2000, low=1)


def precision_param() -> Any:
    """The hyperparameter `precision` of a model with a linear last layer."""
    return param(
        "float of the products of the last layer in training; weights and scores stay float32; "
        "auto: bfloat16 where the machine computes in it",
        default="auto",
        choices=("float32", "bfloat16", "auto"),
        usual=("auto",),
    )


def dropout_param() -> Any:
    """The hyperparameter `dropout` of a model that corrupts histories by `Dropout`."""
    return param(
        "share of a history hidden from the encoder, the rest scaled up",
        default=0.5,
        low=0,
        high=0.99,
        usual=(0, 0.8),
    )


def anneal_param(default: float = 0.5) -> Any:
    """The hyperparameter `anneal` of a model with a KL term, see `recae.training.annealed`."""
    return param(
        "share of the planned updates over which beta rises from 0 (Liang et al. 2018, 2.2.2)",
        default=default,
        low=0,
        high=1,
        usual=(0, 1),
    )


def alignment_param() -> Any:
    """The hyperparameter `alignment` of a model with a KL term, see `recae.nn.Anchors`."""
    return param(
        "weight of the mean squared distance of a code to learnt anchors of the user's items, in "
        "training (personalised item alignment, Vuong et al. 2026)",
        default=0.0,
        low=0,
    )


def loss_param() -> Any:
    """The hyperparameter `loss` of a model whose last layer has all three."""
    return param(
        "loss of the scores: one choice among all items, a decision for every item, or the "
        "squared error",
        default="multinomial",
        choices=("multinomial", "logistic", "squared"),
    )


@estimator
class NeuralRecommender(Recommender):
    """An autoencoder over histories; a model supplies its network and its objective.

    A model whose last layer is a `LinearHead` under the multinomial loss may have `softmax`,
    `num_sampled` and `precision`, each with the function above that declares it. That layer is
    where nearly all the time of training goes: 6 x users x items x width operations an epoch. With
    a sample of the catalogue for each update it is 6 x users x (num_sampled + items that the users
    of a batch have) x width. The memory is a matrix of batch_size x (the same sum). An update
    touches only the rows of the items in it, and `l2` acts on no other rows of these layers.
    """

    uses_validation: ClassVar[bool] = True
    uses_seed: ClassVar[bool] = True
    uses_device: ClassVar[bool] = True
    uses_callbacks: ClassVar[bool] = True
    uses_checkpoint: ClassVar[bool] = True
    uses_processes: ClassVar[bool] = True
    lowest_is_best: ClassVar[bool] = False

    epochs: int = param("passes over the training users, at most", default=100, low=1)
    batch_size: int = param("users per update", default=100, low=1, usual=(32, 1024))
    lr: float = param("learning rate", default=1e-3, above=0, usual=(1e-4, 1e-2))
    milestones: tuple[int, ...] = param(
        "epochs after which the learning rate falls to a fifth", default=(), low=1
    )
    optimiser: str = param("how the weights are updated", default="adam", choices=OPTIMISERS)
    l2: float = param(
        "the loss gains l2 x (sum of squared weights, without biases)",
        default=0.0,
        low=0,
        usual=(1e-7, 1e-3),
    )
    metric: str = param("validation metric that decides which epoch is kept", default="ndcg@100")
    patience: int = param("epochs without a new best before training stops", default=10, low=1)
    weights: str = weights_param(
        "where the weights of interactions go; elsewhere every interaction counts 1",
        choices=("neither", "input", "target", "both"),
    )
    weight_transform: str = weight_transform_param()

    latent: int = param("width of the code", default=200, low=1, usual=(16, 512))

    # Constants, unless a model declares them as hyperparameters.
    softmax = "full"
    num_sampled = 0
    precision = "float32"
    init = "glorot"
    alignment = 0.0
    falling = False  # whether the learning rate falls linearly to zero over the epochs

    network_: AutoencoderNet = learnt()
    epochs_: list[training.Epoch] = learnt()

    def check_params(self) -> None:
        """Also checks the metric, and that the loss can be sampled. Raises ConfigError."""
        super().check_params()
        if self.param_fields()["metric"].metadata["choices"] is None:
            check_metric(self.metric)
        if self.softmax == "sampled" and not self._can_sample():
            raise ConfigError(
                f"softmax='sampled' of {type(self).__name__} needs optimiser='adam', which updates "
                f"some rows at a time, and the multinomial loss, not {self.optimiser!r} and "
                f"{self._objective(1).reconstruction!r}",
                parameter="softmax",
                value=self.softmax,
            )

    @abstractmethod
    def _network(self, n_items: int, n_users: int) -> AutoencoderNet:
        """The network for so many items and training users, its weights not yet drawn."""

    @abstractmethod
    def _objective(self, updates: int) -> training.Objective:
        """The training objective, given the number of planned updates."""

    def _loader(self, input: Any, target: Any | None, seed: int) -> training.SparseLoader:
        """The loader of the batches; by default input and target are the same histories."""
        sampled = self._sampled(input.shape[1])
        if not sampled:
            return training.SparseLoader(input, target, self.batch_size, seed)
        return training.SampledLoader(input, target, self.batch_size, seed, samples=sampled)

    def _validator(
        self, score_rows: ScoreRows, validation: Fold, data: Interactions
    ) -> Callable[[], Mapping[str, float]]:
        """A function that measures `metric` after an epoch."""
        fold = AlignedFold.of(validation, data.items)

        def validate() -> Mapping[str, float]:
            measured = measure(score_rows, fold, [self.metric])
            return {name: float(np.nanmean(v)) for name, v in measured.per_user().items()}

        return validate

    def _code_width(self) -> int:
        """Numbers in a code."""
        return self.latent

    def _phases(self) -> tuple[training.Phase, ...]:
        """The phases of training, repeated; by default all weights learn at once."""
        return (training.Phase(),)

    def _before_epoch(self, histories: Any) -> training.BeforeEpoch | None:
        """A function that overwrites weights before some epochs, given CSR histories of ones."""
        return None

    def _start(self, histories: Any, run: training.Run) -> Callable[[Any], None] | None:
        """A function that overwrites the weights as drawn, given CSR histories of ones."""
        if self.init != "svd":
            return None
        return partial(svd_init, histories=histories, seed=run.seed, progress=run.progress)

    def _can_sample(self) -> bool:
        """Whether loss and optimiser allow a sampled softmax."""
        return self.optimiser == "adam" and self._objective(1).reconstruction == "multinomial"

    def _sampled(self, n_items: int) -> int:
        """The number of items drawn for an update; 0 for a softmax over all of them."""
        wanted = self.softmax == "sampled" or (self.softmax == "auto" and n_items > FULL_ITEMS)
        fewer = self.num_sampled < n_items
        return self.num_sampled if wanted and fewer and self._can_sample() else 0

    def _prepare(self, net: AutoencoderNet, histories: Any, device: torch.device) -> None:
        """Sets up the first and the last layer of a network with a choice of softmax, and the float
        of the large products."""
        narrow = self.precision == "bfloat16" or (
            self.precision == "auto" and training.has_bfloat16(device)
        )
        fields, n_items, over = self.param_fields(), histories.shape[1], ""
        sampled = self._sampled(n_items) if "softmax" in fields else 0
        if "softmax" in fields:
            over = f"a sample of {sampled:,} of {n_items:,}" if sampled else f"all {n_items:,}"
            over = f"softmax over {over} items, "
        for module in cast(Iterable[Any], net.modules()):
            if hasattr(module, "products"):
                module.products = torch.bfloat16 if narrow else None
            if over and isinstance(module, InputLinear | Anchors):
                module.sparse = bool(sampled)
            if over and isinstance(module, LinearHead):
                module.start = log_popularity(histories) if sampled else None
        if "precision" in fields:
            kind, name = "bfloat16" if narrow else "float32", type(self).__name__
            LOG.info("%s: %sproducts of the last layer in %s, on %s", name, over, kind, device)

    def _fit(self, data: Interactions, validation: Fold | None, run: training.Run) -> None:
        """Trains the network by the common loop. An interrupted training keeps its network and its
        epochs."""
        net = self._network(data.n_items, data.n_users)
        if self.alignment:
            net.anchors = Anchors(data.n_items, self._code_width())
        ones = data.binarised().matrix
        self._prepare(net, ones, run.device)
        own = ones if self.weights == "neither" else transformed(self, data.matrix)
        input = own if self.weights in ("input", "both") else ones
        target = own if self.weights in ("target", "both") else ones
        loader = self._loader(input, None if target is input else target, run.seed)

        validate = None
        if validation is not None:
            validate = self._validator(lambda rows: self._score_with(net, rows), validation, data)
        objective = self._objective(self.epochs * len(loader))
        if self.alignment:
            terms = {**objective.weights, "alignment": self.alignment}
            objective = replace(objective, weights=terms)
        try:
            epochs = training.train(
                net,
                loader,
                objective,
                training.Plan(
                    epochs=self.epochs,
                    lr=self.lr,
                    l2=self.l2,
                    metric=self.metric,
                    patience=self.patience,
                    optimiser=self.optimiser,
                    phases=self._phases(),
                    lowest_is_best=self.lowest_is_best,
                    milestones=self.milestones,
                    falling=self.falling,
                    before_epoch=self._before_epoch(ones),
                    start=self._start(ones, run),
                ),
                seed=run.seed,
                device=run.device,
                validate=validate,
                callbacks=run.callbacks,
                checkpoint=checkpoint(self, data, validation, run),
                progress=run.progress,
                name=type(self).__name__,
                ranks=run.ranks,
            )
        except TrainingInterrupted as interruption:
            self.network_, self.epochs_ = net, list(interruption.epochs)
            raise
        finally:
            net.anchors = None
        self.network_, self.epochs_ = net, epochs

    def _move(self, device: torch.device) -> bool:
        self.network_.to(device).eval()  # it forgets what was derived on the other device
        return True

    def _score_rows(self, matrix: Any) -> RowScores:
        return self._score_with(self.network_, matrix)

    def _score_one(self, codes: np.ndarray) -> RowScores:
        """The scores of one history without the loader, which would take longer than the
        network."""
        device = next(self.network_.parameters()).device
        values = values_of_one(self, codes, "input", "both")
        ones = torch.ones(len(codes)) if values is None else torch.from_numpy(values)
        offsets = torch.tensor([0, len(codes)])
        row = Ragged(torch.from_numpy(codes), offsets, ones, len(self.items_))
        if device.type != "cpu":
            row = row.to(device)
        with torch.no_grad():
            scores: Scores = self.network_(Batch(row, row))[0]
            return scores.to_rank()

    def _score_with(self, net: AutoencoderNet, matrix: Any) -> RowScores:
        with torch.no_grad():
            scores: Scores = net(self._batch(net, matrix))[0]
            return scores.to_rank()

    def _explain_rows(self, matrix: Any, columns: Tensor) -> Parts:
        batch = self._batch(self.network_, matrix)
        return integrated_gradients(self.network_, batch, Padded.of(matrix), columns)

    def _onnx_scores(self, histories: Histories) -> Value:
        return scores_of(self.network_, histories.weighted(self, "input", "both"))

    def _embed_rows(self, matrix: Any) -> Tensor:
        self._code_width()  # raises for a model without codes
        return self._read_rows(lambda batch: self.network_.encode(batch)[0], matrix)

    def _read_rows(self, read: Callable[[Batch], Tensor], matrix: Any) -> Tensor:
        """The results of `read` for CSR histories, batch by batch: (rows, width) float32."""
        starts = range(0, max(matrix.shape[0], 1), BLOCK_ROWS)
        with torch.no_grad():
            parts = [
                read(self._batch(self.network_, matrix[start : start + BLOCK_ROWS]))
                for start in starts
            ]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _batch(self, net: AutoencoderNet, matrix: Any) -> Batch:
        """CSR histories as the network reads them, on its device."""
        used = self.weights in ("input", "both")
        read = transformed(self, matrix) if used else matrix
        ragged = Ragged.from_csr(read).to(next(net.parameters()).device)
        if not used:
            ragged = ragged.with_values(torch.ones_like(ragged.values))
        return Batch(ragged, ragged)

    def _item_vectors(self) -> Tensor:
        """The rows of the one output layer, (n_items, width) float32, if there is one."""
        head = getattr(self.network_.decoder, "head", None)
        if head is None:  # a product of several decoders
            return super()._item_vectors()
        return cast(LinearHead, head).weight.detach()

    def _arrays(self) -> Mapping[str, Tensor]:
        state = self.network_.state_dict()
        return {name: value for name, value in state.items() if not name.startswith(PRIOR)}

    def _restore(self, arrays: Mapping[str, Tensor]) -> None:
        n_items = len(self.items_)
        self.network_ = filled(lambda: self._network(n_items, 0), arrays, unsaved=PRIOR)
        self.epochs_ = []


def log_popularity(histories: Any) -> Tensor:
    """Logs of the shares by which items are drawn into a sample: (n_items,) float32.

    Biases that start here make the items of a sample weigh alike.
    """
    shares = training.draw_shares(column_counts(histories))
    return torch.from_numpy(np.log(shares).astype(np.float32))
