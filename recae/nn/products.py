"""The largest matrix product of the library, in the order that suits the machine."""

from __future__ import annotations

import torch
from torch import Tensor

ITEM_BLOCK = 512
"""Items multiplied at a time on the CPU. A block's scores stay in the cache: measured on two cores
over 41,000 items, 85 against 45 GFLOP/s for 500 rows at once and 75 against 46 for 64 rows."""


def affine(hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """h W^T + b: hidden (rows, n), weight (n_items, n), bias (n_items,) -> (rows, n_items)."""
    if hidden.device.type != "cpu" or torch.is_grad_enabled():
        return torch.nn.functional.linear(hidden, weight, bias)
    out = hidden.new_empty(len(hidden), len(weight))
    for start in range(0, len(weight), ITEM_BLOCK):
        items = slice(start, start + ITEM_BLOCK)
        out[:, items] = torch.addmm(bias[items], hidden, weight[items].t())
    return out
