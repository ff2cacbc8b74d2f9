"""Tensors that follow from a weight and are made anew only when it may have changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn


class Derived(nn.Module):
    """A module that uses its weight in another form, such as scaled to length one.

    In evaluation that form is kept: scoring in tiles of rows would make it anew for every tile. A
    weight changed through `.data` in evaluation goes unseen; `train()` or `eval()` forgets.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kept: tuple[Any, ...] | None = None

    def train(self, mode: bool = True) -> Self:
        """Also forgets what is kept: a fused optimiser changes weights without their version."""
        self.kept = None
        return super().train(mode)

    def derived(self, weight: Tensor, make: Callable[[Tensor], Tensor]) -> Tensor:
        """make(weight), of the one weight of this module."""
        if self.training or torch.is_grad_enabled():
            return make(weight)
        kept, state = self.kept, (weight._version, weight.dtype, weight.device)
        if kept is None or kept[0] is not weight or kept[1] != state:
            self.kept = kept = weight, state, make(weight)
        made: Tensor = kept[2]
        return made

    def __getstate__(self) -> dict[str, Any]:
        """Without what is kept: the weight of a copy has versions of its own."""
        return self.__dict__ | {"kept": None}
