"""Optimisers: those of torch, and forms of them that update what is in the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from recae.nn import shard_of
from recae.nn.products import cells_of, row_chunks

ROW_CELLS = 1 << 18
"""Numbers updated at a time, so that they and their moments stay in the cache."""


class RowAdam(torch.optim.Adam):
    """Adam (Kingma & Ba 2015) that updates only the rows that a sparse gradient holds.

    Rows without a gradient in a step keep their values and moments, as in torch's SparseAdam. Dense
    gradients are handled by Adam. Time and extra memory of a step grow with the rows updated.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._rising: dict[Tensor, bool] = {}  # whether the rows of a gradient are in order

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._rising = {}

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
        rows, values = self._coalesced(parameter)
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
        cells = cells_of(parameter.device, ROW_CELLS)
        for some in row_chunks(len(rows), parameter[0].numel(), cells):
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

    def _coalesced(self, parameter: Tensor) -> tuple[Tensor, Tensor]:
        """Unique rows and their values. Rows in ascending order are unique already, though autograd
        does not mark them so; coalescing them again would take a fifth of the step.

        A GPU is asked for the order once, because the network decides it. Later rows out of order
        become NaN, which the trainer finds at the end of the epoch. The gradients of several parts
        of a batch, which have rows in common, come coalesced from `Accumulation`.
        """
        grad = parameter.grad
        assert grad is not None
        rows, values = grad._indices()[0], grad._values()
        if grad.is_coalesced():
            return rows, values
        rising, on_cpu = (rows[1:] > rows[:-1]).all(), parameter.device.type == "cpu"
        known = self._rising.get(parameter)
        if on_cpu or (known is None and len(rows) > 1):
            known = self._rising[parameter] = bool(rising)
        if known is False:
            grad = grad.coalesce()
            return grad.indices()[0], grad.values()
        return rows, values if on_cpu else torch.where(rising, values, torch.nan)


class BlockNAdam(torch.optim.NAdam):
    """NAdam (Dozat 2016) that updates `ROW_CELLS` numbers at a time, for a CPU.

    The result is that of torch, which passes over all numbers of a parameter eight times and needs
    as much memory again.
    """

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step for every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)

    def _update(self, parameter: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        """One step for one parameter, some rows at a time; the state is named as that of torch."""
        state = self.state[parameter]
        if not state:
            state["step"], state["mu_product"] = torch.tensor(0.0), torch.tensor(1.0)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        moments, (first, second) = (state["exp_avg"], state["exp_avg_sq"]), group["betas"]
        state["step"] += 1
        step = float(state["step"])
        now, after = (
            first * (1 - 0.5 * 0.96 ** (t * group["momentum_decay"])) for t in (step, step + 1)
        )
        state["mu_product"] *= now
        decay = float(state["mu_product"])
        of_slope = -group["lr"] * (1 - now) / (1 - decay)
        of_mean = -group["lr"] * after / (1 - decay * after)
        spread = 1 - second**step
        whole = [each if each.dim() else each[None] for each in (parameter, grad, *moments)]
        rows = len(whole[0])
        least = torch.finfo(
            parameter.dtype
        ).tiny  # roots of smaller numbers take four times as long
        for some in row_chunks(rows, parameter.numel() // max(rows, 1), ROW_CELLS):
            weight, slope, mean, square = (each[some] for each in whole)
            if group["weight_decay"]:
                slope = slope.add(weight, alpha=group["weight_decay"])
            mean.lerp_(slope, 1 - first)
            square.mul_(second).addcmul_(slope, slope, value=1 - second)
            scale = square.div(spread).clamp_min_(least).sqrt_().add_(group["eps"])
            weight.addcdiv_(slope, scale, value=of_slope).addcdiv_(mean, scale, value=of_mean)


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
    "nadam": lambda groups, lr, device: (BlockNAdam if device == "cpu" else torch.optim.NAdam)(
        groups, lr=lr
    ),
    "adagrad": _maker(torch.optim.Adagrad, "cpu"),
    "normalised-adam": _maker(NormalisedAdam, "cpu", "cuda"),
}
"""Adam (Kingma & Ba 2015), NAdam (Dozat 2016), AdaGrad (Duchi et al. 2011), and Adam on gradients
of length one for every tensor (Kim & Suh 2019)."""
