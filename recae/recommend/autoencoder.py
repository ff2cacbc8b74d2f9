"""The base of the recommenders that are autoencoders trained in epochs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor

from recae.data import Interactions
from recae.data.splits import Fold
from recae.errors import TrainingInterrupted
from recae.estimators.params import estimator, learnt, param
from recae.nn import AutoencoderNet, Batch, Decoder, LinearHead, Ragged
from recae.ranking.batches import ScoreRows
from recae.ranking.products import Products
from recae.recommend.base import Recommender, Run
from recae.recommend.measure import AlignedFold, check_metric, measure
from recae.training import OPTIMISERS, Epoch, Phase, Plan, Rewrite, SparseLoader, Start, train
from recae.training.objective import Objective

TILE = {"cpu": 64, "cuda": 1024}
"""Rows scored together, padded when fewer: matrix products of one shape give every row the same
bits whatever company it is scored in."""

PRIOR = "code.prior."
"""Where a network keeps what only its training needs."""


@estimator
class AutoencoderRecommender(Recommender):
    """An autoencoder over histories; a model supplies its network and its objective."""

    uses_validation: ClassVar[bool] = True
    uses_seed: ClassVar[bool] = True
    lowest_is_best: ClassVar[bool] = False

    epochs: int = param("passes over the training users, at most", default=100, low=1)
    batch_size: int = param("users per update", default=100, low=1, usual=(32, 1024))
    lr: float = param("learning rate", default=1e-3, above=0, usual=(1e-4, 1e-2))
    milestones: tuple[int, ...] = param(
        "epochs after which the learning rate falls to a fifth", default=(), low=1
    )
    optimiser: str = param("how the weights are updated", default="adam", choices=tuple(OPTIMISERS))
    l2: float = param(
        "the loss gains l2 x (sum of squared weights, without biases)",
        default=0.0,
        low=0,
        usual=(1e-7, 1e-3),
    )
    metric: str = param("validation metric that decides which epoch is kept", default="ndcg@100")
    patience: int = param("epochs without a new best before training stops", default=10, low=1)
    weights: str = param(
        "where the weights of interactions go; elsewhere every interaction counts 1",
        default="neither",
        choices=("neither", "input", "target", "both"),
    )

    latent: int = param("width of the code", default=200, low=1, usual=(16, 512))

    network_: AutoencoderNet = learnt()
    epochs_: list[Epoch] = learnt()

    def check_params(self) -> None:
        super().check_params()
        self._check_metric()

    def _check_metric(self) -> None:
        check_metric(self.metric)

    @abstractmethod
    def _network(self, n_items: int, n_users: int) -> AutoencoderNet:
        """The network for so many items and training users, its weights not yet drawn."""

    @abstractmethod
    def _objective(self, updates: int) -> Objective:
        """What to minimise, given how many updates are planned."""

    def _loader(self, input: Any, target: Any | None, seed: int) -> SparseLoader:
        """What deals the batches; histories against themselves by default."""
        return SparseLoader(input, target, self.batch_size, seed)

    def _prepare(self, net: AutoencoderNet, histories: Any, run: Run) -> None:
        """Sets what a network needs for its training alone, given CSR histories of ones."""

    def _validator(
        self, score_rows: ScoreRows, validation: Fold, data: Interactions
    ) -> Callable[[], Mapping[str, float]]:
        """What measures `metric` after an epoch."""
        fold = AlignedFold.of(validation, data.items)

        def validate() -> Mapping[str, float]:
            measured = measure(score_rows, fold, [self.metric])
            return {name: float(np.nanmean(v)) for name, v in measured.per_user().items()}

        return validate

    def _code_width(self) -> int:
        """Numbers in a code."""
        return self.latent

    def _phases(self) -> tuple[Phase, ...]:
        """What learns when, over and over; everything at once by default."""
        return (Phase(),)

    def _rewrite(self, histories: Any) -> Rewrite | None:
        """What overwrites weights before some epochs, given CSR histories of ones."""
        return None

    def _start(self, histories: Any, run: Run) -> Start | None:
        """What changes the weights as drawn, once, given CSR histories of ones."""
        return None

    def _fit(self, data: Interactions, validation: Fold | None, run: Run) -> None:
        net = self._network(data.n_items, data.n_users)
        ones = data.binarised().matrix
        self._prepare(net, ones, run)
        input = data.matrix if self.weights in ("input", "both") else ones
        target = data.matrix if self.weights in ("target", "both") else ones
        loader = self._loader(input, None if target is input else target, run.seed)

        validate = None
        if validation is not None:
            validate = self._validator(lambda rows: self._score_with(net, rows), validation, data)
        try:
            epochs = train(
                net,
                loader,
                self._objective(self.epochs * len(loader)),
                Plan(
                    epochs=self.epochs,
                    lr=self.lr,
                    l2=self.l2,
                    metric=self.metric,
                    patience=self.patience,
                    optimiser=self.optimiser,
                    phases=self._phases(),
                    lowest_is_best=self.lowest_is_best,
                    milestones=self.milestones,
                    rewrite=self._rewrite(ones),
                    start=self._start(ones, run),
                ),
                seed=run.seed,
                device=run.device,
                validate=validate,
                callbacks=run.callbacks,
                checkpoint=self._checkpoint(data, validation, run),
                progress=run.progress,
                name=type(self).__name__,
            )
        except TrainingInterrupted as interruption:
            self.network_, self.epochs_ = net, list(interruption.epochs)
            raise
        self.network_, self.epochs_ = net, epochs

    def _score_rows(self, matrix: Any) -> Tensor:
        return self._score_with(self.network_, matrix)

    def _scores(self, matrix: Any) -> Tensor | Products:
        net = self.network_
        head = getattr(net.decoder, "head", None)
        plain = type(net.decoder) is Decoder and isinstance(head, LinearHead)
        if not plain or next(net.parameters()).device.type != "cpu":
            return self._score_rows(matrix)
        with torch.no_grad():
            width = cast(LinearHead, head).weight.shape[1]
            last = cast(LinearHead, head)(
                self._tiles(net, matrix, lambda batch: net(batch)[0].hidden, width)
            )
            return Products(last.hidden, last.weight.detach(), last.bias.detach())

    def _score_with(self, net: AutoencoderNet, matrix: Any) -> Tensor:
        with torch.no_grad():
            return self._tiles(net, matrix, lambda batch: net(batch)[0].dense(), matrix.shape[1])

    def _embed_rows(self, matrix: Any) -> Tensor:
        net = self.network_
        with torch.no_grad():
            return self._tiles(net, matrix, lambda b: net.encode(b)[0], self._code_width())

    def _tiles(self, net: AutoencoderNet, matrix: Any, read: Any, width: int) -> Tensor:
        """Applies `read` to padded tiles of the rows: (rows, width) float32."""
        device = next(net.parameters()).device
        tile = TILE[device.type]
        out = torch.empty(matrix.shape[0], width, device=device)
        for start in range(0, len(out), tile):
            ragged = Ragged.from_csr(matrix[start : start + tile], pad_to=tile).to(device)
            if self.weights not in ("input", "both"):
                ragged = ragged.with_values(torch.ones_like(ragged.values))
            out[start : start + tile] = read(Batch(ragged, ragged))[: len(out) - start]
        return out

    def _item_vectors(self) -> Tensor:
        """The rows of the output layer, (n_items, width of the last layer) float32, if there is
        one such layer."""
        head = getattr(self.network_.decoder, "head", None)
        if head is None:  # a product of several decoders
            return super()._item_vectors()
        return cast(LinearHead, head).weight.detach()

    def _arrays(self) -> Mapping[str, Tensor]:
        state = self.network_.state_dict()
        return {name: value for name, value in state.items() if not name.startswith(PRIOR)}

    def _restore(self, arrays: Mapping[str, Tensor]) -> None:
        net = self._network(len(self.items_), 0)
        prior = {n: v for n, v in net.state_dict().items() if n.startswith(PRIOR)}
        net.load_state_dict(dict(arrays) | prior)
        self.network_, self.epochs_ = net.eval(), []
