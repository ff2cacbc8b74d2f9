"""Batches of dense or ragged rows, and products of sparse rows with a table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from recae.nn.ranks import Ranks, joined

PINNED_BYTES = 1 << 26
"""The largest tensor that is copied to pinned memory first, which torch never gives back."""


def sent(tensor: Tensor, device: torch.device | str) -> Tensor:
    """A tensor on a device; from the CPU to a GPU by pinned memory, so that the host does not wait.
    It waits for a large tensor."""
    upwards = torch.device(device).type == "cuda" and tensor.device.type == "cpu"
    if not upwards or tensor.nbytes > PINNED_BYTES:
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


@dataclass(frozen=True)
class Sample:
    """A sample of the columns, with the probability of each to be in the sample.

    items: (sampled,) int64, rising, among them all columns that the rows have; log_chances:
    (sampled,) float32, of each to be in the sample.
    """

    items: Tensor
    log_chances: Tensor

    def places(self, columns: Tensor) -> Tensor:
        """The places of columns of the rows in the sample: (n,) int64."""
        return torch.searchsorted(self.items, columns)

    def columns(self, start: int, stop: int) -> Sample:
        """The columns from `start` to `stop`, counted from `start`."""
        kept = (self.items >= start) & (self.items < stop)
        return Sample(self.items[kept] - start, self.log_chances[kept])

    def to(self, device: torch.device | str) -> Sample:
        """The same sample on another device."""
        return Sample(sent(self.items, device), sent(self.log_chances, device))


@dataclass(frozen=True)
class Ragged:
    """A sparse batch: row r holds `indices[offsets[r]:offsets[r + 1]]` with their `values`.

    indices: (nnz,) int64 columns, each at most once a row. offsets: (rows + 1,) int64. values:
    (nnz,) float32. n_columns: the width that the row would have if it were dense. sample: columns
    that a sampled loss uses in place of all. met: the different columns, rising, and the place of
    each entry among them, (columns,) and (nnz,) int64. ends: the offsets on the host. Both are
    known beforehand where a GPU would have to be asked, and None where entries have changed. spare:
    rows behind the last one that hold padding, whose values are 0: for a batch of a fixed number of
    entries. They are no rows of the batch; `rows` spreads their entries over all of its rows, so
    that sums over entries need not know them. `where` and `columns` take no such batch.
    """

    indices: Tensor
    offsets: Tensor
    values: Tensor
    n_columns: int
    sample: Sample | None = None
    met: tuple[Tensor, Tensor] | None = None
    ends: np.ndarray | None = None
    spare: int = 0

    @classmethod
    def from_csr(cls, matrix: Any) -> Ragged:
        """A ragged CPU batch of a scipy CSR matrix; it owns copies of the arrays."""
        return cls(
            torch.from_numpy(matrix.indices.astype(np.int64)),
            torch.from_numpy(matrix.indptr.astype(np.int64)),
            torch.from_numpy(matrix.data.astype(np.float32)),
            matrix.shape[1],
        )

    @classmethod
    def stack(cls, parts: list[Ragged]) -> Ragged:
        """The rows of several batches of one width, one below the other."""
        ends = np.cumsum([0] + [len(part.indices) for part in parts])
        offsets = [part.offsets[:-1] + int(end) for part, end in zip(parts, ends, strict=False)]
        last = parts[0].offsets.new_tensor([int(ends[-1])])
        return cls(
            torch.cat([part.indices for part in parts]),
            torch.cat([*offsets, last]),
            torch.cat([part.values for part in parts]),
            parts[0].n_columns,
        )

    def where(self, kept: Tensor) -> Ragged:
        """The same rows with some of their entries; kept: (nnz,) bool."""
        lengths = torch.zeros_like(self.lengths).index_add_(0, self.rows, kept.long())
        offsets = torch.cat([self.offsets[:1] * 0, lengths.cumsum(0)])
        indices, values = self.indices[kept], self.values[kept]
        return replace(self, indices=indices, offsets=offsets, values=values, **UNKNOWN)

    def columns(self, start: int, stop: int) -> Ragged:
        """All rows, with their entries in the columns `start` to `stop`, counted from `start`."""
        kept = (self.indices >= start) & (self.indices < stop)
        before = torch.cat([self.offsets[:1] * 0, kept.cumsum(0)])
        return replace(
            self,
            indices=self.indices[kept] - start,
            offsets=before[self.offsets],
            values=self.values[kept],
            n_columns=stop - start,
            **UNKNOWN,
            sample=None if self.sample is None else self.sample.columns(start, stop),
        )

    def __len__(self) -> int:
        return self.offsets.shape[0] - 1 - self.spare

    def columns_met(self) -> tuple[Tensor, Tensor]:
        """`met`, which is found here if it is not known."""
        if self.met is not None:
            return self.met
        columns, place = torch.unique(self.indices, return_inverse=True)
        return columns, place

    @cached_property
    def lengths(self) -> Tensor:
        """Entries of each row, (rows,) int64."""
        return self.offsets.diff()[: len(self)]

    @cached_property
    def rows(self) -> Tensor:
        """The row of each entry, (nnz,) int64."""
        if len(self) == 1:
            return torch.zeros_like(self.indices)
        numbers, lengths = torch.arange(len(self), device=self.offsets.device), self.lengths
        if self.spare:
            spare = torch.arange(self.spare, device=self.offsets.device) % len(self)
            numbers, lengths = torch.cat([numbers, spare]), self.offsets.diff()
        return torch.repeat_interleave(numbers, lengths, output_size=self.indices.shape[0])

    def entries(self, rows: slice) -> slice:
        """The places of the entries of some rows. A GPU is only asked if `ends` are unknown."""
        if rows.start == 0 and rows.stop == len(self):
            return slice(0, len(self.indices))
        ends = self.offsets if self.ends is None else self.ends
        return slice(int(ends[rows.start]), int(ends[rows.stop]))

    def row_sums(self, values: Tensor) -> Tensor:
        """Sums over each row of one number per entry, (nnz,) -> (rows,)."""
        return values.new_zeros(len(self)).index_add_(0, self.rows, values)

    def with_values(self, values: Tensor) -> Ragged:
        """The same cells with other values."""
        return replace(self, values=values)

    def to(self, device: torch.device | str) -> Ragged:
        """The same batch on another device."""
        return replace(
            self,
            indices=sent(self.indices, device),
            offsets=sent(self.offsets, device),
            values=sent(self.values, device),
            sample=None if self.sample is None else self.sample.to(device),
            met=self.met and (sent(self.met[0], device), sent(self.met[1], device)),
            ends=self.offsets.numpy() if self.offsets.device.type == "cpu" else self.ends,
        )


UNKNOWN: dict[str, Any] = {"met": None, "ends": None}
"""For a batch whose entries are others than before."""


@dataclass(frozen=True)
class Batch:
    """The batch of one training step; loaders build it, and the trainer passes it on unread.

    input: the rows for the encoder. target: the rows for the loss (may differ from the input).
    rows: (batch,) int64 row numbers in the training matrix, for models with a node per user.
    ranks: the processes that train together, of which each sends some rows through the narrow
    layers; None for one process.
    """

    input: Ragged | Tensor
    target: Ragged | Tensor
    rows: Tensor | None = None
    ranks: Ranks | None = None

    def __len__(self) -> int:
        return len(self.input)

    def with_input(self, input: Ragged | Tensor) -> Batch:
        """The same batch with another input; the target stays as it was."""
        return replace(self, input=input)

    def target_sums(self) -> Tensor:
        """The sum of each row's target, (rows,): with ones, the length of its history."""
        if isinstance(self.target, Ragged):
            return self.target.row_sums(self.target.values)
        return self.target.sum(1)

    def mine(self, values: Tensor) -> Tensor:
        """Of values for all rows, (rows, ...), those for the rows of this process."""
        return values if self.ranks is None else values[self.ranks.rows(len(self))]

    def of_all(self, values: Tensor) -> Tensor:
        """The inverse, with its gradient: the values of all processes, (rows, ...)."""
        return values if self.ranks is None else joined(values, len(self), self.ranks)

    def mean(self, term: Tensor) -> Tensor:
        """The mean of a term over all rows; with `ranks`, the share of this process in it."""
        return term.mean() if self.ranks is None else term.sum() / len(self)

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        input = self.input.to(device)
        target = input if self.target is self.input else self.target.to(device)
        rows = None if self.rows is None else sent(self.rows, device)
        return replace(self, input=input, target=target, rows=rows)


Coded = tuple[Tensor, dict[str, Tensor]]
"""What a code returns: z, (rows, latent), and its penalty terms by name, (rows,) each."""


def some_rows(items: Tensor, values: Tensor, n_items: int) -> Tensor:
    """A sparse tensor (n_items, ...) with these rows; items: (met,) int64, rising."""
    return torch.sparse_coo_tensor(
        items[None],
        values,
        (n_items, *values.shape[1:]),
        is_coalesced=True,
        check_invariants=False,
    )


def counted(numbers: Tensor, n: int) -> Tensor:
    """How often each number below n occurs, (n,) int64. Unlike `bincount` on a GPU it does not make
    the host wait."""
    if numbers.device.type == "cpu":
        return torch.bincount(numbers, minlength=n)
    return numbers.new_zeros(n).scatter_add_(0, numbers, torch.ones_like(numbers))


def by_item(table: Tensor, rows: Tensor, values: Tensor, item: Tensor, n_met: int) -> Tensor:
    """sum over the entries of an item of value x row of the table: (n_met, n).

    rows, values, item: (nnz,), for each entry the row of the table, its factor, and its item.
    """
    order = torch.argsort(item, stable=True)
    counts = counted(item, n_met)
    offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    return bag(table, Ragged(rows[order], offsets, values[order], len(table)))


def sparse_bag(weight: Tensor, x: Ragged) -> Tensor:
    """x W for ragged rows, (rows, n); the gradient of weight (n_items, n) is sparse."""
    summed: Tensor = _SparseBag.apply(weight, x)  # type: ignore[no-untyped-call]
    return summed


class _SparseBag(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, x: Ragged) -> Tensor:
        ctx.x, ctx.n_items = x, len(weight)
        return bag(weight, x)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, None]:
        x = ctx.x
        items, item = x.columns_met()
        grad = by_item(upstream.contiguous(), x.rows, x.values, item, len(items))
        return some_rows(items, grad, ctx.n_items), None


def bag(weight: Tensor, x: Ragged) -> Tensor:
    """x W for ragged rows, (rows, n), without a matrix of them."""
    summed = embedding_bag(
        x.indices,
        weight,
        x.offsets,
        mode="sum",
        per_sample_weights=x.values,
        include_last_offset=True,
    )
    return summed[: len(x)] if x.spare else summed
