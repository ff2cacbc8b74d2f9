"""Densely connected layers, as RecVAE and VASP have them."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from recae.nn.batch import Ragged
from recae.nn.layers import InputLinear, Linear


class LayerNorm(nn.LayerNorm):
    """Rows scaled to mean 0 and variance 1, then by a learned scale and shift, first 1 and 0."""

    def initialise(self, generator: object) -> None:
        """Sets scale and shift; nothing is drawn."""
        self.reset_parameters()


class Dense(nn.Module):
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
