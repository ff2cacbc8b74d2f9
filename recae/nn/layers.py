"""Layers initialised from an explicit generator, so global random state is not touched."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recae.nn.batch import Ragged, bag, sparse_bag
from recae.nn.later import bag_later, later_of
from recae.nn.products import affine
from recae.nn.sharded import Shard


class Linear(nn.Module):
    """x -> x W^T + b, with W (n_out, n_in) drawn and b zero.

    drawn: "glorot" (Glorot & Bengio 2010, variance 2 / (n_in + n_out)) or "he" (He et al. 2015,
    variance 2 / n_in).
    """

    def __init__(self, n_in: int, n_out: int, drawn: str = "glorot") -> None:
        super().__init__()
        self.spread = math.sqrt(2 / (n_in if drawn == "he" else n_in + n_out))
        self.weight = nn.Parameter(torch.empty(n_out, n_in))
        self.bias = nn.Parameter(torch.empty(n_out))

    def initialise(self, generator: torch.Generator) -> None:
        """Draws the weights in place."""
        nn.init.normal_(self.weight, std=self.spread, generator=generator)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return affine(x, self.weight, self.bias)


class UnitLinear(Linear):
    """A linear map whose weight columns, one for each input, have unit norm.

    The layer after a penalised sparse code needs this: longer columns would let the units shrink.
    """

    def forward(self, x: Tensor) -> Tensor:
        return affine(x, F.normalize(self.weight, dim=0), self.bias)


class InputLinear(Linear):
    """The first layer: a linear map that reads ragged rows (an embedding bag) or dense ones.

    Its weight is kept as (n_in, n_out), one row per item: a history touches only its own rows.
    `sparse` may be set to have the gradient of these rows alone, for an optimiser that takes it.
    With a `shard` it reads all rows of a ragged batch, and returns those of this process; of dense
    rows, which all processes have, it returns all.
    """

    sparse: bool = False
    wide = {"weight": 0}
    shard: Shard | None = None

    def __init__(self, n_in: int, n_out: int, drawn: str = "glorot") -> None:
        super().__init__(n_in, n_out, drawn)
        self.weight = nn.Parameter(torch.empty(n_in, n_out))

    def forward(self, x: Ragged | Tensor) -> Tensor:
        shard = self.shard
        if isinstance(x, Tensor):
            if shard is not None:
                return shard.summed(x[:, shard.start : shard.stop] @ self.weight) + self.bias
            return affine(x, self.weight.t(), self.bias)
        if shard is not None:
            return shard.split(self.rows_of(shard.own(x))) + self.bias
        return self.rows_of(x) + self.bias

    def rows_of(self, x: Ragged) -> Tensor:
        """x W, (rows, n_out); with a shard, x has the columns of this process."""
        if self.training and self.sparse:  # its gradient is that of the weight alone
            return sparse_bag(self.weight, x)
        if later_of(self.weight) is not None and not x.values.requires_grad:
            return bag_later(self.weight, x)
        return bag(self.weight, x)


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

    def derived(self, weight: Tensor, make: Callable[[Tensor], Tensor], *others: Tensor) -> Tensor:
        """make(weight), of the one weight of this module; others: those that `make` reads too."""
        if self.training or torch.is_grad_enabled():
            return make(weight)
        kept, weights = self.kept, (weight, *others)
        state = [(each._version, each.dtype, each.device) for each in weights]
        known = kept is not None and all(
            one is other for one, other in zip(kept[0], weights, strict=True)
        )
        if kept is None or not known or kept[1] != state:
            self.kept = kept = weights, state, make(weight)
        made: Tensor = kept[2]
        return made

    def __getstate__(self) -> dict[str, Any]:
        """Without what is kept: the weight of a copy has versions of its own."""
        return self.__dict__ | {"kept": None}


class LayerNorm(nn.LayerNorm):
    """Rows scaled to mean 0 and variance 1, then by a learned scale and shift, first 1 and 0."""

    def initialise(self, generator: object) -> None:
        """Sets scale and shift; nothing is drawn."""
        self.reset_parameters()


class DenselyConnected(nn.Module):
    """h_1 = N(s(L_1 x)); h_i = N(s(L_i h_(i-1) + h_1 + ... + h_(i-1))); the output is the last h.

    s(a) = a sigma(a), N is layer normalisation, L_i are affine maps of one width (Shenbin et al.
    2020, and the authors' code). first: L_1.
    """

    def __init__(self, first: InputLinear | Linear, width: int, depth: int, eps: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList([first, *(Linear(width, width) for _ in range(depth - 1))])
        self.norms = nn.ModuleList([LayerNorm(width, eps=eps) for _ in range(depth)])

    def forward(self, x: Ragged | Tensor) -> Tensor:
        hidden: Tensor = self.norms[0](F.silu(self.layers[0](x)))  # (rows, width)
        total = hidden  # of all layers so far
        for layer, norm in zip(self.layers[1:], self.norms[1:], strict=True):
            hidden = norm(F.silu(layer(hidden) + total))
            total = total + hidden
        return hidden
