"""The `corrupt` slot: what happens to the input before the encoder reads it.

Each piece maps `(batch, generator)` to a batch. Noise is only drawn in training mode, always from
the generator handed in, never from torch's global one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recae.nn.batch import Batch, Ragged


class NoCorruption(nn.Module):
    """No corruption: the batch as it is."""

    def forward(self, batch: Batch, generator: torch.Generator | None) -> Batch:
        return batch


class UnitNorm(nn.Module):
    """Scales every input row to Euclidean length one; empty rows stay empty."""

    def forward(self, batch: Batch, generator: torch.Generator | None) -> Batch:
        x = batch.input
        if isinstance(x, Tensor):
            return batch.with_input(nn.functional.normalize(x, dim=1))
        # Largest value first: squares of very large or small weights would leave float32.
        rows = x.rows
        largest = x.values.new_zeros(len(x)).scatter_reduce(0, rows, x.values.abs(), "amax")
        values = x.values / torch.where(largest > 0, largest, 1)[rows]
        norms = x.row_sums(values.square()).sqrt().clamp_min(1e-12)  # (rows,)
        return batch.with_input(x.with_values(values / norms[rows]))


class Dropout(nn.Module):
    """Sets a share `p` of the input entries to zero and scales the rest by 1 / (1 - p)."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, batch: Batch, generator: torch.Generator | None) -> Batch:
        if not self.training or self.p == 0:
            return batch
        x = batch.input
        values = x.values if isinstance(x, Ragged) else x
        drawn = torch.rand(values.shape, generator=generator, device=values.device)
        values = values * (drawn >= self.p) / (1 - self.p)
        return batch.with_input(x.with_values(values) if isinstance(x, Ragged) else values)


class Chain(nn.Module):
    """Several corruptions, one after the other."""

    def __init__(self, *steps: nn.Module) -> None:
        super().__init__()
        self.steps = nn.ModuleList(steps)

    def forward(self, batch: Batch, generator: torch.Generator | None) -> Batch:
        for step in self.steps:
            batch = step(batch, generator)
        return batch


class GaussianNoise(nn.Module):
    """Adds normal noise of standard deviation `spread`; of a sparse row, to its entries alone."""

    def __init__(self, spread: float) -> None:
        super().__init__()
        self.spread = spread

    def forward(self, batch: Batch, generator: torch.Generator | None) -> Batch:
        if not self.training or self.spread == 0:
            return batch
        x = batch.input
        values = x.values if isinstance(x, Ragged) else x
        noise = torch.randn(
            values.shape, generator=generator, device=values.device, dtype=values.dtype
        )
        values = values + self.spread * noise
        return batch.with_input(x.with_values(values) if isinstance(x, Ragged) else values)


class Masking(nn.Module):
    """Sets a share `p` of the input entries to zero and leaves the rest (Vincent et al. 2008)."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, batch: Batch, generator: torch.Generator | None) -> Batch:
        if not self.training or self.p == 0:
            return batch
        x = batch.input
        values = x.values if isinstance(x, Ragged) else x
        kept = torch.rand(values.shape, generator=generator, device=values.device) >= self.p
        values = values * kept
        return batch.with_input(x.with_values(values) if isinstance(x, Ragged) else values)


class SaltAndPepper(nn.Module):
    """Sets a share `p` of the entries of dense rows to `low` or `high`, by the toss of a coin.

    Vincent et al. (2010), section 3.3. Not for sparse rows: it would fill them.
    """

    def __init__(self, p: float, low: float = 0.0, high: float = 1.0) -> None:
        super().__init__()
        self.p, self.low, self.high = p, low, high

    def forward(self, batch: Batch, generator: torch.Generator | None) -> Batch:
        x = batch.input
        if isinstance(x, Ragged):
            raise TypeError("salt and pepper would fill sparse rows: use masking or dropout")
        if not self.training or self.p == 0:
            return batch
        drawn = torch.rand(x.shape, generator=generator, device=x.device)
        x = torch.where(drawn < self.p, self.high, x)
        return batch.with_input(torch.where(drawn < self.p / 2, self.low, x))
