"""Batches whose targets carry a sample of the catalogue, drawn anew for each of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from recae.data.csr import column_counts
from recae.nn import Batch, Ragged, Sample
from recae.rng import Stream, numpy_generator
from recae.training.loaders.histories import SparseLoader

UNIFORM = 0.5
"""The share of the draws that all items have alike; the others go by the users who have them."""


@dataclass(frozen=True)
class SampledLoader(SparseLoader):
    """Deals as SparseLoader does, and gives each target a `Sample` of the columns.

    The sample of a batch is what its rows have, which costs nothing as these columns are met
    anyway, and `samples` different columns drawn, half of the chances alike for all and half by the
    number of rows that have them. Its chances, for a column that a row does not have, are of being
    drawn or being in one of the other rows of a random batch. The draw is systematic (Madow 1949):
    the chances are laid end to end, and columns are taken where the teeth of a comb, one apart,
    fall on them. So each has exactly its chance, and a draw takes samples x log(columns) steps.
    """

    samples: int = 1
    _known: dict[int, torch.Tensor] = field(default_factory=dict, init=False, repr=False)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of one epoch, on the CPU."""
        generator = numpy_generator(self.seed, Stream.SAMPLED_ITEMS, number)
        for batch in super().epoch(number):
            assert isinstance(batch.target, Ragged)
            drawn = torch.from_numpy(self.draw(generator))
            items = torch.unique(torch.cat([drawn, batch.target.indices]))
            sample = Sample(items, self.log_chances(len(batch) - 1)[items])
            yield Batch(batch.input, replace(batch.target, sample=sample), batch.rows)

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        """So many different columns, (samples,) int64, rising."""
        _, ends = self._comb
        teeth = generator.random() + np.arange(self.samples)
        columns = np.searchsorted(ends, teeth, side="right")
        found: np.ndarray = np.minimum(columns, len(ends) - 1)  # rounding at the very end
        return found

    def log_chances(self, others: int) -> torch.Tensor:
        """log of the chance to be drawn, or had by one of so many rows: (n_columns,) float32."""
        if others not in self._known:
            chances, _ = self._comb
            logs = np.log1p(-(1 - chances) * nobody(self._counts, len(self._rows()), others))
            self._known[others] = torch.from_numpy(logs.astype(np.float32))
        return self._known[others]

    @cached_property
    def _counts(self) -> np.ndarray:
        """Rows that have each column, (n_columns,) int64."""
        return column_counts(self.input)

    @cached_property
    def _comb(self) -> tuple[np.ndarray, np.ndarray]:
        """The chance of each column to be drawn, and where it ends, (n_columns,) float64 each."""
        chances = inclusion_chances(draw_shares(self._counts), self.samples)
        return chances, np.cumsum(chances)


def nobody(counts: np.ndarray, rows: int, others: int) -> np.ndarray:
    """The chance that a column is in none of `others` rows drawn beside a row that lacks it.

    counts: (n,) rows that have each column, of `rows`. They are drawn without replacement
    (hypergeometric): where a batch is a large part of the rows, powers would be far too high.
    """
    from scipy.special import gammaln  # here, to keep the import light

    lack = rows - 1 - counts  # beside the row that asks
    ways = gammaln(lack + 1.0) - gammaln(np.maximum(lack - others, 0) + 1.0)
    chances: np.ndarray = np.exp(ways - gammaln(rows) + gammaln(rows - others))
    return np.where(lack < others, 0.0, chances)


def draw_shares(counts: np.ndarray) -> np.ndarray:
    """What a column's chance to be drawn is in proportion to, given the rows that have it; sums to
    one, (n_columns,) float64."""
    shares: np.ndarray = (1 - UNIFORM) * counts / counts.sum() + UNIFORM / len(counts)
    return shares


def inclusion_chances(shares: Any, samples: int) -> np.ndarray:
    """min(1, c x share) with c such that they sum to `samples`: (n,) float64.

    shares: (n,) above zero; samples: at most n.
    """
    falling = np.sort(np.asarray(shares, dtype=np.float64))[::-1]
    rest = np.cumsum(falling[::-1])[::-1]  # the sum of a share and of all that are smaller
    factors = (samples - np.arange(len(falling))) / rest  # c if so many larger ones have chance 1
    first = int(np.argmax(factors * falling <= 1 + 1e-12))
    chances: np.ndarray = np.minimum(1.0, factors[first] * np.asarray(shares))
    return chances
