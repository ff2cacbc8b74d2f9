"""Our optimisers against those of torch: whole, for some rows, and for directions alone."""

import numpy as np
import pytest
import torch

from recae.training.optimisers import Adam, NAdam, NormalisedAdam

ITEMS, WIDTH, STEPS = 9, 4, 12


def tables() -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.nn.Parameter(torch.randn(shape, generator=generator))
        for shape in ((ITEMS, WIDTH), (ITEMS,))
    ]


def gradients(seed: int, shape: tuple[int, ...]) -> torch.Tensor:
    """Some rows in any order, some of them twice."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(ITEMS, (5,), generator=generator)
    values = torch.randn((5, *shape[1:]), generator=generator)
    return torch.sparse_coo_tensor(rows[None], values, shape, check_invariants=False)


def test_rows_are_updated_as_by_sparse_adam() -> None:
    ours, theirs = tables(), tables()
    optimisers = [Adam([(ours, 0.0)], lr=0.1), torch.optim.SparseAdam(theirs, lr=0.1)]
    for step in range(STEPS):
        for table in (*ours, *theirs):
            table.grad = gradients(step, tuple(table.shape))
        for optimiser in optimisers:
            optimiser.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("cells", [1, 8, 1 << 20])
def test_it_matters_not_how_many_rows_are_updated_together(cells: int, monkeypatch) -> None:
    results = []
    for at_once in (cells, 1 << 18):
        monkeypatch.setattr("recae.training.optimisers.ROW_CELLS", at_once)
        mine = tables()
        optimiser = Adam([(mine, 0.3)], lr=0.1)
        for step in range(3):
            for table in mine:
                table.grad = gradients(step, tuple(table.shape))
            optimiser.step()
        results.append(mine)
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, atol=0, rtol=0)


@pytest.mark.parametrize("decay", [0.0, 0.2])
def test_sparse_gradients_with_every_row_are_plain_adam(decay: float) -> None:
    ours, theirs = tables(), tables()
    optimisers = [
        Adam([(ours, decay)], lr=0.1),
        torch.optim.Adam(theirs, lr=0.1, weight_decay=decay),
    ]
    for step in range(STEPS):
        for mine, other in zip(ours, theirs, strict=True):
            other.grad = torch.randn(other.shape, generator=torch.Generator().manual_seed(step))
            mine.grad = other.grad.to_sparse(1)
        for optimiser in optimisers:
            optimiser.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_dense_gradients_are_plain_adam_to_the_bit() -> None:
    ours, theirs = tables(), tables()
    optimisers = [
        Adam([(ours, 0.0)], lr=0.1),
        torch.optim.Adam(theirs, lr=0.1, fused=True),
    ]
    for step in range(STEPS):
        for table in (*ours, *theirs):
            table.grad = torch.randn(table.shape, generator=torch.Generator().manual_seed(step))
        for optimiser in optimisers:
            optimiser.step()
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a, b)


def test_rows_without_a_gradient_stay_as_they_are() -> None:
    table = tables()[0]
    before = table.detach().clone()
    table.grad = torch.sparse_coo_tensor(
        [[2]], torch.ones(1, WIDTH), (ITEMS, WIDTH), check_invariants=False
    )
    Adam([([table], 0.5)], lr=0.1).step()
    moved = (table != before).any(1)
    assert moved.tolist() == [row == 2 for row in range(ITEMS)]


def test_its_moments_can_be_put_into_another() -> None:
    whole, halves = tables(), tables()
    optimiser = Adam([(whole, 0.0)], lr=0.1)
    first = Adam([(halves, 0.0)], lr=0.1)
    for step in range(6):
        for table in (*whole, *halves):
            table.grad = gradients(step, tuple(table.shape))
        optimiser.step()
        if step == 3:
            second = Adam([(halves, 0.0)], lr=0.1)
            second.put(first.moments())
            first = second
        first.step()
    for a, b in zip(whole, halves, strict=True):
        assert torch.equal(a, b)


def test_normalised_adam_sees_directions_only() -> None:
    # After one step Adam moves by lr * sign; with gradients of length one the second moment does
    # not know that the second gradient was a thousand times the first.
    gradients = [np.array([3.0, 4.0]), np.array([-8000.0, 6000.0])]
    weight = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
    optimiser = NormalisedAdam([([weight], 0.0)], lr=0.1)
    m = v = position = np.zeros(2)
    for step, gradient in enumerate(gradients, start=1):
        weight.grad = torch.from_numpy(gradient.copy())
        optimiser.step()
        unit = gradient / np.linalg.norm(gradient)
        m, v = 0.9 * m + 0.1 * unit, 0.999 * v + 0.001 * unit**2
        position = position - 0.1 * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
        np.testing.assert_allclose(weight.detach().numpy(), position, rtol=1e-9)


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("cells", [1, 7, 1 << 18])
def test_nadam_in_blocks_is_that_of_torch(cells: int, decay: float, monkeypatch) -> None:
    monkeypatch.setattr("recae.training.optimisers.ROW_CELLS", cells)
    noise = torch.Generator().manual_seed(0)
    shapes = [(5, 3), (4,), (), (0, 3), (2, 3, 2)]
    ours, theirs = ([torch.nn.Parameter(torch.ones(shape)) for shape in shapes] for _ in range(2))
    transposed = torch.nn.Parameter(torch.ones(3, 5)), torch.nn.Parameter(torch.ones(3, 5))
    optimisers = (
        NAdam([([*ours, transposed[0]], decay)], lr=0.1),
        torch.optim.NAdam([*theirs, transposed[1]], lr=0.1, weight_decay=decay),
    )
    for step in range(4):
        for mine, other in zip(ours, theirs, strict=True):
            mine.grad = torch.randn(mine.shape, generator=noise)
            other.grad = mine.grad.clone()
        for each in transposed:
            each.grad = ours[0].grad.t() if step != 2 else None  # once without a gradient
        for optimiser in optimisers:
            optimiser.step()
    for found, expected in zip([*ours, transposed[0]], [*theirs, transposed[1]], strict=True):
        assert torch.equal(found, expected)
    mine, others = optimisers[0].moments(), optimisers[1].state_dict()["state"]
    for number, state in others.items():
        assert state.keys() == mine[number].keys()
        assert all(torch.equal(state[name], mine[number][name]) for name in state)
