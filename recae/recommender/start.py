"""First and last layers that begin as a truncated SVD of the histories instead of noise."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from recae.data.csr import column_counts
from recae.errors import ConfigError
from recae.nn import AutoencoderNet, Gaussian, InputLinear, LinearHead
from recae.recommender.hyperparameters import estimator, param
from recae.recommender.slots import Run
from recae.recommender.softmax import SoftmaxRecommender
from recae.recommender.svd import randomised_svd
from recae.rng import numpy_generator
from recae.training import Start

SVD_STREAM = 12
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
        generator = numpy_generator(self.seed, SVD_STREAM)
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
