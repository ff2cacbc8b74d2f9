"""Batches of sparse rows, assembled without a Python loop over them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from recae.nn import Batch, Ragged
from recae.rng import Stream, numpy_generator


class Loader(Protocol):
    """What deals the batches of a training."""

    def __len__(self) -> int:
        """Batches an epoch."""

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of an epoch, from its number (from 1) and the seed alone."""


@dataclass(frozen=True)
class SparseLoader:
    """Deals the rows of a CSR matrix in batches, in an order drawn anew for every epoch.

    input, target: float32 CSR matrices with the same sparsity; `target` None means the input.
    Rows without any entry are left out: they have nothing to teach. The order depends on the seed
    and the number of the epoch only, so that a resumed run sees the same batches.
    """

    input: Any
    target: Any | None
    batch_size: int
    seed: int

    def __len__(self) -> int:
        return -(-len(self._rows()) // self.batch_size)

    def _rows(self) -> np.ndarray:
        return np.flatnonzero(np.diff(self.input.indptr))

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of one epoch, on the CPU."""
        order = numpy_generator(self.seed, Stream.SHUFFLE, number).permutation(self._rows())
        for start in range(0, len(order), self.batch_size):
            yield self.batch(order[start : start + self.batch_size])

    def batch(self, rows: np.ndarray) -> Batch:
        """The batch of the given row numbers, in that order."""
        starts = self.input.indptr[rows].astype(np.int64)
        lengths = self.input.indptr[rows + 1] - starts
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        entries = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        columns = torch.from_numpy(self.input.indices[entries].astype(np.int64))
        bounds = torch.from_numpy(offsets)

        def ragged(values: np.ndarray) -> Ragged:
            return Ragged(columns, bounds, torch.from_numpy(values), self.input.shape[1])

        input = ragged(self.input.data[entries])
        target = input if self.target is None else ragged(self.target.data[entries])
        return Batch(input, target, torch.from_numpy(rows))
