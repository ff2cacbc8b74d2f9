"""Sparse codes whose sparsity is stated as a number of active units: for dictionaries of features.

Each takes what a linear layer gives, `hidden` (rows, units). In training they count, in `used`,
(units,), how many rows each unit was active for: `recae.nn.revive` reads and resets it.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from recae.nn.batch import Batch


class Counted(nn.Module):
    """A code that counts for how many rows each unit was active since the count was reset."""

    used: Tensor

    def __init__(self, units: int) -> None:
        super().__init__()
        self.register_buffer("used", torch.zeros(units))

    def counted(self, z: Tensor) -> Tensor:
        """The code itself; in training its active units are counted."""
        if self.training:
            self.used += (z.detach() != 0).sum(0)
        return z


class SignedTopUnits(Counted):
    """z keeps the `active` units of a row that are largest without their sign.

    CompresSAE (Kasalický et al. 2025): a unit speaks for or against. Among equals the lowest unit
    comes first.
    """

    def __init__(self, units: int, active: int) -> None:
        super().__init__(units)
        self.active = active

    def forward(
        self, hidden: Tensor, batch: Batch, generator: torch.Generator | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        return self.counted(keep_largest(hidden, hidden.abs(), self.active)), {}


class PositiveTopUnits(Counted):
    """z keeps the `active` largest units of a row where they are above 0 (Gao et al. 2024)."""

    def __init__(self, units: int, active: int) -> None:
        super().__init__(units)
        self.active = active

    def forward(
        self, hidden: Tensor, batch: Batch, generator: torch.Generator | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        z = hidden.relu()
        return self.counted(keep_largest(z, z, self.active)), {}


class BatchTopUnits(Counted):
    """z keeps the `active` x rows largest positive units of a whole batch (Bussmann et al. 2024).

    Rows may differ in how many they need. In evaluation, where a row must not depend on its
    company, a unit stays above `threshold`: the running mean of the smallest unit that stayed.
    """

    threshold: Tensor

    def __init__(self, units: int, active: int, memory: float = 0.99) -> None:
        super().__init__(units)
        self.active, self.memory = active, memory
        self.register_buffer("threshold", torch.tensor(-1.0))

    def forward(
        self, hidden: Tensor, batch: Batch, generator: torch.Generator | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
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


class JumpUnits(Counted):
    """z = h where h is above the unit's own threshold, else 0.

    JumpReLU (Rajamanoharan et al. 2024). The term `sparsity` is (mean number of active units /
    `active` - 1)^2 of the batch, the same for every row, as in their appendix on aiming at a
    number. Its gradient and that of the step reach the thresholds through a rectangle of width
    `bandwidth` (straight-through estimate).
    """

    def __init__(self, units: int, active: int, bandwidth: float = 0.1, start: float = 0.1) -> None:
        super().__init__(units)
        self.active, self.bandwidth, self.start = active, bandwidth, start
        self.log_threshold = nn.Parameter(torch.empty(units))

    def initialise(self, generator: torch.Generator) -> None:
        """Sets the thresholds to `start`; nothing is drawn."""
        nn.init.constant_(self.log_threshold, math.log(self.start))

    def forward(
        self, hidden: Tensor, batch: Batch, generator: torch.Generator | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        threshold = self.log_threshold.exp()
        if not self.training:
            return torch.where(hidden > threshold, hidden, 0.0), {}
        step: Tensor = Step.apply(hidden, threshold, self.bandwidth)  # type: ignore[no-untyped-call]
        mean_active = step.sum(1).mean()
        sparsity = (mean_active / self.active - 1).square().expand(len(hidden))
        return self.counted(hidden * step), {"sparsity": sparsity}


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
        near = (hidden - threshold).abs() < ctx.bandwidth / 2
        return None, -(upstream * near).sum(0) / ctx.bandwidth, None


def keep_largest(values: Tensor, by: Tensor, count: int) -> Tensor:
    """values where `by` is among the `count` largest of its row, else 0; the lowest of equals."""
    if count >= values.shape[1]:
        return values
    # Not torch.topk alone, which leaves open who stays among equals.
    bound = by.detach().topk(count, dim=1).values[:, -1:]  # (rows, 1)
    above, equal = by > bound, by == bound
    room = count - above.sum(1, keepdim=True)
    stays = above | (equal & (equal.cumsum(1) <= room))
    return torch.where(stays, values, 0.0)
