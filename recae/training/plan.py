"""The training plan of a network: epochs, optimiser, and which parameters train when."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from recae.nn import AutoencoderNet
from recae.training.optimisers import OPTIMISERS, Optimiser

SLOTS = ("corrupt", "encoder", "code", "decoder", "anchors")

FALL = 0.2
"""The factor of the learning rate at a milestone, as in the code of Vancura & Kordik (2021)."""


@dataclass(frozen=True)
class Phase:
    """Consecutive epochs in which only some slots of the network are trained.

    slots: those that are trained; corrupt: whether the input is corrupted; start: called with the
    network before the first epoch of the phase.
    """

    epochs: int = 1
    slots: tuple[str, ...] = SLOTS
    corrupt: bool = True
    start: Callable[[Any], None] | None = None

    def parameters(self, net: AutoencoderNet) -> list[nn.Parameter]:
        """The parameters that are trained, in the network's order."""
        found = [p for name, p in net.named_parameters() if name.split(".")[0] in self.slots]
        return [p for p in found if p.requires_grad]


BeforeEpoch = Callable[[Any, int], Sequence[nn.Parameter]]
"""(network, number of the epoch that begins, from 1) -> the parameters that it has overwritten."""


@dataclass(frozen=True)
class Plan:
    """The hyperparameters of a training.

    epochs: at most. lr: the learning rate. l2: the loss gains l2 * (sum of squared weights, biases
    not counted). metric: the validation metric to maximise. patience: epochs without a new best
    before stopping. optimiser: a name in OPTIMISERS. phases: taken in turn, over and over.
    lowest_is_best: of the metric. milestones: epochs after which the learning rate falls.
    falling: whether the learning rate falls linearly to zero behind the last of `epochs`.
    before_epoch: called before every epoch; the optimisers forget their moments of the parameters
    that it returns. start: called once before training, with the network as drawn,
    on the CPU.
    """

    epochs: int
    lr: float
    l2: float
    metric: str
    patience: int
    optimiser: str = "adam"
    phases: tuple[Phase, ...] = (Phase(),)
    lowest_is_best: bool = False
    milestones: tuple[int, ...] = ()
    before_epoch: BeforeEpoch | None = None
    start: Callable[[Any], None] | None = None
    falling: bool = False

    def rate(self, epoch: int) -> float:
        """The learning rate of an epoch (from 1): from its number alone, also when resumed."""
        left = 1 - (epoch - 1) / self.epochs if self.falling else 1.0
        return self.lr * left * FALL ** sum(milestone < epoch for milestone in self.milestones)

    def phase(self, epoch: int) -> tuple[int, bool]:
        """Which phase an epoch (from 1) belongs to, and whether it is the first of it."""
        place = (epoch - 1) % sum(phase.epochs for phase in self.phases)
        for index, phase in enumerate(self.phases):
            if place < phase.epochs:
                return index, place == 0
            place -= phase.epochs
        raise AssertionError("a phase has at least one epoch")


def make_optimiser(net: AutoencoderNet, plan: Plan, phase: Phase) -> Optimiser:
    """The optimiser of one phase; `l2` is weight decay added to the gradient, which is exact."""
    parameters = phase.parameters(net)
    tables = [p for p in parameters if p.dim() > 1]
    others = [p for p in parameters if p.dim() <= 1]
    return OPTIMISERS[plan.optimiser]([(tables, 2 * plan.l2), (others, 0.0)], plan.lr)
