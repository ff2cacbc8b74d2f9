"""CosineAE: a shallow denoising autoencoder with cosine scores and a sampled softmax."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from recae import training
from recae.estimators.params import estimator, param
from recae.models.neural._base import NeuralRecommender, dropout_param
from recae.models.neural._svd_init import init_param, unit_svd_init
from recae.nn import AutoencoderNet, CosineHead, Decoder, Dropout, InputLinear, UnitCode, mlp
from recae.recommend.explain.parts import Parts, from_factors
from recae.recommend.weights import weighted

GIVEN_LENGTH = "exact, given the length of the sum of the item vectors of the history"


@estimator
class CosineAE(NeuralRecommender):
    """A shallow denoising autoencoder whose scores are cosines over a temperature.

    h = dropout(x) A + a, z = h / |h|, f_i = cos(z, B_i) / temperature;
    loss = -sum_i x_i log softmax(f)_i over the items of the batch and `num_sampled` others.

    The others are drawn uniformly and anew for each update, without a correction. The items of a
    batch are frequent ones, which are pushed down too much where the others are few: keep
    `num_sampled` as large as the time allows. The sampled softmax of cosines is that of Wu et al.,
    "On the Effectiveness of Sampled Softmax Loss for Item Recommendation", TOIS 2024; here a user
    is a history, so new users need no refit. With init="svd" A and B begin at the leading singular
    vectors of the normalised histories. The learning rate falls linearly to zero over the epochs.
    A small model for sparse data, to blend with linear models in an `Ensemble`. An epoch costs 6 x
    users x (num_sampled + items of a batch) x latent operations; memory is 2 x items x latent
    weights and their moments.

    >>> recae.CosineAE(latent=2, epochs=4).fit(data).score(data).shape
    (5, 4)
    """

    name = "cosine-ae"
    small = dict(latent=8, epochs=2, batch_size=10, lr=0.01)
    falling = True
    uses_processes = False

    latent: int = param("width of the code", default=128, low=1, usual=(32, 512))
    epochs: int = param("passes over the training users, at most", default=10, low=1)
    batch_size: int = param("users per update", default=256, low=1, usual=(32, 1024))
    lr: float = param("learning rate of the first epoch", default=3e-3, above=0, usual=(1e-3, 1e-2))
    init: str = init_param("svd")
    dropout: float = dropout_param()
    temperature: float = param(
        "what cosines are divided by: lower for sparser data",
        default=0.15,
        low=0.01,
        usual=(0.05, 0.5),
    )
    num_sampled: int = param(
        "items drawn for an update besides those of its users; all where there are no more",
        default=10_000,
        low=1,
    )

    def _network(self, n_items: int, n_users: int) -> AutoencoderNet:
        first = InputLinear(n_items, self.latent)
        first.sparse = self._samples(n_items)
        return AutoencoderNet(
            corrupt=Dropout(self.dropout),
            encoder=nn.Sequential(first),
            code=UnitCode(),
            decoder=Decoder(mlp(()), CosineHead(self.latent, n_items, self.temperature)),
        )

    def _objective(self, updates: int) -> training.Objective:
        return training.Objective("multinomial")

    def _samples(self, n_items: int) -> bool:
        """Whether the loss is over a sample of the items."""
        return self.num_sampled < n_items and self.optimiser == "adam"

    def _loader(self, input: Any, target: Any | None, seed: int) -> training.SparseLoader:
        kept = input, target, self.batch_size, seed
        if not self._samples(input.shape[1]):
            return training.SparseLoader(*kept)
        return training.UniformLoader(*kept, samples=self.num_sampled)

    def _start(self, histories: Any, run: training.Run) -> Callable[[Any], None] | None:
        if self.init != "svd":
            return None
        return partial(unit_svd_init, histories=histories, seed=run.seed, progress=run.progress)

    def _explain_rows(self, matrix: Any, columns: Tensor) -> Parts:
        read = weighted(self, matrix, "input", "both")
        first = cast(Any, self.network_.encoder)[0]
        vectors, rows = self._item_vectors().cpu(), first.weight.detach().cpu()
        shift = first.bias.detach().cpu().double()
        lengths = (torch.from_numpy(read @ rows.numpy()).double() + shift).norm(dim=1)
        lengths = lengths.clamp_min(1e-12)[:, None]  # |h|, (rows, 1)
        found = from_factors(read, columns, rows, vectors) / lengths[:, None]
        baseline = (vectors[columns].double() @ shift) / lengths
        return Parts.of(found, GIVEN_LENGTH, baseline)

    def _item_vectors(self) -> Tensor:
        return cast(CosineHead, self.network_.decoder.head).vectors().detach()
