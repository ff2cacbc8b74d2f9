"""Tensors that follow from a weight and are made anew only when it may have changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn


class Derived(nn.Module):
    """A module that uses its weight in another form, such as scaled to length one.

    In evaluation that form is kept: scoring in tiles of rows would make it anew for every tile.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kept: tuple[Any, Tensor] | None = None

    def train(self, mode: bool = True) -> Self:
        """Also forgets what is kept: a fused optimiser changes weights without their version."""
        self.kept = None
        return super().train(mode)

    def derived(self, weight: Tensor, make: Callable[[Tensor], Tensor]) -> Tensor:
        """make(weight), of the one weight of this module."""
        if self.training or torch.is_grad_enabled():
            return make(weight)
        state = weight._version, weight.device
        if self.kept is None or self.kept[0] != state:
            self.kept = state, make(weight)
        return self.kept[1]
