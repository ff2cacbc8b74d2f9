"""Sparse codes that state a number of units: who stays, the gradients, and the counts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from recae.nn import (
    Batch,
    BatchTopUnits,
    JumpReLUCode,
    PositiveTopUnits,
    SignedTopUnits,
    TopUnits,
    UsageCounter,
    revive,
    transposed_start,
)

NOTHING: Any = Batch(torch.zeros(0), torch.zeros(0))


def read(code: Any, hidden: Tensor) -> Tensor:
    z: Tensor = code(hidden, NOTHING, None)[0]
    return z


def rows(seed: int = 0, shape: tuple[int, int] = (50, 12)) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("training", [True, False])
def test_top_units_by_a_sort_of_each_row(training: bool) -> None:
    hidden = rows().round(decimals=1)  # with equals
    signed = SignedTopUnits(12, 4).train(training)
    positive = PositiveTopUnits(12, 4).train(training)
    for row, one, other in zip(
        hidden.numpy(), read(signed, hidden).numpy(), read(positive, hidden).numpy(), strict=True
    ):
        for by, found in ((np.abs(row), one), (np.maximum(row, 0), other)):
            first = sorted(range(12), key=lambda unit: (-by[unit], unit))[:4]
            expected = np.zeros(12, dtype=np.float32)
            expected[first] = row[first]
            if found is other:
                expected = np.maximum(expected, 0)
            assert np.array_equal(found, expected)


def test_the_lowest_of_equals_stays() -> None:
    assert read(SignedTopUnits(4, 2), torch.ones(1, 4)).tolist() == [[1, 1, 0, 0]]
    assert read(SignedTopUnits(4, 2), torch.tensor([[-1.0, 1, -1, 1]])).tolist() == [[-1, 1, 0, 0]]
    assert read(BatchTopUnits(2, 1), torch.ones(2, 2)).tolist() == [[1, 1], [0, 0]]


@pytest.mark.parametrize("code", [TopUnits(3), SignedTopUnits(5, 3), PositiveTopUnits(5, 3)])
def test_a_row_that_is_no_number_stays_none(code: Any) -> None:
    hidden = torch.tensor([[1.0, 2, 3, 4, 5], [5, 4, torch.nan, 2, 1], [torch.nan] * 5])
    assert read(code, hidden).isnan().any(1).tolist() == [False, True, True]


def test_batch_top_units_share_their_places() -> None:
    code = BatchTopUnits(3, 1)
    hidden = torch.tensor([[5.0, 4, 3], [-1, 0.5, -2]])
    assert read(code, hidden).tolist() == [[5, 4, 0], [0, 0, 0]]
    assert float(code.threshold) == 4  # the first batch sets it
    read(code, hidden / 2)
    assert float(code.threshold) == pytest.approx(0.9 * 4 + 0.1 * 2)
    read(code, -hidden.abs())  # nobody stays: nothing is learnt
    assert float(code.threshold) == pytest.approx(3.8)
    assert read(code.eval(), hidden).tolist() == [[5, 4, 0], [0, 0, 0]]


def test_the_threshold_keeps_the_number_on_rows_not_seen() -> None:
    code = BatchTopUnits(40, 5)
    for seed in range(100):
        read(code, rows(seed, (64, 40)))
    active = (read(code.eval(), rows(1000, (5000, 40))) != 0).sum(1).float().mean()
    assert float(active) == pytest.approx(5, rel=0.05)


def test_units_jump_at_their_thresholds() -> None:
    code = JumpReLUCode(2, 1).eval()
    code.initialise(torch.Generator())
    code.level.fill_(math.log(2.0))
    with torch.no_grad():
        code.drift.copy_(torch.tensor([0.0, math.log(2) / code.speed]))
    assert code.thresholds().tolist() == pytest.approx([2, 4])
    assert read(code, torch.tensor([[1.9, 3.9], [2.1, 4.1]])).tolist() == [
        [0, 0],
        pytest.approx([2.1, 4.1]),
    ]


def test_the_first_batch_sets_the_common_threshold() -> None:
    code = JumpReLUCode(12, 3)
    code.initialise(torch.Generator())
    hidden = rows()
    z, terms = code(hidden, NOTHING, None)
    largest = np.sort(hidden.numpy().ravel())[::-1]
    assert code.thresholds().tolist() == pytest.approx([largest[3 * 50 - 1]] * 12)
    assert abs(int((z != 0).sum()) - 150) <= 1
    assert terms["sparsity"][0].item() < 1e-3
    before = code.level.clone()
    code(hidden * 9, NOTHING, None)
    assert torch.equal(code.level, before)
    nothing = JumpReLUCode(12, 3)
    nothing.initialise(torch.Generator())
    assert read(nothing, -torch.ones(2, 12)).tolist() == torch.zeros(2, 12).tolist()


def test_the_gradient_of_a_jump_is_the_formula_of_the_paper() -> None:
    """Rajamanoharan et al. 2024, equations 11 and 12, with a rectangle of width w = 0.5 t."""
    code = JumpReLUCode(4, 2).double()
    code.initialise(torch.Generator())
    code.placed = True
    code.level.fill_(0.0)
    with torch.no_grad():
        code.drift.copy_(torch.tensor([0.0, 0.02, -0.03, 0.01]))
    hidden = 1 + 0.4 * rows(1, (30, 4)).double()
    hidden.requires_grad_()
    upstream = rows(2, (30, 4)).double()
    z, terms = code(hidden, NOTHING, None)
    (z * upstream).sum().backward()
    t = np.exp(10 * code.drift.detach().numpy())
    h, up = hidden.detach().numpy(), upstream.numpy()
    near = np.abs(h - t) < 0.25 * t
    assert near.sum() > 10
    by_threshold = -(t / (0.5 * t) * near * up).sum(0)  # of z
    assert np.allclose(code.drift.grad, by_threshold * t * 10)  # dt / d drift = 10 t
    assert np.array_equal(hidden.grad, up * (h > t))

    code.drift.grad, hidden.grad = None, None
    _, terms = code(hidden, NOTHING, None)
    terms["sparsity"].mean().backward()
    count = (h > t).sum(1).mean()
    assert terms["sparsity"][0].item() == pytest.approx((count / 2 - 1) ** 2)
    steps = -(near / (0.5 * t)).sum(0) / 30
    assert np.allclose(code.drift.grad, 2 * (count / 2 - 1) / 2 * steps * t * 10)
    assert hidden.grad is None or not hidden.grad.any()


@pytest.mark.parametrize("make", [SignedTopUnits, PositiveTopUnits, BatchTopUnits])
def test_gradients_flow_through_the_units_that_stay(make: Any) -> None:
    code = make(6, 2)
    hidden = rows(3, (8, 6)).double().requires_grad_()
    weights = rows(4, (8, 6)).double()
    assert torch.autograd.gradcheck(lambda h: (read(code, h) * weights).sum(), (hidden,))
    z = read(code, hidden)
    (gradient,) = torch.autograd.grad((z * weights).sum(), hidden)
    assert torch.equal(gradient, torch.where(z != 0, weights, 0.0))


def test_the_rows_of_training_are_counted() -> None:
    code = PositiveTopUnits(3, 1)
    read(code, torch.tensor([[1.0, 2, 0], [0, 1, 0], [-1, -1, -1]]))
    read(code.eval(), torch.tensor([[9.0, 0, 0]]))
    assert code.used.tolist() == [0, 2, 0]
    assert "used" in code.state_dict()


def revival(code: UsageCounter, features: Tensor, residuals: Tensor) -> Any:
    weight, bias, atoms = rows(5, (4, 16)), torch.ones(16), rows(6, (4, 16))
    given = [weight.clone(), bias.clone(), atoms.clone()]
    chosen = torch.Generator().manual_seed(0)
    dead = revive(code, weight, bias, atoms, features, residuals, chosen)
    return dead, (weight, bias, atoms), given


def test_dead_units_are_pointed_at_the_residuals() -> None:
    code = PositiveTopUnits(16, 1)
    code.used[2:] = 1
    residuals = torch.zeros(10, 4)
    residuals[7] = torch.tensor([0.0, 3, 4, 0])  # the only error there is
    dead, (weight, bias, atoms), given = revival(code, rows(7, (10, 4)), residuals)
    assert sorted(dead.tolist()) == [0, 1]
    length = 0.5 * given[0][:, 2:].norm(dim=0).mean()
    for unit in (0, 1):
        assert atoms[:, unit].tolist() == pytest.approx([0, 0.6, 0.8, 0])
        assert weight[:, unit].tolist() == pytest.approx((length * atoms[:, unit]).tolist())
        assert bias[unit] == 0
    for now, before in zip((weight, bias, atoms), given, strict=True):
        assert torch.equal(now[..., 2:], before[..., 2:])
    assert code.used.tolist() == [0] * 16


def test_an_eighth_at_a_time_and_nobody_where_there_is_no_need() -> None:
    code = PositiveTopUnits(16, 1)
    dead, _, _ = revival(code, rows(7, (10, 4)), rows(8, (10, 4)))
    assert len(set(dead.tolist())) == 2
    code.used.fill_(1)
    assert len(revival(code, rows(7, (10, 4)), rows(8, (10, 4)))[0]) == 0
    assert len(revival(code, rows(7, (10, 4)), torch.zeros(10, 4))[0]) == 0


def test_behind_hidden_layers_the_features_are_pointed_at() -> None:
    code = PositiveTopUnits(16, 1)
    code.used[1:] = 1
    features = torch.zeros(10, 4)
    features[:, 2] = 7.0
    dead, (weight, _, atoms), given = revival(code, features, rows(8, (10, 9)))
    assert dead.tolist() == [0]
    length = 0.5 * given[0][:, 1:].norm(dim=0).mean()
    assert weight[:, 0].tolist() == pytest.approx([0, 0, float(length), 0])
    assert torch.equal(atoms, given[2])


def test_the_encoder_begins_as_the_transpose() -> None:
    weight, atoms = torch.nn.Parameter(torch.empty(4, 16)), torch.nn.Parameter(rows(6, (4, 16)))
    transposed_start(weight, atoms)
    assert torch.allclose(weight, atoms / atoms.norm(dim=0))
