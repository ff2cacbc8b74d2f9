"""Convolutions against their definition, for images of any size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from recae.nn import ConvDecoder, ConvEncoder, UnitLinear
from recae.nn.conv import KERNEL, Conv, UpConv, halved, image_shape

SIZES = [(1, 1), (1, 6), (2, 2), (3, 5), (4, 4), (7, 8), (28, 28)]


def drawn(module: torch.nn.Module) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(0)
    for part in module.modules():
        if hasattr(part, "initialise"):
            part.initialise(generator)
    return module.double()


def images(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("size", SIZES)
def test_a_convolution_is_sums_over_windows(size: tuple[int, int]) -> None:
    conv = drawn(Conv(2, 3))
    with torch.no_grad():
        conv.bias.copy_(images(3))
    x = images(2, 2, *size)
    found = conv(x).detach().numpy()
    assert found.shape == (2, 3, -(-size[0] // 2), -(-size[1] // 2))
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (1, 3), (1, 3)))
    for i in range(found.shape[2]):
        for j in range(found.shape[3]):
            window = padded[:, :, 2 * i : 2 * i + KERNEL, 2 * j : 2 * j + KERNEL]
            expected = np.einsum("nchw,ochw->no", window, conv.weight.detach().numpy())
            assert np.allclose(found[:, :, i, j], expected + conv.bias.detach().numpy())


@pytest.mark.parametrize("size", SIZES)
def test_the_way_up_is_the_transpose_of_the_way_down(size: tuple[int, int]) -> None:
    """<conv(x), y> = <x, up(y)> with one kernel and no bias."""
    down, up = drawn(Conv(2, 3)), UpConv(3, 2, size).double()
    with torch.no_grad():
        up.weight.copy_(down.weight)
        up.bias.zero_()
    x = images(1, 2, *size)
    y = torch.randn_like(down(x))
    assert torch.allclose((down(x) * y).sum(), (x * up(y)).sum())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("colours", [None, 1, 3])
def test_shapes_are_given_back(size: tuple[int, int], depth: int, colours: int | None) -> None:
    shape = size if colours is None else (colours, *size)
    channels = (4, 3, 5)[:depth]
    encoder = drawn(ConvEncoder(shape, channels))
    decoder = drawn(ConvDecoder(shape, channels, 6, "tanh"))
    x = images(2, *shape)
    assert encoder(x).shape == (2, encoder.n_out)
    assert torch.equal(encoder(x), encoder(x.flatten(1)))
    assert decoder(images(2, 6)).dense().shape == (2, int(np.prod(shape)))
    assert image_shape(shape) == (colours or 1, *size)


def test_sizes_are_halved_and_rounded_up() -> None:
    assert halved((3, 7, 28), 3) == [(7, 28), (4, 14), (2, 7), (1, 4)]


def test_gradients_are_those_of_finite_differences() -> None:
    encoder = drawn(ConvEncoder((1, 3, 5), (2, 2), "tanh"))
    decoder = drawn(ConvDecoder((1, 3, 5), (2, 2), 3, "tanh", UnitLinear))
    x, z = images(2, 15).requires_grad_(), images(2, 3).requires_grad_()
    assert torch.autograd.gradcheck(encoder, (x,))
    assert torch.autograd.gradcheck(lambda code: decoder(code).dense(), (z,))
    for module, given in ((encoder, x), (decoder, z)):
        out = module(given)
        total = (out if isinstance(out, Tensor) else out.dense()).square().sum()
        names = dict(module.named_parameters())
        gradients = torch.autograd.grad(total, list(names.values()))
        assert all(g.abs().sum() > 0 for g in gradients), names


def test_weights_are_drawn_from_the_generator_and_keep_the_variance() -> None:
    conv = drawn(Conv(8, 64))
    fan_in = 8 * KERNEL**2
    assert conv.weight.var().item() == pytest.approx(2 / fan_in, rel=0.05)
    assert torch.equal(conv.weight, drawn(Conv(8, 64)).weight)
    up = drawn(UpConv(64, 8, (4, 4)))
    assert up.weight.var().item() == pytest.approx(2 / (64 * KERNEL**2 / 4), rel=0.05)
