"""Batches of dense rows: vectors, images, or whatever else has one tensor row an example."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from recae.nn import Batch
from recae.rng import Stream, numpy_generator


@dataclass(frozen=True)
class ArrayLoader:
    """Deals the rows of a tensor in batches, in an order drawn anew for every epoch.

    input: (rows, ...) float32; target: as many rows, or None for the input itself. The order
    depends on the seed and the number of the epoch only, so that a resumed run sees the same
    batches. The last batch of an epoch is smaller where the rows don't divide. binarise: every
    number between 0 and 1 is the chance of a 1, drawn anew in every epoch, input and target alike
    ("dynamic binarisation", Salakhutdinov & Murray 2008).
    """

    input: Tensor
    target: Tensor | None
    batch_size: int
    seed: int
    binarise: bool = False

    def __len__(self) -> int:
        return -(-len(self.input) // self.batch_size)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of one epoch, on the device of the input."""
        generator = numpy_generator(self.seed, Stream.SHUFFLE, number)
        order = torch.from_numpy(generator.permutation(len(self.input)))
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            input = self.input[rows]
            if self.binarise:
                chance = torch.from_numpy(generator.random(tuple(input.shape), dtype=np.float32))
                input = (chance < input).float()
            target = input if self.target is None else self.target[rows]
            yield Batch(input, target, rows)
