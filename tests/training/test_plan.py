"""Phases and optimisers: who learns when, and by which rule."""

from __future__ import annotations

import pytest
import torch

from recae.models import MultVAE
from recae.training import OPTIMISERS, Phase, Plan
from recae.training.plan import make_optimiser


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
    ours = make_optimiser(net, plan(optimiser=name, l2=l2), Phase())
    for _ in range(3):
        for each in net.parameters():
            each.grad = None
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


def test_every_optimiser_moves_every_weight() -> None:
    for name in OPTIMISERS:
        net = MultVAE(latent=2, hidden=(3,))._network(5, 1)
        net.initialise(torch.Generator().manual_seed(0))
        before = [p.detach().clone() for p in net.parameters()]
        optimiser = make_optimiser(net, plan(optimiser=name), Phase())
        sum((p + 1).square().sum() for p in net.parameters()).backward()
        optimiser.step()
        after = list(net.parameters())
        assert all((a != b).any() for a, b in zip(before, after, strict=True)), name
