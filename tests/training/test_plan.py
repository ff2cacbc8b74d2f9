"""Phases and optimisers: who learns when, and by which rule."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recae.models import MultVAE
from recae.training import OPTIMISERS, Phase, Plan
from recae.training.optimisers import BlockNAdam, NormalisedAdam
from recae.training.plan import make_optimiser

CPU = torch.device("cpu")


def plan(*phases: Phase, optimiser: str = "adam", l2: float = 0.0) -> Plan:
    return Plan(9, 0.1, l2, "m", 9, optimiser, phases or (Phase(),))


def test_phases_take_turns() -> None:
    turns = plan(Phase(3, ("encoder",)), Phase(1, ("decoder",)))
    found = [turns.phase(epoch) for epoch in range(1, 10)]
    three, one = [(0, True), (0, False), (0, False)], [(1, True)]
    assert found == three + one + three + one + three[:1]


def test_a_phase_has_the_parameters_of_its_slots() -> None:
    net = MultVAE(latent=2, hidden=(3,))._network(5, 1)
    names = {id(p): name for name, p in net.named_parameters()}
    found = [names[id(p)] for p in Phase(1, ("code",)).parameters(net)]
    assert found == [name for name in names.values() if name.startswith("code.")]
    assert len(Phase().parameters(net)) == len(names)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("adam", torch.optim.Adam), ("nadam", torch.optim.NAdam), ("adagrad", torch.optim.Adagrad)],
)
@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_optimisers_are_those_of_torch(name: str, kind: type, l2: float) -> None:
    net = MultVAE(latent=2, hidden=(3,))._network(5, 1)
    net.initialise(torch.Generator().manual_seed(0))
    start = [p.detach().clone().requires_grad_() for p in net.parameters()]
    loss = sum((p**3).sum() for p in net.parameters())
    ours = make_optimiser(net, plan(optimiser=name, l2=l2), Phase(), CPU)
    for _ in range(3):
        ours.zero_grad()
        loss = sum((p**3).sum() for p in net.parameters())
        loss.backward()
        ours.step()
    theirs = kind(start, lr=0.1)
    for _ in range(3):
        theirs.zero_grad()
        loss = sum((p**3).sum() for p in start)
        # The penalty written out, on matrices only.
        loss = loss + l2 * sum((p**2).sum() for p in start if p.dim() > 1)
        loss.backward()
        theirs.step()
    for found, expected in zip(net.parameters(), start, strict=True):
        torch.testing.assert_close(found.detach(), expected.detach(), rtol=1e-5, atol=1e-6)


def test_normalised_adam_sees_directions_only() -> None:
    # After one step Adam moves by lr * sign; with gradients of length one the second moment does
    # not know that the second gradient was a thousand times the first.
    gradients = [np.array([3.0, 4.0]), np.array([-8000.0, 6000.0])]
    weight = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
    optimiser = NormalisedAdam([weight], lr=0.1)
    m = v = position = np.zeros(2)
    for step, gradient in enumerate(gradients, start=1):
        weight.grad = torch.from_numpy(gradient.copy())
        optimiser.step()
        unit = gradient / np.linalg.norm(gradient)
        m, v = 0.9 * m + 0.1 * unit, 0.999 * v + 0.001 * unit**2
        position = position - 0.1 * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
        np.testing.assert_allclose(weight.detach().numpy(), position, rtol=1e-9)


def test_every_optimiser_moves_every_weight() -> None:
    for name in OPTIMISERS:
        net = MultVAE(latent=2, hidden=(3,))._network(5, 1)
        net.initialise(torch.Generator().manual_seed(0))
        before = [p.detach().clone() for p in net.parameters()]
        optimiser = make_optimiser(net, plan(optimiser=name), Phase(), CPU)
        sum((p + 1).square().sum() for p in net.parameters()).backward()
        optimiser.step()
        after = list(net.parameters())
        assert all((a != b).any() for a, b in zip(before, after, strict=True)), name


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("cells", [1, 7, 1 << 18])
def test_nadam_in_blocks_is_that_of_torch(cells: int, decay: float, monkeypatch) -> None:
    monkeypatch.setattr("recae.training.optimisers.ROW_CELLS", cells)
    noise = torch.Generator().manual_seed(0)
    shapes = [(5, 3), (4,), (), (0, 3), (2, 3, 2)]
    ours, theirs = ([torch.nn.Parameter(torch.ones(shape)) for shape in shapes] for _ in range(2))
    transposed = torch.nn.Parameter(torch.ones(3, 5)), torch.nn.Parameter(torch.ones(3, 5))
    optimisers = (
        BlockNAdam([*ours, transposed[0]], lr=0.1, weight_decay=decay),
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
    mine, others = (optimiser.state_dict()["state"] for optimiser in optimisers)
    for number, state in others.items():
        assert state.keys() == mine[number].keys()
        assert all(torch.equal(state[name], mine[number][name]) for name in state)
