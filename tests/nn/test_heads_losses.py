"""The losses against their formulas written out, and their gradients against differences."""

import pytest
import scipy.sparse as sp
import torch

from recae.nn import Ragged
from recae.nn import heads as losses


def problem(
    weighted: bool,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, Ragged, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    matrix = sp.random(7, 11, 0.3, format="csr", random_state=0)
    matrix.data = matrix.data + 0.5 if weighted else matrix.data**0
    target = Ragged.from_csr(matrix)
    target = target.with_values(target.values.double())
    hidden = torch.randn(7, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(11, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(11, generator=generator, dtype=torch.float64, requires_grad=True)
    dense = torch.zeros(7, 11, dtype=torch.float64)
    dense[target.rows, target.indices] = target.values
    return hidden, weight, bias, target, dense


def multinomial(f: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return -torch.log_softmax(f, 1) * x


def logistic(f: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return -torch.where(x > 0, x * torch.log(torch.sigmoid(f)), torch.log(1 - torch.sigmoid(f)))


def squared(f: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return (f - x) ** 2


def observed_squared(f: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return (f - x) ** 2 * (x > 0)


def observed_logistic(f: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return -x * torch.log(torch.sigmoid(f))


FORMULAS = [
    (losses.observed_logistic_loss, observed_logistic),
    (losses.multinomial_loss, multinomial),
    (losses.logistic_loss, logistic),
    (losses.squared_loss, squared),
    (losses.observed_squared_loss, observed_squared),
]


@pytest.mark.parametrize(("given", "formula"), FORMULAS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("cells", [1, 30, 1 << 20])
def test_the_loss_is_the_formula_however_it_is_chunked(
    given, formula, weighted: bool, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden, weight, bias, target, dense = problem(weighted)
    written_out = formula(hidden @ weight.T + bias, dense).sum(1).mean()
    expected = torch.autograd.grad(written_out, (hidden, weight, bias))
    monkeypatch.setattr(losses, "CHUNK_CELLS", cells)
    monkeypatch.setattr(losses, "TILE_CELLS", cells)
    loss = given(hidden, weight, bias, target)
    torch.testing.assert_close(loss, written_out)
    for got, wanted in zip(
        torch.autograd.grad(3 * loss, (hidden, weight, bias)), expected, strict=True
    ):
        torch.testing.assert_close(got, 3 * wanted)


@pytest.mark.parametrize("given", [given for given, _ in FORMULAS])
def test_gradients_agree_with_finite_differences(given) -> None:
    hidden, weight, bias, target, _ = problem(weighted=True)
    assert torch.autograd.gradcheck(lambda h, w, b: given(h, w, b, target), (hidden, weight, bias))


@pytest.mark.parametrize("given", [given for given, _ in FORMULAS])
def test_what_needs_no_gradient_gets_none(given) -> None:
    hidden, weight, bias, target, _ = problem(weighted=True)
    (whole,) = torch.autograd.grad(given(hidden, weight, bias, target), hidden)
    (alone,) = torch.autograd.grad(
        given(hidden, weight.detach(), bias.detach(), target), hidden, allow_unused=False
    )
    torch.testing.assert_close(alone, whole)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (losses.multinomial_loss, 100.0),  # log(e^1000 + e^900) - 900
        (losses.logistic_loss, 1000.0),  # log(1 + e^1000) + log(1 + e^-900)
    ],
)
def test_large_logits_do_not_overflow(given, expected: float) -> None:
    target = Ragged.from_csr(sp.csr_matrix([[0.0, 1.0]]))
    hidden = torch.tensor([[1000.0]])
    loss = given(hidden, torch.tensor([[1.0], [0.9]]), torch.zeros(2), target)
    assert loss.item() == pytest.approx(expected)


def test_zeros_of_a_target_are_what_a_row_does_not_have() -> None:
    target = Ragged(torch.tensor([0, 2]), torch.tensor([0, 2]), torch.tensor([1.0, 0.0]), 3)
    bias = torch.tensor([0.3, 9.0, -0.7])
    loss = losses.observed_logistic_loss(torch.zeros(1, 2), torch.zeros(3, 2), bias, target)
    expected = -torch.log(torch.sigmoid(bias[0])) - torch.log(1 - torch.sigmoid(bias[2]))
    torch.testing.assert_close(loss, expected)
    loss = losses.observed_squared_loss(torch.zeros(1, 2), torch.zeros(3, 2), bias, target)
    torch.testing.assert_close(loss, (bias[0] - 1) ** 2 + bias[2] ** 2)


@pytest.mark.parametrize(("rows", "columns", "cells"), [(10, 3, 9), (1, 100, 5), (7, 2, 14)])
def test_chunks_cover_every_row_once_and_keep_to_the_limit(
    rows: int, columns: int, cells: int
) -> None:
    chunks = losses.row_chunks(rows, columns, cells)
    assert [r for chunk in chunks for r in range(chunk.start, chunk.stop)] == list(range(rows))
    assert all((c.stop - c.start) * columns <= max(cells, columns) for c in chunks)
