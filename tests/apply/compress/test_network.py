"""The network of a codec, and how its rate is steered."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from recae.apply.compress.learning import (
    BoundedDecoder,
    LinearPlusMLP,
    RateControl,
    principal_axes,
    weight_of,
    whole_bytes,
)
from recae.nn import Batch, Quantised

NOTHING = Batch(torch.zeros(1), torch.zeros(1))


@pytest.mark.parametrize("n", [7, 40])
def test_principal_axes_are_those_of_the_singular_value_decomposition(n: int) -> None:
    rows = np.random.default_rng(0).normal(size=(n, 12)) * np.linspace(3, 0.2, 12)
    rows -= rows.mean(0)
    expected = np.linalg.svd(rows, full_matrices=False)[2][:4]
    found = principal_axes(torch.from_numpy(rows).float(), 4).numpy()
    np.testing.assert_allclose(np.abs((found * expected).sum(1)), 1, atol=1e-4)
    np.testing.assert_allclose((found**2).sum(1), 1, atol=1e-4)


def test_pixels_are_cut_off_at_black_and_white_and_keep_a_gradient_in_training() -> None:
    layers = LinearPlusMLP(3, (), 3)
    with torch.no_grad():
        layers.straight.weight.copy_(torch.eye(3))
        layers.straight.bias.zero_()
        layers.bent[-1].weight.zero_()  # type: ignore[union-attr, operator]
        layers.bent[-1].bias.zero_()  # type: ignore[union-attr, operator]
    mean = torch.tensor([0.5, 0.5, 0.5])
    decoder = BoundedDecoder(layers, mean)
    z = torch.tensor([[-2.0, 0.1, 2.0]], requires_grad=True)
    torch.testing.assert_close(decoder.eval().rows(z), torch.tensor([[0.0, 0.6, 1.0]]))
    dense = decoder(z, NOTHING).dense()
    torch.testing.assert_close(dense, torch.tensor([[-0.5, 0.1, 0.5]]))
    decoder.train().rows(z).sum().backward()
    assert z.grad is not None
    torch.testing.assert_close(z.grad, torch.tensor([[0.01, 1.0, 0.01]]))


def test_the_weight_rises_while_codes_take_too_many_bits() -> None:
    code = Quantised(1)
    control = RateControl(code, 100.0, 0.5, updates=10)
    assert control(NOTHING, 0) == 0.5  # nothing was spent yet
    code.spent = torch.tensor(110.0)
    assert float(control(NOTHING, 1)) == pytest.approx(0.5 * math.exp(0.003 * 0.1))
    code.spent = torch.tensor(20.0)
    assert float(control(NOTHING, 2)) == pytest.approx(0.5 * math.exp(0.003 * (0.1 - 0.5)))
    before = control.weight
    assert control(NOTHING, 10) == before  # after the last update it rests


def test_the_step_of_a_weight_balances_errors_and_bits() -> None:
    # Errors d^2 / 12 a number, log2(width / d) bits: the derivative of errors + weight * bits by d
    # is d / 6 - weight / (d ln 2).
    for step in (0.02, 0.4):
        assert step / 6 == pytest.approx(weight_of(step) / (step * math.log(2)))


def test_the_bytes_of_bits_are_those_of_intervals_thrown_at_random() -> None:
    rng = np.random.default_rng(0)
    for bits in (3.0, 8.0, 12.5):
        lower = rng.random(40_000) - 2**-bits  # 0 is as likely inside as any other number
        needed = np.full(len(lower), 9)
        for n in range(8, -1, -1):
            first = np.ceil(lower * 256.0**n) / 256.0**n
            needed[first < lower + 2**-bits] = n
        assert whole_bytes(np.array([bits]))[0] == pytest.approx(needed.mean(), abs=0.02)
