"""Matrix products, in the order that suits the machine and with rows that repeat their bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TypeVar, cast

import torch
from torch import Tensor
from torch.nn.functional import embedding, linear, pad

BLOCK = 4096
"""Columns multiplied at a time on the CPU, so that a block of scores stays in the cache."""

NARROW = 16
"""Columns below which MKL takes other steps for some rows of a product than for the others; zeros
are added up to this many."""


def gather(table: Tensor, index: Tensor) -> Tensor:
    """table[index], for rows or for numbers, with a gradient that repeats its bits.

    The gradient of plain indexing adds up on the CPU in the order in which threads happen to come.
    """
    if table.dim() == 1:
        return embedding(index, table[:, None]).squeeze(1)
    return embedding(index, table)


def column_blocks(width: int) -> list[slice]:
    """The columns that are multiplied at a time: equal blocks, so that none is narrow."""
    n = -(-width // BLOCK)
    return [slice(width * block // n, width * (block + 1) // n) for block in range(n)]


def affine(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor,
    blocks: list[slice] | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """h W^T + b: hidden (rows, n), weight (columns, n), bias (columns,) -> (rows, columns).

    Without gradients, on the CPU and for one number of rows, a row of the result has the same bits
    wherever it stands and whatever the other rows are. There, some neighbouring `column_blocks` may
    be asked for instead of all, and the result be written to `out`.
    """
    if hidden.device.type != "cpu" or torch.is_grad_enabled():
        return linear(hidden, weight, bias)
    blocks = column_blocks(len(weight)) if blocks is None else blocks
    first = blocks[0].start if blocks else 0
    if out is None:
        out = hidden.new_empty(len(hidden), blocks[-1].stop - first if blocks else 0)
    if len(weight) < NARROW:
        missing = NARROW - len(weight)
        wide = _block(hidden, pad(weight, (0, 0, 0, missing)), pad(bias, (0, missing)))
        return out.copy_(wide[:, : len(weight)])
    for block in blocks:
        part = out[:, block.start - first : block.stop - first]
        part.copy_(_block(hidden, weight[block], bias[block]))
    return out


def product(left: Tensor, right: Tensor) -> Tensor:
    """left @ right, outside of autograd, by whatever is fastest here; either may be transposed."""
    plain = left.dtype == right.dtype == torch.float32 and left.device.type == "cpu"
    fast = _onednn() if plain and left.numel() and right.numel() else None
    if fast is None:
        return left @ right
    result: Tensor = fast(left, right.t(), None, "none", [], "")
    return result


def _block(hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    plain = hidden.dtype == weight.dtype == torch.float32 and weight.is_contiguous()
    fast = _onednn() if plain and len(hidden) else None
    if fast is None:
        return torch.addmm(bias, hidden, weight.t())
    result: Tensor = fast(hidden, weight, bias, "none", [], "")
    return result


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
    example = torch.arange(32.0).view(2, 16)  # it is none of torch's documented operations
    try:
        found = operation(example, example, example[0, :2], "none", [], "")
    except (RuntimeError, TypeError):
        return None
    right = torch.equal(found, torch.addmm(example[0, :2], example, example.t()))
    return cast(Callable[..., Tensor], operation) if right else None


Grad = TypeVar("Grad", Tensor, Tensor | None)


def row_chunks(n_rows: int, n_columns: int, cells: int) -> list[slice]:
    """Slices that cut `n_rows` into equal chunks of at most `cells` cells (at least one row)."""
    n_chunks = -(-n_rows // max(cells // max(n_columns, 1), 1))
    bounds = [n_rows * chunk // n_chunks for chunk in range(n_chunks + 1)]
    return [slice(low, high) for low, high in zip(bounds, bounds[1:], strict=False)]


def scaled(grads: Sequence[Grad], upstream: Tensor) -> Sequence[Grad]:
    """The gradients times a scalar; as they are for 1, because they are as large as the weights."""
    if upstream.device.type == "cpu" and float(upstream) == 1:  # asking a GPU makes it wait
        return grads
    return [grad if grad is None else grad * upstream for grad in grads]
