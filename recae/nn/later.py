"""Gradients of wide weights, formed some rows at a time, when the optimiser asks for them.

The gradient of a weight with a row for each item is as large as the weight, and larger than the
cache of a processor. Formed as a whole, it is written to memory and read back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from recae.nn.batch import Ragged, bag
from recae.nn.products import product

LARGE = 1 << 21
"""Numbers of a weight from which its gradient is formed later: smaller gradients stay in the cache,
and are formed faster at once."""

Rows = Callable[[slice], Tensor]
"""Some rows of a gradient, formed when they are asked for."""


class Later:
    """The gradient of a weight (n_items, n), as a sum of parts of which rows are formed later."""

    def __init__(self) -> None:
        self.parts: list[Rows] = []

    def rows(self, some: slice) -> Tensor:
        """The sum of the parts in these rows, (rows, n)."""
        first, *others = (part(some) for part in self.parts)
        for other in others:
            first += other
        return first


def later_of(weight: Tensor) -> Later | None:
    """Where the gradient of this weight is kept for later; None if it is formed at once."""
    return getattr(weight, "later", None)


@contextmanager
def formed_later(weights: Iterable[nn.Parameter]) -> Iterator[None]:
    """In here the layers keep the gradients of these weights for later."""
    held: list[Any] = list(weights)  # torch's types know no other attributes
    for weight in held:
        weight.later = Later()
    try:
        yield
    finally:
        for weight in held:
            del weight.later


def wide_weights(net: nn.Module) -> list[nn.Parameter]:
    """The weights that grow with the catalogue, if they have at least `LARGE` numbers."""
    wide = (module for module in net.modules() if "weight" in getattr(type(module), "wide", {}))
    weights = dict.fromkeys(cast(nn.Parameter, module.weight) for module in wide)
    return [weight for weight in weights if weight.numel() >= LARGE]


def outer(left: Tensor, right: Tensor, factor: Tensor, dtype: torch.dtype) -> Rows:
    """factor x left' right in some type; left: (batch, n_items), right: (batch, n)."""
    times = None if float(factor) == 1 else factor

    def rows(some: slice) -> Tensor:
        formed = product(left[:, some].t(), right).to(dtype)
        return formed if times is None else formed.mul_(times)

    return rows


def bag_later(weight: Tensor, x: Ragged) -> Tensor:
    """x W for ragged rows, (rows, n); the gradient of weight (n_items, n) is kept for later."""
    summed: Tensor = _BagLater.apply(weight, x)  # type: ignore[no-untyped-call]
    return summed


class _BagLater(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, x: Ragged) -> Tensor:
        ctx.x, ctx.later = x, later_of(weight)
        return bag(weight, x)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[None, None]:
        """Keeps the entries, sorted by item."""
        x = ctx.x
        items, order = x.indices.sort(stable=True)
        ctx.later.parts.append(
            partial(_by_item, items, x.rows[order], x.values[order], upstream.contiguous())
        )
        return None, None


def _by_item(items: Tensor, rows: Tensor, values: Tensor, table: Tensor, some: slice) -> Tensor:
    """For each of some items the sum over its entries of value x row of the table.

    items, rows, values: (nnz,), of each entry, rising by item.
    """
    bounds = torch.searchsorted(items, torch.arange(some.start, some.stop + 1))
    low, high = int(bounds[0]), int(bounds[-1])
    return bag(table, Ragged(rows[low:high], bounds - low, values[low:high], len(table)))
