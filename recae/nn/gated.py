"""Layers that let through a learned share of what they compute."""

from __future__ import annotations

from torch import Tensor, nn

from recae.nn.batch import Ragged
from recae.nn.layers import InputLinear, Linear


class Gated(nn.Module):
    """x -> (x W + a) sigma(x V + b), from a sparse or a dense input.

    As in the code of Kim & Suh (2019), which leaves out the activation that the paper draws where a
    layer is gated (Dauphin et al. 2017 do the same).
    """

    def __init__(self, n_in: int, n_out: int, *, sparse: bool = False) -> None:
        super().__init__()
        kind = InputLinear if sparse else Linear
        self.value, self.gate = kind(n_in, n_out, "he"), kind(n_in, n_out, "he")

    def forward(self, x: Ragged | Tensor) -> Tensor:
        values: Tensor = self.value(x)
        gate: Tensor = self.gate(x)
        return values * gate.sigmoid()


def gated_mlp(widths: list[int], *, sparse: bool = False) -> nn.Sequential:
    """widths[0] -> ... -> widths[-1] through gated layers; sparse: what the first one reads."""
    pairs = zip(widths, widths[1:], strict=False)
    return nn.Sequential(
        *(Gated(a, b, sparse=sparse and not index) for index, (a, b) in enumerate(pairs))
    )
