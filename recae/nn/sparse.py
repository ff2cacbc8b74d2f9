"""Sparse codes with a fixed number of active units (top-k), for dictionaries of features.

Each takes what a linear layer gives, `hidden` (rows, units). In training they count, in `used`,
(units,), how many rows each unit was active for: `revive` reads and resets it.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recae.nn.batch import Batch, Coded


class UsageCounter(nn.Module):
    """A code of `active` units a row that counts for how many rows each unit was active."""

    used: Tensor

    def __init__(self, units: int, active: int) -> None:
        super().__init__()
        self.active = active
        self.register_buffer("used", torch.zeros(units))

    def revived(self, dead: Tensor) -> list[nn.Parameter]:
        """Resets the code's own parameters of dead units; returns the overwritten parameters."""
        return []

    def counted(self, z: Tensor) -> Tensor:
        """The code itself; in training its active units are counted."""
        if self.training:
            self.used += (z.detach() != 0).sum(0)
        return z


class SignedTopUnits(UsageCounter):
    """z keeps the `active` units of a row that are largest without their sign.

    CompresSAE (Kasalický et al. 2025): active units keep their sign. Ties go to the lowest unit.
    """

    def forward(self, hidden: Tensor, batch: Batch, generator: torch.Generator | None) -> Coded:
        return self.counted(keep_largest(hidden, hidden.abs(), self.active)), {}


class PositiveTopUnits(UsageCounter):
    """z keeps the `active` largest units of a row where they are above 0 (Gao et al. 2024)."""

    def forward(self, hidden: Tensor, batch: Batch, generator: torch.Generator | None) -> Coded:
        z = hidden.relu()
        return self.counted(keep_largest(z, z, self.active)), {}


class BatchTopUnits(UsageCounter):
    """z keeps the `active` x rows largest positive units of a whole batch (Bussmann et al. 2024).

    Rows may differ in their number of active units. In evaluation a row must not depend on its
    batch, so units above `threshold` stay: the running mean of the smallest active unit.
    """

    threshold: Tensor

    def __init__(self, units: int, active: int, memory: float = 0.9) -> None:
        super().__init__(units, active)
        self.memory = memory
        self.register_buffer("threshold", torch.tensor(-1.0))

    def forward(self, hidden: Tensor, batch: Batch, generator: torch.Generator | None) -> Coded:
        z = hidden.relu()
        if not self.training:
            return torch.where(z > self.threshold, z, 0.0), {}
        flat = z.flatten()
        z = keep_largest(flat[None], flat[None], self.active * len(z)).view_as(z)
        self._remember(z.detach())
        return self.counted(z), {}

    def _remember(self, z: Tensor) -> None:
        smallest = torch.where(z > 0, z, torch.inf).min()
        smallest = torch.where(smallest.isfinite(), smallest, self.threshold)
        mixed = self.memory * self.threshold + (1 - self.memory) * smallest
        self.threshold.copy_(torch.where(self.threshold < 0, smallest, mixed))


class JumpReLUCode(UsageCounter):
    """z = h where h is above the unit's own threshold, else 0.

    JumpReLU (Rajamanoharan et al. 2024). The term `sparsity` is (mean number of active units /
    `active` - 1)^2 of the batch, the same for every row, as in their appendix on aiming at a
    number. It and the loss reach a threshold t through a rectangle about it, of width w =
    `bandwidth` x t (straight-through, their equations 11 and 12). d step(h - t) / dt = -K / w and d
    z / dt = -t K / w, where K is 1 if |h - t| < w / 2 and else 0.

    Thresholds are exp(level + speed x drift_j). `level`, from the first batch, is where `active`
    units of a row stay on average. `drift` is learnt, `speed` times as fast as other weights.
    """

    level: Tensor

    def __init__(
        self, units: int, active: int, bandwidth: float = 0.5, speed: float = 10.0
    ) -> None:
        super().__init__(units, active)
        self.bandwidth, self.speed = bandwidth, speed
        self.drift = nn.Parameter(torch.empty(units))
        self.register_buffer("level", torch.zeros(()))
        self.placed = True

    def initialise(self, generator: torch.Generator) -> None:
        """Sets the drift to 0, and leaves the level to the first batch; nothing is drawn."""
        nn.init.zeros_(self.drift)
        self.placed = False

    def thresholds(self) -> Tensor:
        """The threshold of each unit, (units,)."""
        return (self.level + self.speed * self.drift).exp()

    def revived(self, dead: Tensor) -> list[nn.Parameter]:
        """Gives dead units the common threshold."""
        with torch.no_grad():
            self.drift[dead] = 0
        return [self.drift]

    def forward(self, hidden: Tensor, batch: Batch, generator: torch.Generator | None) -> Coded:
        """Units above their thresholds. In training the thresholds get a gradient from a
        straight-through step, and are placed by the first batch."""
        if self.training and not self.placed:
            self._place(hidden.detach())
        threshold = self.thresholds()
        if not self.training:
            return torch.where(hidden > threshold, hidden, 0.0), {}
        step: Tensor = Step.apply(hidden, threshold, self.bandwidth)  # type: ignore[no-untyped-call]
        on = step.detach()
        z = hidden * on + threshold.detach() * (step - on)
        sparsity = (step.sum(1).mean() / self.active - 1).square().expand(len(hidden))
        return self.counted(z), {"sparsity": sparsity}

    def _place(self, hidden: Tensor) -> None:
        positive = hidden[hidden > 0]
        if len(positive):
            count = min(self.active * len(hidden), len(positive))
            self.level.copy_(positive.topk(count).values[-1].log())
        self.placed = True


class Step(torch.autograd.Function):
    """1 where h > threshold, else 0; the threshold's gradient through a rectangle about it."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
        ctx.save_for_backward(hidden, threshold)
        ctx.bandwidth = bandwidth
        return (hidden > threshold).to(hidden.dtype)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        hidden, threshold = ctx.saved_tensors
        width = ctx.bandwidth * threshold
        near = (hidden - threshold).abs() < width / 2
        return None, -(upstream * near).sum(0) / width, None


def keep_largest(values: Tensor, by: Tensor, count: int) -> Tensor:
    """values where `by` is among the `count` largest of its row, else 0; the lowest of equals."""
    if count >= values.shape[1]:
        return values
    # Not torch.topk alone, because its order of ties is undefined.
    bound = by.detach().topk(count, dim=1).values[:, -1:]  # (rows, 1)
    above, equal = ~(by <= bound), by == bound  # NaN is above all, as in topk
    room = count - above.sum(1, keepdim=True)
    stays = above | (equal & (equal.cumsum(1) <= room))
    return torch.where(stays, values, 0.0)


class TopUnits(nn.Module):
    """z keeps the `active` largest units of a row and is 0 elsewhere (Makhzani & Frey 2014).

    Ties go to the lowest unit; all units stay if there are at most `active`. There is no penalty:
    gradients flow through the units that stay.
    """

    def __init__(self, active: int) -> None:
        super().__init__()
        self.active = active

    def forward(self, hidden: Tensor, batch: Batch, generator: torch.Generator | None) -> Coded:
        return keep_largest(hidden, hidden, self.active), {}


class L1Code(nn.Module):
    """z = max(hidden, 0) with the penalty sum_j |z_j| of each row, (rows,).

    The layer after z needs columns of fixed norm, as in `UnitHead`: longer ones let z shrink.
    """

    def forward(self, hidden: Tensor, batch: Batch, generator: torch.Generator | None) -> Coded:
        z = hidden.relu()
        return z, {"sparsity": z.sum(1)} if self.training else {}


class KLSparseCode(nn.Module):
    """z = sigma(hidden + log(rate / (1 - rate))), the mean of a unit held to `rate` (Ng 2011).

    With p_j the mean of z_j over the rows of the batch, the penalty is sum_j KL(rate || p_j) =
    sum_j rate log(rate / p_j) + (1 - rate) log((1 - rate) / (1 - p_j)). It belongs to the batch and
    not to a row: every row carries the same number, so that the mean over the rows is right.
    The shift makes p_j start at the rate: with a start at 1/2 the penalty dominated training.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, hidden: Tensor, batch: Batch, generator: torch.Generator | None) -> Coded:
        """The sigmoids, which start at the wanted rate, and in training the KL between that rate
        and each unit's mean over the batch."""
        rate, rows = self.rate, len(hidden)
        hidden = hidden + math.log(rate / (1 - rate))
        z = hidden.sigmoid()
        if not self.training:
            return z, {}
        every = batch.of_all(hidden)
        # Logarithms of means, without the means: in float32 these reach 0 and 1.
        log_on = F.logsigmoid(every).logsumexp(0) - math.log(len(every))  # log p, (units,)
        log_off = F.logsigmoid(-every).logsumexp(0) - math.log(len(every))  # log(1 - p)
        entropy = rate * math.log(rate) + (1 - rate) * math.log(1 - rate)
        kl = (entropy - rate * log_on - (1 - rate) * log_off).sum()
        return z, {"sparsity": kl.expand(rows)}


FAINT = 0.5
"""Norm of a revived unit's encoder weights, relative to the mean of the active units. With the 0.2
of Bricken et al. revived units did not become active again (24 of 48, signed top-k)."""

SHARE = 8
"""At most one in so many units is revived at a time: more on the same rows are redundant."""


@torch.no_grad()
def revive(
    code: UsageCounter,
    weight: Tensor,
    bias: Tensor,
    atoms: Tensor,
    features: Tensor,
    residuals: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """Resets units without an active row since the last call to the rows with the largest error.

    Rows are drawn with a chance in proportion to their squared error. A dead unit's encoder weights
    become such a row's residual, faint, with bias 0, and its atom the same at length one. If the
    last encoder layer does not read the examples themselves, the weights become the row's features.
    If the atoms do not have the width of the residuals, they are kept. After Bricken et al.,
    "Towards Monosemanticity", 2023. weight: (width, units) of the last encoder layer, overwritten,
    as bias (units,) and atoms (n_out, units) are; features: (rows, width) what that layer reads;
    residuals: (rows, n). Returns the units revived, (count,) int64, and resets the counts.
    """
    alive = code.used > 0
    dead = (~alive).nonzero().flatten().cpu()
    code.used.zero_()
    errors = residuals.square().sum(1).cpu()
    if not len(dead) or not bool(errors.sum() > 0):
        return dead[:0]
    some = torch.randperm(len(dead), generator=generator)[: max(len(alive) // SHARE, 1)]
    dead = dead[some]
    rows = torch.multinomial(errors, len(dead), replacement=True, generator=generator)
    dead, rows = dead.to(weight.device), rows.to(weight.device)
    toward = residuals if features.shape == residuals.shape else features
    living = weight[:, alive] if bool(alive.any()) else weight
    weight[:, dead] = FAINT * living.norm(dim=0).mean() * F.normalize(toward[rows], dim=1).t()
    bias[dead] = 0
    if len(atoms) == residuals.shape[1]:
        atoms[:, dead] = F.normalize(residuals[rows], dim=1).t()
    return dead


def transposed_start(weight: nn.Parameter, atoms: nn.Parameter) -> None:
    """Starts the encoder, (n, units), as the transposed decoder (Gao et al. 2024)."""
    with torch.no_grad():
        weight.copy_(F.normalize(atoms, dim=0))
