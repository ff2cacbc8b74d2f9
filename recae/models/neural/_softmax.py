"""The base of autoencoders whose loss is a softmax over the catalogue: all of it, or a sample."""

from __future__ import annotations

import logging
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from recae.data.csr import column_counts
from recae.data.svd import randomised_svd
from recae.errors import ConfigError
from recae.estimators.params import estimator, param
from recae.nn import AutoencoderNet, Gaussian, InputLinear, LinearHead
from recae.recommend.autoencoder import AutoencoderRecommender
from recae.recommend.base import Run
from recae.rng import Stream, numpy_generator
from recae.training import SampledLoader, SparseLoader, Start, draw_shares, has_bfloat16

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


SPREAD = 0.5
"""Root mean square of a hidden unit over the training users, where tanh is nearly straight."""
LIFT = 2.0
"""From a hidden unit to a mean of the posterior, whose spread is then that of the prior, 1."""
GAINS = (0.0, *(2.0**power for power in range(-4, 10)))
USERS = 500
"""That the gain is chosen on, drawn with replacement: of few users many halves."""
SEEN = 0.5
"""Share of their histories that the whole is told from: who sees all of it can copy, with a gain
without bounds."""
CELLS = 4_000_000
"""Scores held at a time, at most, where a row has fewer."""
NOTHING = 1e-5
"""Singular values below this share of the largest one are rounding errors."""


@estimator
class StartedRecommender(SoftmaxRecommender):
    """An autoencoder of one hidden layer whose first and last layer can begin as an SVD."""

    start: str = param(
        "what the first and the last layer begin as: glorot draws them; svd takes the leading "
        "singular vectors of the normalised histories, which saves epochs",
        default="glorot",
        choices=("glorot", "svd"),
        usual=("glorot",),  # a search may draw deeper networks too
    )

    @abstractmethod
    def _deeper(self) -> str | None:
        """The setting that gives the network more than one hidden layer, if there is one."""

    def check_params(self) -> None:
        super().check_params()
        deeper = self._deeper()
        if self.start == "svd" and deeper is not None:
            raise ConfigError(
                f"start='svd' of {type(self).__name__} is for one hidden layer, and {deeper} makes "
                "more: leave that out, or take start='glorot'"
            )

    def _start(self, histories: Any, run: Run) -> Start | None:
        return SVDStart(histories, run.seed, run.progress) if self.start == "svd" else None


@dataclass(frozen=True)
class SVDStart:
    """Puts singular vectors into a network of one hidden layer before its training.

    With c the items' numbers of users, d = (c / mean c)^-1/2, L the lengths of the histories and
    s, V the leading singular values and vectors of R = diag(L^-1/2) X diag(d), each direction j is
    scaled by a_j = spread / (s_j / sqrt(users)):

        first layer W_ij = d_i V_ij a_j;  means mu_j = 2 h_j;  last layer G V_ij / (d_i a_j m)

    with m = 2 where there are means, else 1. The untrained scores are then nearly those of the
    linear autoencoder G (x / |x| d) V V' / d. The gain G, one of `GAINS`, is the likeliest for the
    histories of 500 training users, told from a random half of each, given the biases of the last
    layer. What is wider than the directions that the data has stays as drawn, hidden units beyond
    the code among it. Memory is that of `randomised_svd`, and of some scores for the gain.

    histories: CSR of ones, (users, n_items); seed: of the directions that the decomposition begins
    with, and of the users. The signs of the directions are as they come.
    """

    histories: Any
    seed: int
    progress: bool | None = None

    @torch.no_grad()
    def __call__(self, net: AutoencoderNet) -> None:
        """Overwrites the weights of directions that there are; the net is on the CPU."""
        first = cast(InputLinear, cast(Any, net.encoder)[0])
        head = cast(LinearHead, net.decoder.head)
        k = min(first.weight.shape[1], head.weight.shape[1], *self.histories.shape)
        generator = numpy_generator(self.seed, Stream.SVD_START)
        damping = item_damping(self.histories)
        rows = normalised(self.histories, damping)
        s, v = randomised_svd(rows, k, generator, self.progress)
        k = int((s > NOTHING * s[0]).sum())
        s, v = s[:k], v[:, :k]
        scale = (SPREAD * np.sqrt(rows.shape[0]) / s).astype(np.float32)  # a, (k,)

        lift = 1.0
        if isinstance(net.code, Gaussian):
            lift = LIFT
            net.code.mu.weight[:k] = lift * torch.eye(*net.code.mu.weight.shape)[:k]
        v_out = torch.from_numpy(v / damping[:, None])  # (n_items, k)
        some = np.sort(generator.integers(rows.shape[0], size=USERS))
        seen = rows[some]
        seen.data *= (generator.random(seen.nnz) < SEEN) / np.float32(SEEN)
        codes = torch.from_numpy(seen @ v)  # (users, k)
        gain = likeliest_gain(codes, v_out, head.bias, self.histories[some])
        first.weight[:, :k] = torch.from_numpy(v * damping[:, None] * scale)
        head.weight[:, :k] = v_out * torch.from_numpy(gain / (lift * scale))


def item_damping(histories: Any) -> np.ndarray:
    """d = (c / mean c)^-1/2 with counts of at least one: (n_items,) float32."""
    counts = column_counts(histories).clip(1)
    damping: np.ndarray = ((counts / counts.mean()) ** -0.5).astype(np.float32)
    return damping


def normalised(histories: Any, damping: np.ndarray) -> Any:
    """R = diag(L^-1/2) X diag(d): CSR (users, n_items) float32."""
    lengths = np.diff(histories.indptr)
    values = np.repeat(lengths.clip(1) ** -0.5, lengths) * damping[histories.indices]
    parts = (values.astype(np.float32), histories.indices, histories.indptr)
    return sp.csr_matrix(parts, shape=histories.shape)


def likeliest_gain(codes: Tensor, weight: Tensor, bias: Tensor, histories: Any) -> float:
    """The g of `GAINS` with the least multinomial loss of g codes weight' + bias.

    codes: (users, k); weight: (n_items, k); bias: (n_items,); histories: CSR of ones. The scores
    are held for some users at a time.
    """
    losses = torch.zeros(len(GAINS), dtype=torch.float64)
    step = max(CELLS // len(weight), 1)
    for start in range(0, len(codes), step):
        scores = codes[start : start + step] @ weight.T  # (rows, n_items)
        part = histories[start : start + step]
        lengths = torch.from_numpy(np.diff(part.indptr))
        rows = torch.repeat_interleave(torch.arange(len(scores)), lengths)
        items = torch.from_numpy(part.indices.astype(np.int64))
        for place, gain in enumerate(GAINS):
            logits = torch.add(bias, scores, alpha=gain)
            there = logits[rows, items].double().sum()
            losses[place] += (lengths * logits.logsumexp(1).double()).sum() - there
    return GAINS[int(losses.argmin())]
