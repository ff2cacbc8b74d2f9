"""Working through a large matrix in parts, and handing its gradient on without a copy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from torch import Tensor

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
