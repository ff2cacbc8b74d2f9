"""Dense scores, and their losses against dense targets."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from recae.errors import check_option
from recae.nn.batch import Ragged

DenseLoss = Callable[[Tensor, Tensor], Tensor]


def squared(output: Tensor, target: Tensor) -> Tensor:
    """sum_i (f_i - x_i)^2 of each row, (rows,)."""
    return (output - target).square().flatten(1).sum(1)


def logistic(output: Tensor, target: Tensor) -> Tensor:
    """Minus the Bernoulli log likelihood of each row, (rows,); targets between 0 and 1.

    sum_i softplus(f_i) - x_i f_i, which is the cross entropy of x_i and sigma(f_i).
    """
    losses = F.binary_cross_entropy_with_logits(output, target, reduction="none")
    return losses.flatten(1).sum(1)


def multinomial(output: Tensor, target: Tensor) -> Tensor:
    """-sum_i x_i log softmax(f)_i of each row, (rows,) (Liang et al. 2018, eq. 2)."""
    return -(target * F.log_softmax(output.flatten(1), 1).view_as(output)).flatten(1).sum(1)


def gaussian(output: Tensor, target: Tensor) -> Tensor:
    """Minus the log likelihood of each row under N(f, s^2), (rows,), with one s for the batch.

    s^2 is the mean squared error of the batch, which maximises its likelihood (Rybkin, Daniilidis &
    Levine 2021, "optimal sigma-VAE"); at least 1e-6.
    """
    errors = (output - target).square().flatten(1)
    variance = errors.mean().clamp_min(1e-6)
    return 0.5 * (errors / variance + variance.log() + math.log(2 * math.pi)).sum(1)


def cosine(output: Tensor, target: Tensor) -> Tensor:
    """1 - cos(f, x) of each row, (rows,): only the direction counts."""
    return 1 - F.cosine_similarity(output.flatten(1), target.flatten(1), dim=1)


DENSE_LOSSES: dict[str, DenseLoss] = {
    "squared": squared,
    "logistic": logistic,
    "multinomial": multinomial,
    "gaussian": gaussian,
    "cosine": cosine,
}
"""(output, target), both (rows, ...), -> the loss of each row, (rows,)."""


@dataclass(frozen=True)
class DenseScores:
    """Scores of dense rows; output: (rows, ...) float32."""

    output: Tensor

    def loss(self, kind: str, target: Ragged | Tensor) -> Tensor:
        """The named loss, a scalar: the mean over the rows."""
        return self.losses(kind, target).mean()

    def losses(self, kind: str, target: Ragged | Tensor) -> Tensor:
        """The named loss of each row, (rows,)."""
        check_option("reconstruction loss", kind, DENSE_LOSSES)
        if isinstance(target, Ragged):
            raise TypeError("dense scores take a dense target, not a ragged one")
        return DENSE_LOSSES[kind](self.output, target)

    def dense(self) -> Tensor:
        """All scores, in the shape of the output."""
        return self.output

    def at(self, columns: Tensor) -> Tensor:
        """The score of one item in each row, with gradients: columns (rows,) int64 -> (rows,)."""
        return self.output.flatten(1).gather(1, columns[:, None]).squeeze(1)

    def to_rank(self) -> Tensor:
        """All scores, (rows, n)."""
        return self.output.flatten(1)
