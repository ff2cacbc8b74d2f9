"""Histories split in two: one half goes in, the other has to come out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from recae.nn import Batch, Ragged
from recae.rng import Stream, numpy_generator
from recae.training.loaders.histories import SparseLoader


@dataclass(frozen=True)
class HalvesLoader(SparseLoader):
    """Deals whole histories as SparseLoader does, and beside them halves of other users.

    Below the rows of a batch, which are their own target, stand the rows of the next batch of the
    epoch with a random half as input and the rest as target, and those of the one after with the
    rest as input and the half as target: two thirds of the rows cannot be copied. Without `whole`
    there are the halves alone. The generator of Vancura & Kordik (2021) can do either; their
    notebook trains on halves alone. A row of n entries has int(n / 2) of them in its half; halves
    are drawn anew for every epoch.
    """

    whole: bool = True

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of one epoch, on the CPU, two or three times as long as SparseLoader's."""
        generator = numpy_generator(self.seed, Stream.HALVES, number)
        batches = list(super().epoch(number))
        for index, first in enumerate(batches):
            one, other = (batches[(index + ahead) % len(batches)] for ahead in (1, 2))
            half, rest = self._halves(one, generator)
            rest_first, half_last = self._halves(other, generator)[::-1]
            whole = [first] if self.whole else []
            yield Batch(
                _stack([*(batch.input for batch in whole), half[0], rest_first[0]]),
                _stack([*(batch.target for batch in whole), rest[1], half_last[1]]),
                _rows([*whole, one, other]),
            )

    def _halves(
        self, batch: Batch, generator: np.random.Generator
    ) -> tuple[tuple[Ragged, Ragged], tuple[Ragged, Ragged]]:
        """A random half of every row, as (input, target), and the rest, likewise."""
        assert isinstance(batch.input, Ragged) and isinstance(batch.target, Ragged)
        rows, lengths = batch.input.rows.numpy(), batch.input.lengths.numpy()
        order = np.lexsort((generator.random(len(rows)), rows))
        rank = np.empty(len(rows), dtype=np.int64)
        rank[order] = np.arange(len(rows)) - np.repeat(batch.input.offsets[:-1].numpy(), lengths)
        half = torch.from_numpy(rank < lengths[rows] // 2)
        first = batch.input.where(half), batch.target.where(half)
        return first, (batch.input.where(~half), batch.target.where(~half))


def _stack(parts: list[Ragged | torch.Tensor]) -> Ragged:
    return Ragged.stack([part for part in parts if isinstance(part, Ragged)])


def _rows(batches: list[Batch]) -> torch.Tensor:
    return torch.cat([batch.rows for batch in batches if batch.rows is not None])
