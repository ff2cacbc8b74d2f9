"""Convolutional encoders and decoders for images, of any height and width."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recae.nn.dense import DenseScores
from recae.nn.layers import ACTIVATIONS, Linear

KERNEL = 4


class Conv(nn.Module):
    """A convolution that halves height and width, rounded up; He et al. (2015) weights."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_out, n_in, KERNEL, KERNEL))
        self.bias = nn.Parameter(torch.empty(n_out))

    def initialise(self, generator: torch.Generator) -> None:
        """Draws the weights in place."""
        fan_in = self.weight[0].numel()
        nn.init.normal_(self.weight, std=math.sqrt(2 / fan_in), generator=generator)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        x = F.pad(x, (1, 1 + width % 2, 1, 1 + height % 2))
        return F.conv2d(x, self.weight, self.bias, stride=2)


class UpConv(nn.Module):
    """A transposed convolution that doubles height and width, and cuts to the given size."""

    def __init__(self, n_in: int, n_out: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.weight = nn.Parameter(torch.empty(n_in, n_out, KERNEL, KERNEL))
        self.bias = nn.Parameter(torch.empty(n_out))

    def initialise(self, generator: torch.Generator) -> None:
        """Draws the weights in place: of the kernel a quarter reaches each output."""
        fan_in = self.weight.shape[0] * KERNEL * KERNEL / 4
        nn.init.normal_(self.weight, std=math.sqrt(2 / fan_in), generator=generator)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv_transpose2d(x, self.weight, self.bias, stride=2, padding=1)
        return x[..., : self.size[0], : self.size[1]]


def image_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    """(channels, height, width) of an image given with or without its one channel."""
    channels, height, width = (1, *shape) if len(shape) == 2 else tuple(shape)
    return channels, height, width


def halved(shape: tuple[int, int, int], times: int) -> list[tuple[int, int]]:
    """Height and width before and after each halving, `times` + 1 of them."""
    sizes = [shape[1:]]
    for _ in range(times):
        height, width = sizes[-1]
        sizes.append((-(-height // 2), -(-width // 2)))
    return sizes


class ConvEncoder(nn.Module):
    """Images (rows, ...) -> (rows, n_out): convolutions that halve, an activation after each.

    shape: of an image, (channels, height, width) or (height, width); channels: those after each
    convolution. n_out: channels x height x width of what comes out.
    """

    def __init__(
        self, shape: Sequence[int], channels: Sequence[int], activation: str = "relu"
    ) -> None:
        super().__init__()
        self.shape = image_shape(shape)
        layers: list[nn.Module] = []
        for n_in, n_out in zip((self.shape[0], *channels), channels, strict=False):
            layers += [Conv(n_in, n_out), ACTIVATIONS[activation]()]
        self.layers = nn.Sequential(*layers)
        self.n_out = channels[-1] * math.prod(halved(self.shape, len(channels))[-1])

    def forward(self, x: Tensor) -> Tensor:
        images = x.reshape(-1, *self.shape)
        hidden: Tensor = self.layers(images).flatten(1)
        return hidden


class ConvDecoder(nn.Module):
    """(rows, width) -> scores of images, (rows, cells of an image): the encoder in reverse.

    first: the class of the dense layer that reads the code.
    """

    def __init__(
        self,
        shape: Sequence[int],
        channels: Sequence[int],
        width: int,
        activation: str = "relu",
        first: Callable[[int, int], nn.Module] = Linear,
    ) -> None:
        super().__init__()
        whole = image_shape(shape)
        sizes = halved(whole, len(channels))
        self.start = (channels[-1], *sizes[-1])
        self.first = first(width, math.prod(self.start))
        layers: list[nn.Module] = []
        widths = (*channels[::-1], whole[0])
        for n_in, n_out, size in zip(widths, widths[1:], sizes[-2::-1], strict=False):
            layers += [ACTIVATIONS[activation](), UpConv(n_in, n_out, size)]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> DenseScores:
        hidden = self.first(z).reshape(-1, *self.start)
        images: Tensor = self.layers(hidden)
        return DenseScores(images.flatten(1))
