"""Batches whose targets also name some items that a user does not have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from recae.nn import Batch, Ragged
from recae.rng import Stream, numpy_generator
from recae.training.loaders.histories import SparseLoader


@dataclass(frozen=True)
class NegativesLoader(SparseLoader):
    """Deals as SparseLoader does, and draws other items into the target of each row, as zeros.

    negatives: draws for each entry of a row, uniform over all items and new for every epoch; what
    the row has, or has been drawn before, is dropped.
    """

    negatives: int = 5

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of one epoch, on the CPU."""
        generator = numpy_generator(self.seed, Stream.NEGATIVES, number)
        for batch in super().epoch(number):
            assert isinstance(batch.target, Ragged)
            yield Batch(batch.input, self._with_negatives(batch.target, generator), batch.rows)

    def _with_negatives(self, target: Ragged, generator: np.random.Generator) -> Ragged:
        width = target.n_columns
        rows, columns = target.rows.numpy(), target.indices.numpy()
        has = rows * width + columns
        drawn = np.repeat(rows, self.negatives) * width
        drawn += generator.integers(width, size=len(drawn))
        cells = np.concatenate([has, np.setdiff1d(drawn, has)])
        values = np.zeros(len(cells), dtype=np.float32)
        values[: len(has)] = target.values.numpy()
        order = np.argsort(cells)
        lengths = np.bincount(cells // width, minlength=len(target))
        return Ragged(
            torch.from_numpy(cells[order] % width),
            torch.from_numpy(np.concatenate([[0], np.cumsum(lengths)])),
            torch.from_numpy(values[order]),
            width,
        )
