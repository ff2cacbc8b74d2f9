"""Optimisers: the kernels of torch, and updates of some rows of a table at a time.

The classes of `torch.optim` are not used here: the first of them that is made imports torch's
compiler, which takes more than a second and 70 MB, and which nothing here needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim.adagrad import adagrad
from torch.optim.adam import adam
from torch.optim.nadam import nadam

from recae.nn import shard_of
from recae.nn.later import Rows, later_of
from recae.nn.products import cells_of, row_chunks

ROW_CELLS = 1 << 18
"""Numbers updated at a time, so that they and their moments stay in the cache."""

State = dict[str, Tensor]
"""What an optimiser keeps of a parameter: named as torch names it, so that checkpoints stay
readable."""

Piece = tuple[Tensor, Tensor, State]
"""A parameter or some of its rows, its gradient, and its state."""


class Optimiser:
    """Updates parameters by their gradients, and keeps what it needs of each.

    groups: parameters with their weight decay, a penalty of weight_decay / 2 x |parameter|^2.
    lr: the learning rate, which may be set between steps.
    """

    takes_rows = True  # whether it can update some rows of a table at a time
    in_blocks = False  # whether a CPU does so with every table

    def __init__(self, groups: Iterable[tuple[Sequence[Parameter], float]], lr: float) -> None:
        self.groups, self.lr = [(list(each), decay) for each, decay in groups], lr
        self.state: dict[Parameter, State] = {}

    @property
    def parameters(self) -> list[Parameter]:
        """All parameters, in the order of `moments`."""
        return [parameter for parameters, _ in self.groups for parameter in parameters]

    def moments(self) -> dict[int, State]:
        """The state of each parameter that has been updated, by its place."""
        known = enumerate(self.parameters)
        return {place: self.state[each] for place, each in known if each in self.state}

    def put(self, moments: dict[int, State]) -> None:
        """Sets the state to copies of `moments`, on the device of each parameter."""
        self.state, parameters = {}, self.parameters
        with torch.no_grad():
            for place, kept in moments.items():
                for name, tensor in self._state(parameters[place]).items():
                    tensor.copy_(kept[name])

    @torch.no_grad()
    def step(self) -> None:
        """One update of every parameter that has a gradient."""
        # First the gradients that are not formed yet: an update may change what they are made of.
        for parameters, decay in self.groups:
            for parameter in parameters:
                if (later := later_of(parameter)) is not None and later.parts:
                    self._blocks(parameter, _also(later.rows, parameter.grad), decay)
        for parameters, decay in self.groups:
            whole: list[Piece] = []
            for parameter in parameters:
                later, grad = later_of(parameter), parameter.grad
                if later is not None and later.parts:
                    continue
                if grad is not None and grad.is_sparse:
                    self._rows(parameter, grad, decay)
                elif grad is not None and self._cuts(grad):
                    self._blocks(parameter, grad.__getitem__, decay)
                elif grad is not None:
                    whole.append((parameter, grad, self._state(parameter)))
            if whole:
                self._update(whole, decay)

    def _cuts(self, grad: Tensor) -> bool:
        return self.in_blocks and grad.dim() > 1 and grad.device.type == "cpu"

    def _state(self, parameter: Parameter) -> State:
        if parameter not in self.state:
            self.state[parameter] = self._begin(parameter)
        return self.state[parameter]

    def _blocks(self, parameter: Parameter, slope: Rows, decay: float) -> None:
        """An update some rows at a time, whose gradients are formed or read only then."""
        state, n = self._state(parameter), len(parameter)
        after = state
        for some in row_chunks(n, parameter.numel() // max(n, 1), ROW_CELLS):
            # Every block begins at the same number of steps.
            after = {name: t[some] if t.dim() else t.clone() for name, t in state.items()}
            self._update([(parameter[some], slope(some), after)], decay)
        for name, tensor in state.items():
            if not tensor.dim():
                tensor.copy_(after[name])

    def _begin(self, parameter: Parameter) -> State:
        """The state of a parameter before its first update."""
        raise NotImplementedError

    def _update(self, pieces: Sequence[Piece], decay: float) -> None:
        """One update of tensors by dense gradients, with their state, in place."""
        raise NotImplementedError

    def _rows(self, parameter: Parameter, grad: Tensor, decay: float) -> None:
        """One update of the rows of a sparse gradient."""
        raise NotImplementedError(f"{type(self).__name__} has no update by a sparse gradient")


def _also(rows: Rows, grad: Tensor | None) -> Rows:
    """The sum of a gradient that is formed later and one that is there, of other uses."""
    return rows if grad is None else lambda some: rows(some).add_(grad[some])


def _zeros(parameter: Parameter, *names: str) -> State:
    return {name: torch.zeros_like(parameter) for name in names}


def _lists(pieces: Sequence[Piece], *names: str) -> list[Any]:
    """Weights, gradients and the named state of all pieces, as torch's functions take them."""
    weights, grads, states = (list(each) for each in zip(*pieces, strict=True))
    return [weights, grads, *([state[name] for state in states] for name in names)]


class Adam(Optimiser):
    """Adam (Kingma & Ba 2015), which updates only the rows that a sparse gradient holds.

    Rows without a gradient in a step keep their values and moments, as in torch's SparseAdam. Time
    and extra memory of such a step grow with the rows updated.
    """

    betas, eps = (0.9, 0.999), 1e-8

    def __init__(self, groups: Iterable[tuple[Sequence[Parameter], float]], lr: float) -> None:
        super().__init__(groups, lr)
        self._rising: dict[Tensor, bool] = {}  # whether the rows of a gradient are in order

    def _begin(self, parameter: Parameter) -> State:
        step = torch.zeros((), dtype=torch.float32, device=parameter.device)
        return {"step": step, **_zeros(parameter, "exp_avg", "exp_avg_sq")}

    def _update(self, pieces: Sequence[Piece], decay: float) -> None:
        """The kernel of torch that passes over all numbers once."""
        weights, grads, means, squares, steps = _lists(pieces, "exp_avg", "exp_avg_sq", "step")
        adam(
            weights,
            grads,
            means,
            squares,
            [],
            steps,
            fused=True,
            amsgrad=False,
            beta1=self.betas[0],
            beta2=self.betas[1],
            lr=self.lr,
            weight_decay=decay,
            eps=self.eps,
            maximize=False,
        )

    def _rows(self, parameter: Parameter, grad: Tensor, decay: float) -> None:
        """One step of Adam for the rows that have a gradient; the moments of the others stay."""
        rows, values = self._coalesced(parameter, grad)
        state, (first, second) = self._state(parameter), self.betas
        state["step"] += 1
        steps = float(state["step"]) if parameter.device.type == "cpu" else state["step"]
        size = self.lr / (1 - first**steps)
        spread = (1 - second**steps) ** 0.5
        moments, squares = state["exp_avg"], state["exp_avg_sq"]
        if not len(rows):  # no item of the batch is in the shard of this process
            return
        cells = cells_of(parameter.device, ROW_CELLS)
        for some in row_chunks(len(rows), parameter[0].numel(), cells):
            at, slope = rows[some], values[some]
            if decay:
                slope = slope.add(parameter.index_select(0, at), alpha=decay)
            mean = moments.index_select(0, at).lerp_(slope, 1 - first)
            square = squares.index_select(0, at).mul_(second)
            square.addcmul_(slope, slope, value=1 - second)
            moments.index_copy_(0, at, mean)
            squares.index_copy_(0, at, square)
            scale = square.sqrt_().div_(spread).add_(self.eps)
            change = mean.div_(scale).mul_(-size)
            parameter.index_copy_(0, at, parameter.index_select(0, at).add_(change))

    def _coalesced(self, parameter: Parameter, grad: Tensor) -> tuple[Tensor, Tensor]:
        """Unique rows and their values. Rows in ascending order are unique already, though autograd
        does not mark them so; coalescing them again would take a fifth of the step.

        A GPU is asked for the order once, because the network decides it. Later rows out of order
        become NaN, which the trainer finds at the end of the epoch. The gradients of several parts
        of a batch, which have rows in common, come coalesced from `Accumulation`.
        """
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


class NormalisedAdam(Adam):
    """Adam that sees only the direction of each tensor's gradient, as in Kim & Suh (2019)."""

    takes_rows = False

    @torch.no_grad()
    def step(self) -> None:
        """Divides every gradient by its Euclidean norm, then takes a step of Adam."""
        for parameter in self.parameters:
            grad, shard = parameter.grad, shard_of(parameter)
            if grad is None:
                continue
            norm = grad.norm()
            if shard is not None:  # a part of the tensor
                norm = shard.ranks.summed(norm.square()).sqrt()
            grad.div_(norm.clamp_min(1e-12))
        super().step()


class NAdam(Optimiser):
    """NAdam (Dozat 2016). torch passes over all numbers of a parameter eight times, so a CPU
    updates some rows at a time, with the same result."""

    in_blocks = True
    betas, eps, momentum_decay = (0.9, 0.999), 1e-8, 4e-3

    def _begin(self, parameter: Parameter) -> State:
        # The host reads these two numbers in every step.
        scalars = {"step": torch.tensor(0.0), "mu_product": torch.tensor(1.0)}
        return scalars | _zeros(parameter, "exp_avg", "exp_avg_sq")

    def _update(self, pieces: Sequence[Piece], decay: float) -> None:
        """On a GPU by torch's update of all tensors together, on a CPU one after the other."""
        if pieces[0][0].device.type == "cpu":
            for piece in pieces:
                self._on_cpu(*piece, decay)
            return
        names = ("exp_avg", "exp_avg_sq", "mu_product", "step")
        weights, grads, means, squares, products, steps = _lists(pieces, *names)
        nadam(
            weights,
            grads,
            means,
            squares,
            products,
            steps,
            beta1=self.betas[0],
            beta2=self.betas[1],
            lr=self.lr,
            weight_decay=decay,
            momentum_decay=self.momentum_decay,
            eps=self.eps,
        )

    def _on_cpu(self, weight: Tensor, slope: Tensor, state: State, decay: float) -> None:
        """One update in the order of torch, to the same bits."""
        first, second = self.betas
        state["step"] += 1
        step = float(state["step"])
        now, after = (
            first * (1 - 0.5 * 0.96 ** (t * self.momentum_decay)) for t in (step, step + 1)
        )
        state["mu_product"] *= now
        product = float(state["mu_product"])
        of_slope = -self.lr * (1 - now) / (1 - product)
        of_mean = -self.lr * after / (1 - product * after)
        spread = 1 - second**step
        least = torch.finfo(weight.dtype).tiny  # roots of smaller numbers take four times as long
        mean, square = state["exp_avg"], state["exp_avg_sq"]
        if decay:
            slope = slope.add(weight, alpha=decay)
        mean.lerp_(slope, 1 - first)
        square.mul_(second).addcmul_(slope, slope, value=1 - second)
        scale = square.div(spread).clamp_min_(least).sqrt_().add_(self.eps)
        weight.addcdiv_(slope, scale, value=of_slope).addcdiv_(mean, scale, value=of_mean)


class AdaGrad(Optimiser):
    """AdaGrad (Duchi et al. 2011)."""

    eps = 1e-10

    def _begin(self, parameter: Parameter) -> State:
        return {"step": torch.tensor(0.0), **_zeros(parameter, "sum")}

    def _update(self, pieces: Sequence[Piece], decay: float) -> None:
        """The kernel of torch that passes over all numbers once, where it has one."""
        weights, grads, sums, steps = _lists(pieces, "sum", "step")
        adagrad(
            weights,
            grads,
            sums,
            steps,
            fused=pieces[0][0].device.type == "cpu" or None,
            lr=self.lr,
            weight_decay=decay,
            lr_decay=0.0,
            eps=self.eps,
            maximize=False,
        )


OPTIMISERS: dict[str, type[Optimiser]] = {
    "adam": Adam,
    "nadam": NAdam,
    "adagrad": AdaGrad,
    "normalised-adam": NormalisedAdam,
}
"""Adam (Kingma & Ba 2015), NAdam (Dozat 2016), AdaGrad (Duchi et al. 2011), and Adam on gradients
of length one for every tensor (Kim & Suh 2019)."""
