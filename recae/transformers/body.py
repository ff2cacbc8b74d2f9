"""MLP and convolutional encoders and decoders around the code."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from recae.nn import (
    ConvDecoder,
    ConvEncoder,
    Decoder,
    InputLinear,
    Linear,
    LinearHead,
    UnitHead,
    UnitLinear,
    encoder_mlp,
    mlp,
)

COLOURS = (1, 3, 4)
"""Usual numbers of channels: grey, RGB, RGB with opacity."""


def channels_last(shape: tuple[int, ...]) -> bool:
    """Whether images of a shape look like (height, width, channels)."""
    return len(shape) == 3 and shape[2] in COLOURS and shape[0] not in COLOURS


@dataclass(frozen=True)
class Body:
    """The shape of a network around its code.

    shape: of an example. hidden: widths of the dense layers between example and code. channels: of
    the convolutions before them, () for an MLP. start: the initial biases of an MLP's output,
    (features,). Inputs and outputs are rows of (features,).
    """

    shape: tuple[int, ...]
    hidden: tuple[int, ...]
    channels: tuple[int, ...]
    activation: str
    start: Tensor | None = None

    def features(self) -> nn.Sequential:
        """Examples -> (rows, hidden[-1]), after the activation."""
        if not self.channels:
            return encoder_mlp(math.prod(self.shape), self.hidden, self.activation)
        first = ConvEncoder(self.shape, self.channels, self.activation)
        return nn.Sequential(first, *mlp((first.n_out, *self.hidden), self.activation))

    def encoder(self, latent: int) -> nn.Sequential:
        """Examples -> (rows, latent); no activation at the end, whose layer comes last."""
        if not self.hidden and not self.channels:
            return nn.Sequential(InputLinear(math.prod(self.shape), latent))
        features: Any = self.features()
        width = self.hidden[-1] if self.hidden else features[0].n_out
        return nn.Sequential(*features, Linear(width, latent))

    def decoder(self, latent: int, *, unit: bool = False) -> nn.Module:
        """(rows, latent) -> scores. unit: decoder vectors with unit norm."""
        first: Callable[[int, int], nn.Module] = UnitLinear if unit else Linear
        widths = (latent, *self.hidden[::-1])
        layers = list(mlp(widths, self.activation))
        if layers:
            layers[0] = first(latent, widths[1])
        dense = nn.Sequential(*layers)
        if self.channels:
            reads = Linear if layers else first
            head = ConvDecoder(self.shape, self.channels, widths[-1], self.activation, reads)
            return Decoder(dense, head)
        features = math.prod(self.shape)
        if unit and not layers:
            return Decoder(dense, UnitHead(latent, features, 1.0, self.start))
        return Decoder(dense, LinearHead(widths[-1], features, self.start))
