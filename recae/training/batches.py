"""Builds batches: of histories, with halves, negatives or sampled items, and of dense rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from recae.data.csr import column_counts
from recae.nn import Batch, Ragged, Sample
from recae.nn.batch import sent
from recae.rng import Stream, numpy_generator


class Loader(Protocol):
    """Builds the batches of a training."""

    def __len__(self) -> int:
        """Batches an epoch."""

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of an epoch, from its number (from 1) and the seed alone."""


@dataclass(frozen=True)
class SparseLoader:
    """Batches of the rows of a CSR matrix, in another random order in every epoch.

    input, target: float32 CSR matrices with the same sparsity; `target` None means the input.
    Empty rows are left out. The order depends only on the seed and the number of the epoch, so a
    resumed run gets the same batches.
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


@dataclass(frozen=True)
class HalvesLoader(SparseLoader):
    """Batches of full histories as SparseLoader's, together with halves of other users' histories.

    A batch has three parts. The first are rows that are their own target. The second are the rows
    of the next batch of the epoch, with a random half as input and the rest as target. The third
    are the rows of the batch after that, with the rest as input and the half as target. So two
    thirds of the targets are not in the input. Without `whole` there are only the halves. The
    generator of Vancura & Kordik (2021) has both modes; their notebook trains on halves alone. A
    row of n entries has int(n / 2) of them in its half; halves are drawn anew for every epoch.
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


@dataclass(frozen=True)
class NegativesLoader(SparseLoader):
    """Batches as SparseLoader's, with sampled negatives: zeros in the target of each row.

    negatives: draws for each entry of a row, uniform over all items, again in every epoch; items of
    the row and repeated draws are dropped.
    """

    negatives: int = 5

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of one epoch, on the CPU."""
        generator = numpy_generator(self.seed, Stream.NEGATIVES, number)
        for batch in super().epoch(number):
            assert isinstance(batch.target, Ragged)
            yield Batch(batch.input, self._with_negatives(batch.target, generator), batch.rows)

    def _with_negatives(self, target: Ragged, generator: np.random.Generator) -> Ragged:
        """The target with drawn items as explicit zeros; drawn items that the user has stay
        positive."""
        width = target.n_columns
        rows, columns = target.rows.numpy(), target.indices.numpy()
        drawn = np.repeat(rows, self.negatives) * width
        drawn += generator.integers(width, size=len(drawn))
        cells = np.concatenate([rows * width + columns, drawn])
        order = np.argsort(cells, kind="stable")  # of equal cells, that of the row comes first
        cells = cells[order]
        distinct = np.append(True, cells[1:] != cells[:-1])[: len(cells)]
        cells, order = cells[distinct], order[distinct]
        values = np.concatenate([target.values.numpy(), np.zeros(len(drawn), np.float32)])[order]
        lengths = np.bincount(cells // width, minlength=len(target))
        return Ragged(
            torch.from_numpy(cells % width),
            torch.from_numpy(np.concatenate([[0], np.cumsum(lengths)])),
            torch.from_numpy(values),
            width,
        )


UNIFORM = 0.5
"""The share of the draws that is uniform; the rest is in proportion to the items' users."""


@dataclass(frozen=True)
class SampledLoader(SparseLoader):
    """Batches as SparseLoader's, whose targets have a `Sample` of the columns (sampled softmax).

    The sample of a batch holds the columns of its rows, which are computed anyway, and `samples`
    different columns drawn at random. Half of the probability is uniform, half in proportion to the
    number of rows that have the column. The sample's probability of a column that a row does not
    have is that of being drawn or being in one of the other rows of a random batch. The draw is
    systematic (Madow 1949): the probabilities are laid end to end, and a comb with teeth one apart
    picks the columns. So each column has exactly its probability, and a draw takes samples x
    log(columns) steps.
    """

    samples: int = 1
    _known: dict[int, torch.Tensor] = field(default_factory=dict, init=False, repr=False)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of one epoch, on the CPU."""
        generator = numpy_generator(self.seed, Stream.SAMPLED_ITEMS, number)
        for batch in super().epoch(number):
            yield with_sample(batch, self.draw(generator), self.log_chances(len(batch) - 1))

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        """Different columns, (samples,) int64, ascending."""
        _, ends = self._comb
        teeth = generator.random() + np.arange(self.samples)
        columns = np.searchsorted(ends, teeth, side="right")
        found: np.ndarray = np.minimum(columns, len(ends) - 1)  # rounding at the very end
        return found

    def log_chances(self, others: int) -> torch.Tensor:
        """log of the probability to be drawn or be in one of `others` rows: (n_columns,)."""
        if others not in self._known:
            chances, _ = self._comb
            logs = np.log1p(
                -(1 - chances) * probability_unseen(self._counts, len(self._rows()), others)
            )
            self._known[others] = torch.from_numpy(logs.astype(np.float32))
        return self._known[others]

    @cached_property
    def _counts(self) -> np.ndarray:
        """Rows that have each column, (n_columns,) int64."""
        return column_counts(self.input)

    @cached_property
    def _comb(self) -> tuple[np.ndarray, np.ndarray]:
        """The probability of each column to be drawn, and the cumulative sums: (n_columns,)."""
        chances = inclusion_chances(draw_shares(self._counts), self.samples)
        return chances, np.cumsum(chances)


@dataclass(frozen=True)
class UniformLoader(SparseLoader):
    """Batches as SparseLoader's, whose targets have a `Sample`: the columns of their rows, and
    `samples` columns drawn uniformly. The loss over it is not corrected for the probability of a
    column to be in the sample, which is higher for columns of many rows."""

    samples: int = 1

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of one epoch, on the CPU."""
        generator = numpy_generator(self.seed, Stream.SAMPLED_ITEMS, number)
        uncorrected = torch.zeros(self.input.shape[1])
        for batch in super().epoch(number):
            drawn = generator.choice(self.input.shape[1], self.samples, replace=False)
            yield with_sample(batch, drawn, uncorrected)


def with_sample(batch: Batch, drawn: np.ndarray, log_chances: Tensor) -> Batch:
    """The batch with a sample: the columns of its rows, and those drawn.

    log_chances: (n_columns,), of all columns.
    """
    input, target = batch.input, batch.target
    assert isinstance(input, Ragged) and isinstance(target, Ragged)
    met = input.columns_met()
    items = torch.unique(torch.cat([torch.from_numpy(drawn), met[0]]))
    sample = Sample(items, log_chances[items])
    target = replace(target, sample=sample, met=met)
    return replace(batch, input=replace(input, met=met), target=target)


def probability_unseen(counts: np.ndarray, rows: int, others: int) -> np.ndarray:
    """The probability that a column is in none of `others` rows, drawn with a row that lacks it.

    counts: (n,) rows that have each column, of `rows`. They are drawn without replacement
    (hypergeometric): where a batch is a large part of the rows, powers would be far too high.
    """
    from scipy.special import gammaln  # here, to keep the import light

    lack = rows - 1 - counts  # without the row that lacks it
    ways = gammaln(lack + 1.0) - gammaln(np.maximum(lack - others, 0) + 1.0)
    chances: np.ndarray = np.exp(ways - gammaln(rows) + gammaln(rows - others))
    return np.where(lack < others, 0.0, chances)


def draw_shares(counts: np.ndarray) -> np.ndarray:
    """The sampling distribution of the columns, given the numbers of rows that have them:
    (n_columns,) float64 that sum to one."""
    shares: np.ndarray = (1 - UNIFORM) * counts / counts.sum() + UNIFORM / len(counts)
    return shares


def inclusion_chances(shares: Any, samples: int) -> np.ndarray:
    """min(1, c x share) with c such that they sum to `samples`: (n,) float64.

    shares: (n,) above zero; samples: at most n.
    """
    falling = np.sort(np.asarray(shares, dtype=np.float64))[::-1]
    rest = np.cumsum(falling[::-1])[::-1]  # the sum of a share and all smaller ones
    factors = (
        samples - np.arange(len(falling))
    ) / rest  # c if so many larger ones have probability 1
    first = int(np.argmax(factors * falling <= 1 + 1e-12))
    chances: np.ndarray = np.minimum(1.0, factors[first] * np.asarray(shares))
    return chances


@dataclass(frozen=True)
class ArrayLoader:
    """Batches of the rows of a tensor, in another random order in every epoch.

    input: (rows, ...) float32; target: as many rows, or None for the input itself. The order
    depends only on the seed and the number of the epoch, so a resumed run gets the same batches.
    The last batch of an epoch may be smaller. binarise: numbers between 0 and 1 are probabilities
    of a 1, which is drawn again in every epoch, for input and target alike
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
        generator, device = numpy_generator(self.seed, Stream.SHUFFLE, number), self.input.device
        order = sent(torch.from_numpy(generator.permutation(len(self.input))), device)
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            input = self.input[rows]
            if self.binarise:
                chance = torch.from_numpy(generator.random(tuple(input.shape), dtype=np.float32))
                input = (sent(chance, device) < input).float()
            target = input if self.target is None else self.target[rows]
            yield Batch(input, target, rows)
