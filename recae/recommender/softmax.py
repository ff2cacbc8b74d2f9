"""The base of autoencoders whose loss is a softmax over the catalogue: all of it, or a sample."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch

from recae.data.csr import column_counts
from recae.errors import ConfigError
from recae.nn import AutoencoderNet, InputLinear, LinearHead
from recae.recommender.hyperparameters import estimator, param
from recae.recommender.neural import AutoencoderRecommender
from recae.recommender.slots import Run
from recae.training import SampledLoader, SparseLoader, draw_shares, has_bfloat16

LOG = logging.getLogger("recae")

FULL_ITEMS = 100_000
"""Items up to which output="auto" takes the softmax over all of them."""


@estimator
class SoftmaxRecommender(AutoencoderRecommender):
    """An autoencoder with a linear last layer under a multinomial likelihood.

    The last layer is where nearly all the time of training goes: 6 x users x items x width
    operations an epoch. With a sample of the catalogue for each update it is
    6 x users x (samples + items that the users of a batch have) x width; memory is a matrix of
    batch_size x (the same sum), and an update touches only the rows of the items that it met. So
    `l2` too acts on a row of the first and the last layer only in the updates that meet it.
    """

    output: str = param(
        "softmax over the items: full, or sampled for each update; auto: sampled beyond 100,000",
        default="auto",
        choices=("full", "sampled", "auto"),
        usual=("auto",),
    )
    samples: int = param("items drawn for an update of a sampled softmax", default=2000, low=1)
    precision: str = param(
        "float of the products of the last layer in training; weights and scores stay float32; "
        "auto: bfloat16 where the machine computes in it",
        default="auto",
        choices=("float32", "bfloat16", "auto"),
        usual=("auto",),
    )

    def _likelihood(self) -> str:
        """The reconstruction loss."""
        return "multinomial"

    def check_params(self) -> None:
        super().check_params()
        if self.output != "sampled":
            return
        name = type(self).__name__
        if self._likelihood() != "multinomial":
            raise ConfigError(
                f"output='sampled' of {name} estimates a softmax: it needs the multinomial loss, "
                f"not {self._likelihood()!r}"
            )
        if self.optimiser != "adam":
            raise ConfigError(
                f"output='sampled' of {name} updates some rows at a time, which only "
                f"optimiser='adam' does, not {self.optimiser!r}"
            )

    def _samples(self, n_items: int) -> int:
        """How many items are drawn for an update; 0 for all of them."""
        possible = self._likelihood() == "multinomial" and self.optimiser == "adam"
        wanted = self.output == "sampled" or (self.output == "auto" and n_items > FULL_ITEMS)
        return self.samples if wanted and possible and self.samples < n_items else 0

    def _loader(self, input: Any, target: Any | None, seed: int) -> SparseLoader:
        samples = self._samples(input.shape[1])
        if not samples:
            return super()._loader(input, target, seed)
        return SampledLoader(input, target, self.batch_size, seed, samples=samples)

    def _prepare(self, net: AutoencoderNet, histories: Any, run: Run) -> None:
        n_items = histories.shape[1]
        samples, products = self._samples(n_items), self._products(run.device)
        for module in net.modules():
            if isinstance(module, InputLinear):
                module.sparse = bool(samples)
            if isinstance(module, LinearHead):
                module.products = products
                module.start = log_popularity(histories) if samples else None
        LOG.info(
            "%s: softmax over %s items, products of the last layer in %s, on %s",
            type(self).__name__,
            f"a sample of {samples:,} of {n_items:,}" if samples else f"all {n_items:,}",
            "float32" if products is None else "bfloat16",
            run.device,
        )

    def _products(self, device: torch.device) -> torch.dtype | None:
        narrow = self.precision == "bfloat16" or (self.precision == "auto" and has_bfloat16(device))
        return torch.bfloat16 if narrow else None


def log_popularity(histories: Any) -> torch.Tensor:
    """Logs of the shares by which items are drawn into a sample: (n_items,) float32.

    Biases that start here make the items of a sample weigh alike.
    """
    shares = draw_shares(column_counts(histories))
    return torch.from_numpy(np.log(shares).astype(np.float32))
