"""The key of a cell: its score and its column in one integer, in the order of lists.

A key has 64 bits, with the inverted score in the upper half and the column in the lower. Ascending
keys are descending scores, and ascending columns among equal scores.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from recae.nn.products import cells_of
from recae.system.machine import gpu_room

Keys = npt.NDArray[np.int64]
Values = npt.NDArray[np.float32]

NOTHING = (0x7F800000 << 32) | 0xFFFFFFFF
"""The key of an empty place: score -inf, column -1."""

GPU_BYTES = 48
"""Memory that a GPU needs for a score: itself, its key, and what makes and sorts that."""


def keys_of(values: Values, columns: Keys) -> Keys:
    """The keys of cells: values (cells,) float32, columns (cells,).

    >>> found = keys_of(np.array([0.5, 2, 0.5], np.float32), np.arange(3))
    >>> found.argsort().tolist()
    [1, 0, 2]
    """
    bits = (values + np.float32(0)).view(np.int32)  # -0.0 becomes 0.0
    keys: Keys = ((~_turned(bits)).astype(np.int64) << 32) | columns
    return keys


def values_of(keys: Keys) -> Values:
    """The scores in keys, of the same shape."""
    values: Values = _turned(~(keys >> 32).astype(np.int32)).view(np.float32)
    return values


def keys_on_gpu(scores: Tensor, first: int) -> Tensor:
    """The keys of scores (rows, columns) float32, whose first column has this number."""
    columns = torch.arange(first, first + scores.shape[1], device=scores.device)
    keys: Tensor = (~_turned((scores + 0.0).view(torch.int32))).long()
    keys.bitwise_left_shift_(32).bitwise_or_(columns)
    return keys.masked_fill_(scores == -torch.inf, NOTHING)


def cells_at_once(device: torch.device, on_cpu: int) -> int:
    """How many scores are ranked together: `on_cpu` on the CPU. A GPU takes as many as its free
    memory holds, and at least `on_cpu`, because every block costs launches and waits."""
    if device.type == "cpu":
        return on_cpu
    return max(min(cells_of(device, on_cpu), gpu_room(device) // GPU_BYTES), on_cpu)


def _turned(bits: Any) -> Any:
    """Bits of floats, int32, as integers of the same order, and back."""
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)
