"""Sparse codes and their penalties, written out in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from recae.nn import Batch, KLSparseCode, L1Code, LinearHead, Ragged, TopUnits, UnitHead

HIDDEN = torch.randn(7, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
RAGGED = Ragged.from_csr(sp.csr_matrix((7, 4)))


def read(code: nn.Module, hidden: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    found: tuple[Tensor, dict[str, Tensor]] = code(hidden, Batch(RAGGED, RAGGED), None)
    return found


@pytest.mark.parametrize("active", [1, 4, 9, 12])
def test_the_largest_units_stay(active: int) -> None:
    z, terms = read(TopUnits(active), HIDDEN)
    expected = np.zeros((7, 9))
    for row, units in enumerate(HIDDEN.numpy()):
        for unit in sorted(range(9), key=lambda unit: -units[unit])[:active]:
            expected[row, unit] = units[unit]
    np.testing.assert_array_equal(z, expected)
    assert terms == {} and ((z != 0).sum(1) == min(active, 9)).all()


def test_among_equals_the_lowest_unit_stays() -> None:
    hidden = torch.tensor([[1.0, 2, 2, 2, 0], [-1, -1, -1, -1, -1], [3, 0, 3, 0, 3]])
    z, _ = read(TopUnits(2), hidden)
    assert z.tolist() == [[0, 2, 2, 0, 0], [-1, -1, 0, 0, 0], [3, 0, 3, 0, 0]]
    many = torch.ones(3, 5000)  # where an unstable sort shows
    assert (read(TopUnits(50), many)[0].nonzero()[:, 1] < 50).all()


def test_the_penalty_of_short_units_is_the_sum_of_their_absolutes() -> None:
    z, terms = read(L1Code(), HIDDEN)
    np.testing.assert_array_equal(z, np.maximum(HIDDEN.numpy(), 0))
    np.testing.assert_allclose(terms["sparsity"], np.abs(z.numpy()).sum(1))
    assert read(L1Code().eval(), HIDDEN)[1] == {}


@pytest.mark.parametrize("rate", [0.02, 0.3])
def test_the_penalty_of_seldom_units_is_the_divergence_of_their_means(rate: float) -> None:
    z, terms = read(KLSparseCode(rate), HIDDEN)
    odds = np.exp(HIDDEN.numpy()) * rate / (1 - rate)
    np.testing.assert_allclose(z, odds / (1 + odds))
    p = z.numpy().mean(0)
    kl = rate * np.log(rate / p) + (1 - rate) * np.log((1 - rate) / (1 - p))
    np.testing.assert_allclose(terms["sparsity"], [kl.sum()] * 7)
    assert read(KLSparseCode(rate).eval(), HIDDEN)[1] == {}


def test_units_that_hear_nothing_are_at_the_rate_and_cost_nothing() -> None:
    z, terms = read(KLSparseCode(0.05), torch.zeros(7, 9))
    torch.testing.assert_close(z, torch.full((7, 9), 0.05))
    torch.testing.assert_close(terms["sparsity"], torch.zeros(7), atol=1e-5, rtol=0)


@pytest.mark.parametrize("level", [-500.0, 500.0])
def test_units_that_are_never_or_always_on_still_get_a_gradient(level: float) -> None:
    hidden = torch.full((7, 9), level, requires_grad=True)
    penalty = read(KLSparseCode(0.05), hidden)[1]["sparsity"].mean()
    penalty.backward()
    # log p = level + const below, log(1 - p) = -level + const above: the slope is the weight of it.
    slope = -0.05 if level < 0 else 0.95
    assert penalty.isfinite() and hidden.grad is not None
    torch.testing.assert_close(hidden.grad, torch.full((7, 9), slope / 7))


@pytest.mark.parametrize("code", [TopUnits(4), L1Code(), KLSparseCode(0.1)])
def test_gradients_agree_with_finite_differences(code: nn.Module) -> None:
    def outputs(hidden: Tensor) -> tuple[Tensor, ...]:
        z, terms = read(code, hidden)
        return (z, *terms.values())

    assert torch.autograd.gradcheck(outputs, (HIDDEN.clone().requires_grad_(),))


def test_every_unit_speaks_to_all_items_with_one_length() -> None:
    head, plain = UnitHead(3, 4, length=2.5).double(), LinearHead(3, 4).double()
    head.initialise(torch.Generator().manual_seed(0))
    weight = head.weight.detach().numpy()
    expected = 2.5 * weight / np.sqrt((weight**2).sum(0))
    np.testing.assert_allclose(head.atoms().detach(), expected)
    hidden = HIDDEN[:, :3]
    np.testing.assert_allclose(head(hidden).dense().detach(), hidden.numpy() @ expected.T)
    # A longer weight says the same.
    plain.load_state_dict(head.state_dict())
    before = head(hidden).dense()
    with torch.no_grad():
        head.weight *= 3
    torch.testing.assert_close(head(hidden).dense(), before)

    def scores(weight: Tensor) -> Tensor:
        del head.weight
        head.weight = weight
        return head(hidden).dense()

    assert torch.autograd.gradcheck(scores, (plain.weight.detach().clone().requires_grad_(),))
