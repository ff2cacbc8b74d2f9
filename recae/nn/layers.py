"""Layers born empty and initialised from a generator: global randomness is left alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recae.nn.bags import bag, sparse_bag
from recae.nn.batch import Ragged
from recae.nn.products import affine


class Linear(nn.Module):
    """x -> x W^T + b, with W (n_out, n_in) drawn and b zero.

    drawn: "glorot" (Glorot & Bengio 2010, variance 2 / (n_in + n_out)) or "he" (He et al. 2015,
    variance 2 / n_in).
    """

    def __init__(self, n_in: int, n_out: int, drawn: str = "glorot") -> None:
        super().__init__()
        self.spread = _spread(n_in, n_out, drawn)
        self.weight = nn.Parameter(torch.empty(n_out, n_in))
        self.bias = nn.Parameter(torch.empty(n_out))

    def initialise(self, generator: torch.Generator) -> None:
        """Draws the weights in place."""
        nn.init.normal_(self.weight, std=self.spread, generator=generator)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return affine(x, self.weight, self.bias)


class UnitLinear(Linear):
    """A linear map in which what every input says, a column of the weight, has length one.

    What reads a sparse code must be so: a longer column would let a penalised unit shrink.
    """

    def forward(self, x: Tensor) -> Tensor:
        return affine(x, F.normalize(self.weight, dim=0), self.bias)


class InputLinear(nn.Module):
    """The first layer: a linear map that reads ragged rows (an embedding bag) or dense ones.

    Its weight is kept as (n_in, n_out), one row per item: a history touches only its own rows.
    `sparse` may be set to have the gradient of these rows alone, for an optimiser that takes it.
    """

    sparse: bool = False

    def __init__(self, n_in: int, n_out: int, drawn: str = "glorot") -> None:
        super().__init__()
        self.spread = _spread(n_in, n_out, drawn)
        self.weight = nn.Parameter(torch.empty(n_in, n_out))
        self.bias = nn.Parameter(torch.empty(n_out))

    def initialise(self, generator: torch.Generator) -> None:
        """Draws the weights in place."""
        nn.init.normal_(self.weight, std=self.spread, generator=generator)
        nn.init.zeros_(self.bias)

    def forward(self, x: Ragged | Tensor) -> Tensor:
        if isinstance(x, Tensor):
            return affine(x, self.weight.t(), self.bias)
        summed = (sparse_bag if self.sparse else bag)(self.weight, x)  # (rows, n_out)
        return summed + self.bias


def _spread(n_in: int, n_out: int, drawn: str) -> float:
    """The standard deviation that weights are drawn with."""
    return math.sqrt(2 / (n_in if drawn == "he" else n_in + n_out))


ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "sigmoid": nn.Sigmoid, "swish": nn.SiLU}


def encoder_mlp(n_in: int, widths: Sequence[int], activation: str = "tanh") -> nn.Sequential:
    """Ragged or dense input -> widths[0] -> ... -> widths[-1], an activation after each."""
    layers: list[nn.Module] = [InputLinear(n_in, widths[0]), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers, *mlp(widths, activation))


def mlp(widths: Sequence[int], activation: str = "tanh") -> nn.Sequential:
    """widths[0] -> ... -> widths[-1], an activation after each layer; empty for one width."""
    layers: list[nn.Module] = []
    for n_in, n_out in zip(widths, widths[1:], strict=False):
        layers += [Linear(n_in, n_out), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers)
