"""Batches whose targets carry a sample of the catalogue, drawn anew for each of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from recae.nn import Batch, Ragged, Sample
from recae.rng import numpy_generator
from recae.training.loader import SparseLoader

SAMPLES_STREAM = 7

UNIFORM = 0.2
"""The share of the chances that all items have alike: it bounds the weight of a seldom one."""


@dataclass(frozen=True)
class SampledLoader(SparseLoader):
    """Deals as SparseLoader does, and gives each target a `Sample` of `samples` different items.

    A fifth of the chances is the same for all items, the rest goes by the number of users who have
    them; no chance is above 1. The sample is systematic (Madow 1949): the chances are laid end to
    end, and items are taken where a comb with teeth one apart falls, so that every item has exactly
    its chance and a draw costs samples x log(items) operations.
    """

    samples: int = 1

    @cached_property
    def _comb(self) -> tuple[np.ndarray, torch.Tensor]:
        """Where the chances end, (n_items,) float64, and their logs, float32."""
        n_items = self.input.shape[1]
        counts = np.bincount(self.input.indices, minlength=n_items).astype(np.float64)
        shares = (1 - UNIFORM) * counts / counts.sum() + UNIFORM / n_items
        chances = inclusion_chances(shares, self.samples)
        return np.cumsum(chances), torch.from_numpy(np.log(chances).astype(np.float32))

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of one epoch, on the CPU."""
        generator = numpy_generator(self.seed, SAMPLES_STREAM, number)
        for batch in super().epoch(number):
            assert isinstance(batch.target, Ragged)
            target = replace(batch.target, sample=self._draw(generator))
            yield Batch(batch.input, target, batch.rows)

    def _draw(self, generator: np.random.Generator) -> Sample:
        ends, log_chances = self._comb
        teeth = generator.random() + np.arange(self.samples)
        items = np.searchsorted(ends, teeth, side="right")
        items = np.unique(np.minimum(items, len(ends) - 1))  # rounding at the very end
        found = torch.from_numpy(items)
        return Sample(found, log_chances[found])


def inclusion_chances(shares: Any, samples: int) -> np.ndarray:
    """min(1, c x share) with c such that they sum to `samples`: (n_items,) float64.

    shares: (n_items,) above zero; samples: at most n_items.
    """
    falling = np.sort(np.asarray(shares, dtype=np.float64))[::-1]
    rest = np.cumsum(falling[::-1])[::-1]  # the sum of an item's share and of all smaller ones
    certain = np.arange(len(falling))  # so many larger ones have chance 1
    factors = (samples - certain) / rest
    first = int(np.argmax(factors * falling <= 1 + 1e-12))
    chances: np.ndarray = np.minimum(1.0, factors[first] * shares)
    return chances
