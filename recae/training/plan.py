"""The training plan of a network: epochs, optimiser, and which parameters train when."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from recae.nn import AutoencoderNet, shard_of
from recae.nn.products import row_chunks

ROW_CELLS = 1 << 18
"""Numbers updated at a time, so that they and their moments stay in the cache."""


class RowAdam(torch.optim.Adam):
    """Adam (Kingma & Ba 2015) that updates only the rows that a sparse gradient holds.

    Rows without a gradient in a step keep their values and moments, as in torch's SparseAdam. Dense
    gradients are handled by Adam. Time and extra memory of a step grow with the rows updated.
    """

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Updates the rows, then takes a step of Adam for everything dense."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.grad.is_sparse:
                    self._rows(parameter, group)
                    parameter.grad = None
        return super().step(closure)

    def _rows(self, parameter: Tensor, group: dict[str, Any]) -> None:
        """One step of Adam for the rows that have a gradient; the moments of the others stay."""
        assert parameter.grad is not None
        rows, values = _coalesced(parameter.grad)
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        state["step"] += 1
        first, second = group["betas"]
        steps = float(state["step"]) if parameter.device.type == "cpu" else state["step"]
        size = group["lr"] / (1 - first**steps)
        spread = (1 - second**steps) ** 0.5
        moments, squares = state["exp_avg"], state["exp_avg_sq"]
        if not len(rows):  # no item of the batch is in the shard of this process
            return
        for some in row_chunks(len(rows), parameter[0].numel(), ROW_CELLS):
            at, slope = rows[some], values[some]
            if group["weight_decay"]:
                slope = slope.add(parameter.index_select(0, at), alpha=group["weight_decay"])
            mean = moments.index_select(0, at).lerp_(slope, 1 - first)
            square = squares.index_select(0, at).mul_(second)
            square.addcmul_(slope, slope, value=1 - second)
            moments.index_copy_(0, at, mean)
            squares.index_copy_(0, at, square)
            scale = square.sqrt_().div_(spread).add_(group["eps"])
            change = mean.div_(scale).mul_(-size)
            parameter.index_copy_(0, at, parameter.index_select(0, at).add_(change))


def _coalesced(grad: Tensor) -> tuple[Tensor, Tensor]:
    """Unique rows and their values. Rows in ascending order are unique already, though autograd
    does not mark them so; coalescing them again would take a fifth of the step."""
    rows, values = grad._indices()[0], grad._values()
    if bool((rows[1:] > rows[:-1]).all()):
        return rows, values
    grad = grad.coalesce()
    return grad.indices()[0], grad.values()


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


class NormalisedAdam(torch.optim.Adam):
    """Adam that sees only the direction of each tensor's gradient, as in Kim & Suh (2019)."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Divides every gradient by its Euclidean norm, then takes a step of Adam."""
        for parameter in (p for group in self.param_groups for p in group["params"]):
            grad, shard = parameter.grad, shard_of(parameter)
            if grad is None:
                continue
            norm = grad.norm()
            if shard is not None:  # a part of the tensor
                norm = shard.ranks.summed(norm.square()).sqrt()
            grad.div_(norm.clamp_min(1e-12))
        return super().step(closure)


def _maker(kind: Any, *fused: str) -> Callable[[Iterable[Any], float, str], Any]:
    """Makes optimisers of a class whose steps are fused on these types of device."""
    return lambda groups, lr, device: kind(
        groups, lr=lr, **({"fused": device in fused} if fused else {})
    )


OPTIMISERS = {
    "adam": _maker(RowAdam, "cpu", "cuda"),
    "nadam": _maker(torch.optim.NAdam),
    "adagrad": _maker(torch.optim.Adagrad, "cpu"),
    "normalised-adam": _maker(NormalisedAdam, "cpu", "cuda"),
}
"""Adam (Kingma & Ba 2015), NAdam (Dozat 2016), AdaGrad (Duchi et al. 2011), and Adam on gradients
of length one for every tensor (Kim & Suh 2019)."""


def make_optimiser(net: AutoencoderNet, plan: Plan, phase: Phase, device: torch.device) -> Any:
    """The optimiser of one phase; `l2` is weight decay added to the gradient, which is exact."""
    parameters = phase.parameters(net)
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": 2 * plan.l2},
        {"params": [p for p in parameters if p.dim() <= 1]},
    ]
    kept = [group for group in groups if group["params"]]
    return OPTIMISERS[plan.optimiser](kept, plan.lr, device.type)
