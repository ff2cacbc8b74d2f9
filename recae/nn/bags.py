"""Products of sparse rows with a table, and gradients that hold the rows that were met alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from recae.nn.batch import Ragged


def some_rows(items: Tensor, values: Tensor, n_items: int) -> Tensor:
    """A sparse tensor (n_items, ...) with these rows; items: (met,) int64, rising."""
    return torch.sparse_coo_tensor(
        items[None],
        values,
        (n_items, *values.shape[1:]),
        is_coalesced=True,
        check_invariants=False,
    )


def by_item(table: Tensor, rows: Tensor, values: Tensor, item: Tensor, n_met: int) -> Tensor:
    """sum over the entries of an item of value x row of the table: (n_met, n).

    rows, values, item: (nnz,), for each entry the row of the table, its factor, and its item.
    """
    order = torch.argsort(item, stable=True)
    counts = torch.bincount(item, minlength=n_met)
    return embedding_bag(
        rows[order],
        table,
        torch.cat([counts.new_zeros(1), counts.cumsum(0)]),
        mode="sum",
        per_sample_weights=values[order],
        include_last_offset=True,
    )


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
        items, item = torch.unique(x.indices, return_inverse=True)
        grad = by_item(upstream.contiguous(), x.rows, x.values, item, len(items))
        return some_rows(items, grad, ctx.n_items), None


def bag(weight: Tensor, x: Ragged) -> Tensor:
    """x W for ragged rows, (rows, n), without a matrix of them."""
    return embedding_bag(
        x.indices,
        weight,
        x.offsets,
        mode="sum",
        per_sample_weights=x.values,
        include_last_offset=True,
    )
