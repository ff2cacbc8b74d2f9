"""Matrix products by the faster library of the machine, and lazy scores made of such products."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol, TypeVar, cast

import torch
from torch import Tensor
from torch.nn.functional import embedding, linear

from recae.nn.batch import Ragged

BLOCK = 4096
"""Columns that oneDNN multiplies at a time: its result is copied while it is in the cache."""

TRANSPOSED = 2048
"""Rows of a transposed factor that oneDNN multiplies at a time: it copies them first."""

ALIGNED = 8
"""Numbers of two bytes in 16 bytes."""

MANY_ROWS, MOST_COPIED = 1024, 1 << 26
"""Rows from which the factors may be copied to save time, and the most of them, 256 MiB."""


class BlockScores(Protocol):
    """Scores of (rows, n_items), higher is better, computed block by block when asked for."""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, n_items)."""
        ...

    @property
    def device(self) -> torch.device:
        """Where they are computed."""
        ...

    def dense(self) -> Tensor:
        """All scores, (rows, n_items) float32."""
        ...

    def write(self, out: Tensor, rows: slice, columns: slice) -> None:
        """Writes the scores of some rows and columns into `out`, without gradients."""
        ...


@dataclass(frozen=True)
class FactoredScores:
    """R C' + b - x, not yet computed: R (rows, n), C (n_items, n), b (n_items,), x ragged rows."""

    rows: Tensor
    columns: Tensor
    bias: Tensor | None = None
    minus: Ragged | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, n_items)."""
        return len(self.rows), len(self.columns)

    @property
    def device(self) -> torch.device:
        """Where they are computed."""
        return self.rows.device

    def dense(self) -> Tensor:
        """All scores, (rows, n_items) float32."""
        out = self.rows.new_empty(self.shape)
        self.write(out, slice(0, len(self.rows)), slice(0, len(self.columns)))
        return out

    def write(self, out: Tensor, rows: slice, columns: slice) -> None:
        """Writes the scores of some rows and columns into `out`, without gradients."""
        with torch.no_grad():
            bias = None if self.bias is None else self.bias[columns]
            multiply(self.rows[rows], self.columns[columns], bias, out)
            if self.minus is not None:
                subtract(out, self.minus, rows, columns)


def with_bias(rows: Tensor, columns: Tensor, bias: Tensor) -> FactoredScores:
    """R C' + b. For many rows on a CPU, b becomes one more factor, whose rows are ones.

    To add b to scores that have left the cache takes as long as a third of their product.
    """
    if rows.device.type != "cpu" or len(rows) < MANY_ROWS or columns.numel() > MOST_COPIED:
        return FactoredScores(rows, columns, bias)
    ones = rows.new_ones(len(rows), 1)
    return FactoredScores(torch.cat([rows, ones], 1), torch.cat([columns, bias[:, None]], 1))


def subtract(out: Tensor, x: Ragged, rows: slice, columns: slice) -> None:
    """Subtracts some rows and columns of a ragged batch from `out`, which is contiguous."""
    entries = x.entries(rows)
    row, column, values = x.rows[entries] - rows.start, x.indices[entries], x.values[entries]
    if columns.start > 0 or columns.stop < x.n_columns:
        here = (column >= columns.start) & (column < columns.stop)
        row, column, values = row[here], column[here] - columns.start, values[here]
    out.view(-1).scatter_add_(0, row * out.shape[1] + column, -values)  # a cell comes once only


def multiply(
    rows: Tensor, columns: Tensor, bias: Tensor | None = None, out: Tensor | None = None
) -> Tensor:
    """rows @ columns.T + bias without gradients: rows (rows, n), columns (columns, n), bias
    (columns,) -> (rows, columns), into `out` if that is given.

    >>> multiply(torch.ones(1, 2), torch.ones(3, 2))
    tensor([[2., 2., 2.]])
    """
    if out is None:
        out = rows.new_empty(len(rows), len(columns))
    fast = _fast(rows, columns)
    if fast is not None and len(rows) > 1 and columns.is_contiguous():
        for start in range(0, len(columns), BLOCK):
            some = slice(start, start + BLOCK)
            part = None if bias is None else bias[some]
            out[:, some].copy_(fast(rows, columns[some], part, "none", [], ""))
    elif bias is None:
        torch.mm(rows, columns.t(), out=out)
    else:
        torch.addmm(bias, rows, columns.t(), out=out)
    return out


def affine(hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """h W^T + b: hidden (rows, n), weight (columns, n), bias (columns,) -> (rows, columns).

    Computed in the type of hidden: weight and bias are rounded to a narrower one.
    """
    if hidden.dtype != weight.dtype:
        weight, bias = weight.to(hidden.dtype), bias.to(hidden.dtype)
    if hidden.device.type != "cpu" or torch.is_grad_enabled():
        return linear(hidden, weight, bias)
    return multiply(hidden, weight, bias)


def product(left: Tensor, right: Tensor) -> Tensor:
    """left @ right, outside of autograd, by the fastest library here; either may be transposed."""
    fast = _fast(left, right)
    if fast is None and left.device.type != "cpu" and left.itemsize < 4:
        # The matrix units of a GPU want rows that begin at a multiple of 16 bytes.
        columns = right.shape[1]
        aligned = left.new_empty(len(left), -(-columns // ALIGNED) * ALIGNED)[:, :columns]
        return torch.mm(left, right, out=aligned)
    if fast is None:
        return left @ right
    if left.is_contiguous() or len(left) <= TRANSPOSED:
        result: Tensor = fast(left, right.t(), None, "none", [], "")
        return result
    out = left.new_empty(len(left), right.shape[1])
    for start in range(0, len(left), TRANSPOSED):
        some = slice(start, start + TRANSPOSED)
        out[some].copy_(fast(left[some], right.t(), None, "none", [], ""))
    return out


def times(left: Tensor, right: Tensor) -> Tensor:
    """left @ right, with a gradient if autograd is on, else by the fastest library here."""
    return left @ right if torch.is_grad_enabled() else product(left, right)


def _fast(left: Tensor, right: Tensor) -> Callable[..., Tensor] | None:
    """The product of oneDNN, if it supports these operands and is the faster one here."""
    if _intel():
        return None
    plain = left.dtype == right.dtype == torch.float32 and left.device.type == "cpu"
    return _onednn() if plain and left.numel() and right.numel() else None


@cache
def _onednn() -> Callable[..., Tensor] | None:
    """The product of oneDNN, if this build of torch has it.

    torch itself multiplies float32 matrices by MKL, which takes less than half of what an AMD
    processor can do: measured on one core of a Zen 5, 106 against 214 GFLOP/s for 256 rows.
    """
    operation = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if operation is None or not available:
        return None
    example = torch.arange(32.0).view(2, 16)  # not a documented operation of torch
    try:
        found = operation(example, example, example[0, :2], "none", [], "")
    except (RuntimeError, TypeError):
        return None
    right = torch.equal(found, torch.addmm(example[0, :2], example, example.t()))
    return cast(Callable[..., Tensor], operation) if right else None


@cache
def _intel() -> bool:
    """Whether this is a processor of Intel, where MKL is the faster one: measured on one core of a
    Xeon with AVX-512, 123 against 90 GFLOP/s for 256 rows, and it needs no copy. On one with AMX
    the products of a training step take 0.50 against 0.58 s (500 x 600 x 40,981)."""
    try:
        return "GenuineIntel" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return "intel" in platform.processor().lower()


def gather(table: Tensor, index: Tensor) -> Tensor:
    """table[index], for rows or for numbers, with a deterministic gradient.

    The gradient of plain indexing adds up on the CPU in the order in which threads happen to come.
    """
    if table.dim() == 1:
        return embedding(index, table[:, None]).squeeze(1)
    return embedding(index, table)


GPU_CELLS = 1 << 26
"""Numbers that a GPU computes together, at least: 256 MiB in float32. Fewer are a launch each."""


def cells_of(device: torch.device, on_cpu: int) -> int:
    """How many numbers to compute together: those that a CPU has room for in its cache, or more on
    a GPU."""
    return on_cpu if device.type == "cpu" else max(on_cpu, GPU_CELLS)


Grad = TypeVar("Grad", Tensor, Tensor | None)


def row_chunks(n_rows: int, n_columns: int, cells: int) -> list[slice]:
    """Slices that cut `n_rows` into equal chunks of at most `cells` cells (at least one row)."""
    n_chunks = max(-(-n_rows // max(cells // max(n_columns, 1), 1)), 1)
    bounds = [n_rows * chunk // n_chunks for chunk in range(n_chunks + 1)]
    return [slice(low, high) for low, high in zip(bounds, bounds[1:], strict=False)]


def scaled(grads: Sequence[Grad], upstream: Tensor) -> Sequence[Grad]:
    """The gradients times a scalar; as they are for 1, because they are as large as the weights."""
    if upstream.device.type == "cpu" and float(upstream) == 1:  # no read from a GPU
        return grads
    return [grad if grad is None else grad * upstream for grad in grads]
