"""Codes in which few units speak for a row: the `code` slot of sparse autoencoders.

Each piece takes what a linear layer gives, `hidden` (rows, units), and applies the activation that
belongs to it. A penalty is called `sparsity` and is there in training only.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recae.nn.batch import Batch


class TopUnits(nn.Module):
    """z keeps the `active` largest units of a row and is 0 elsewhere (Makhzani & Frey 2014).

    Among equals the lowest unit comes first; all stay where there are no more than `active`. There
    is no penalty: gradients flow through the units that stay.
    """

    def __init__(self, active: int) -> None:
        super().__init__()
        self.active = active

    def forward(
        self, hidden: Tensor, batch: Batch, generator: torch.Generator | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        # Not torch.topk, which leaves open who stays among equals.
        order = hidden.detach().sort(dim=1, descending=True, stable=True).indices
        stays = torch.zeros_like(hidden, dtype=torch.bool)
        stays = stays.scatter(1, order[:, : self.active], True)  # (rows, units)
        return torch.where(stays, hidden, 0.0), {}


class ShortUnits(nn.Module):
    """z = max(hidden, 0) with the penalty sum_j |z_j| of each row, (rows,).

    What reads z must have a fixed length, as a `UnitHead` has: a longer one would let z shrink.
    """

    def forward(
        self, hidden: Tensor, batch: Batch, generator: torch.Generator | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        z = hidden.relu()
        return z, {"sparsity": z.sum(1)} if self.training else {}


class SeldomUnits(nn.Module):
    """z = sigma(hidden + log(rate / (1 - rate))), the mean of a unit held to `rate` (Ng 2011).

    With p_j the mean of z_j over the rows of the batch, the penalty is sum_j KL(rate || p_j) =
    sum_j rate log(rate / p_j) + (1 - rate) log((1 - rate) / (1 - p_j)). It belongs to the batch and
    not to a row: every row carries the same number, so that the mean over the rows is right.
    The shift makes p_j start at the rate: coming down from 1/2 drowned what there was to learn.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(
        self, hidden: Tensor, batch: Batch, generator: torch.Generator | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        rate, rows = self.rate, len(hidden)
        hidden = hidden + math.log(rate / (1 - rate))
        z = hidden.sigmoid()
        if not self.training:
            return z, {}
        # Logarithms of means, without the means: in float32 these reach 0 and 1.
        log_on = F.logsigmoid(hidden).logsumexp(0) - math.log(rows)  # log p, (units,)
        log_off = F.logsigmoid(-hidden).logsumexp(0) - math.log(rows)  # log(1 - p)
        entropy = rate * math.log(rate) + (1 - rate) * math.log(1 - rate)
        kl = (entropy - rate * log_on - (1 - rate) * log_off).sum()
        return z, {"sparsity": kl.expand(rows)}
