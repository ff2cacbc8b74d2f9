"""Adam for tables of which a step of training meets a few rows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recae.nn.chunks import row_chunks

ROW_CELLS = 1 << 18
"""Numbers updated together: with their moments they stay in a cache."""


class RowAdam(torch.optim.Adam):
    """Adam (Kingma & Ba 2015) that updates only the rows of which a sparse gradient has any.

    What has no gradient in a step keeps its value, its moments and its decay: moments fade by the
    steps in which a row is met, as in torch's SparseAdam. Dense gradients are handled by Adam.
    Time and extra memory of a step grow with the rows that are met.
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
    """Rows, each once, and their values. Autograd forgets that rows were in order; adding them up
    again would take as long as a fifth of the step."""
    rows, values = grad._indices()[0], grad._values()
    if bool((rows[1:] > rows[:-1]).all()):
        return rows, values
    grad = grad.coalesce()
    return grad.indices()[0], grad.values()
