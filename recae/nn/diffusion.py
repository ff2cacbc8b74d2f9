"""What diffusion and flow models share: noise schedules, embeddings of steps, draws of steps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from recae.nn.batch import Ragged, counted, sent
from recae.nn.dense import DenseScores
from recae.nn.layers import Linear
from recae.nn.products import times
from recae.nn.variational import normal_like

KEPT = 10
"""Losses remembered for each step, from which the next steps are drawn."""

UNIFORM = 0.001
"""Share of the draws that is spread over all steps."""

LONGEST = 10_000.0
"""Wavelength of the slowest sinusoid of a step, over 2 pi."""


@dataclass(frozen=True)
class GaussianSchedule:
    """A forward process q(x_t | x_0) = N(sqrt(a_t) x_0, (1 - a_t) I) with t = 0 .. steps - 1.

    kept: a_t, (steps,) float64.
    """

    kept: np.ndarray

    @classmethod
    def linear(
        cls, steps: int, scale: float, low: float, high: float, first: float | None = None
    ) -> GaussianSchedule:
        """The schedule whose 1 - a_t rises linearly from scale * low to scale * high ("linear-var"
        of Wang et al. 2023).

        first: 1 - a_0 in place of scale * low; the ratios a_t / a_(t-1) stay as they were.
        """
        kept = 1 - scale * np.linspace(low, high, steps)
        return cls(kept if first is None else kept * ((1 - first) / kept[0]))

    @property
    def before(self) -> np.ndarray:
        """a_(t-1), (steps,), with 1 before the first step."""
        return np.concatenate([[1.0], self.kept[:-1]])

    @property
    def of_start(self) -> np.ndarray:
        """The factor of x_0 in the mean of q(x_(t-1) | x_t, x_0), (steps,) (Ho et al. 2020, 7).

        sqrt(a_(t-1)) b_t / (1 - a_t) with b_t = 1 - a_t / a_(t-1).
        """
        noise = 1 - self.kept / self.before
        factors: np.ndarray = np.sqrt(self.before) * noise / (1 - self.kept)
        return factors

    @property
    def of_step(self) -> np.ndarray:
        """The factor of x_t there, sqrt(a_t / a_(t-1)) (1 - a_(t-1)) / (1 - a_t), (steps,)."""
        share = np.sqrt(self.kept / self.before)
        factors: np.ndarray = share * (1 - self.before) / (1 - self.kept)
        return factors

    @property
    def weights(self) -> np.ndarray:
        """The weights of the losses of the steps, (steps,): SNR_(t-1) - SNR_t, and 1 at first.

        SNR_t = a_t / (1 - a_t). Half of it times |x_0 - f(x_t, t)|^2 is the divergence of the true
        and the modelled x_(t-1) (Wang et al. 2023, equation 11).
        """
        ratios = self.kept / (1 - self.kept)
        return np.concatenate([[1.0], ratios[:-1] - ratios[1:]])

    def noised(self, x: Tensor, steps: Tensor, generator: torch.Generator | None) -> Tensor:
        """x_t drawn for dense rows x_0, (rows, n), at the step of each row, (rows,)."""
        mean, spread = np.sqrt(self.kept), np.sqrt(1 - self.kept)
        noise = normal_like(x, generator)
        return at(mean, steps)[:, None] * x + at(spread, steps)[:, None] * noise


def at(values: np.ndarray, steps: Tensor) -> Tensor:
    """The numbers of some steps, (rows,) float32, from those of all."""
    return sent(torch.as_tensor(values, dtype=torch.float32), steps.device)[steps]


def sinusoids(step: Tensor, width: int) -> Tensor:
    """cos and sin of step * 10000^(-i / half) for i below half = width // 2: (rows, width).

    step: (rows,), which need not be whole. An odd width ends with zeros (Vaswani et al. 2017).
    """
    half = width // 2
    places = torch.arange(half, device=step.device, dtype=torch.float32)
    angles = step.float()[:, None] * torch.exp(-math.log(LONGEST) * places / max(half, 1))
    waves = torch.cat([angles.cos(), angles.sin()], 1)
    return nn.functional.pad(waves, (0, width % 2))


class StepShift(nn.Module):
    """What a step adds to a hidden layer that reads a row and the embedding of the step.

    W (V e + c) with e the sinusoids of the step: (rows, n_out).
    """

    def __init__(self, width: int, n_out: int) -> None:
        super().__init__()
        self.hidden = Linear(width, width)
        self.weight = nn.Parameter(torch.empty(n_out, width))

    def initialise(self, generator: torch.Generator) -> None:
        """Draws the weights in place (Glorot & Bengio 2010)."""
        nn.init.xavier_normal_(self.weight, generator=generator)

    def forward(self, step: Tensor) -> Tensor:
        waves = sinusoids(step, self.hidden.weight.shape[1]).to(self.weight)
        hidden: Tensor = self.hidden(waves)
        return times(hidden, self.weight.t())


class StepDraws(nn.Module):
    """Draws the steps of training rows in proportion to the size of their last losses.

    p_t is 1 - UNIFORM of sqrt(mean of L_t^2) over the last `KEPT` losses of step t, normalised, and
    UNIFORM spread over all steps; uniform until every step has so many losses (Nichol & Dhariwal
    2021; Wang et al. 2023). Losses are divided by p_t x steps, which leaves their mean as it was.
    Only training needs it.
    """

    losses: Tensor
    counts: Tensor

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.register_buffer("losses", torch.zeros(steps, KEPT))
        self.register_buffer("counts", torch.zeros(steps, dtype=torch.int64))

    def initialise(self, generator: torch.Generator) -> None:
        """Forgets all losses; nothing is drawn."""
        self.losses.zero_()
        self.counts.zero_()

    def chances(self) -> Tensor:
        """p_t, (steps,)."""
        sizes = self.losses.square().mean(1).sqrt()
        shares = (1 - UNIFORM) * sizes / sizes.sum() + UNIFORM / len(sizes)
        known = (self.counts >= KEPT).all() & (sizes.sum() > 0)
        return torch.where(known, shares, torch.full_like(shares, 1 / len(shares)))

    def draw(self, rows: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Steps, (rows,) int64, and the factors of their losses, 1 / (p_t x steps), (rows,)."""
        chances = self.chances()
        ends = chances.cumsum(0)
        drawn = torch.rand(rows, generator=generator, device=ends.device)
        steps = torch.searchsorted(ends, drawn).clamp_max(len(ends) - 1)
        return steps, 1 / (chances[steps] * len(ends))

    @torch.no_grad()
    def record(self, steps: Tensor, losses: Tensor) -> None:
        """Remembers the losses of some rows, (rows,), in their order."""
        order = torch.argsort(steps, stable=True)
        steps, losses = steps[order], losses.detach()[order]
        met = counted(steps, len(self.counts))
        end = met.cumsum(0)
        # The last losses of a step end its row: those of before, and then the new ones.
        both = torch.arange(KEPT, device=steps.device) + met[:, None]  # place among all of them
        old = self.losses.gather(1, both.clamp_max(KEPT - 1))
        place = (end - met)[:, None] + both - KEPT
        new = losses[place.clamp(0, len(losses) - 1)]
        self.losses.copy_(torch.where(both < KEPT, old, new))
        self.counts += met


@dataclass(frozen=True)
class ItemScores(DenseScores):
    """Dense scores of all items, whose squared loss takes a ragged target; output: (rows, n)."""

    def losses(self, kind: str, target: Ragged | Tensor) -> Tensor:
        """The named loss of each row, (rows,)."""
        if kind == "squared" and isinstance(target, Ragged):
            return squared_errors(self.output, target)
        return super().losses(kind, target)


def squared_errors(output: Tensor, target: Ragged) -> Tensor:
    """sum_i (f_i - x_i)^2 of each row, (rows,): output (rows, n_items), a ragged target."""
    seen = output[target.rows, target.indices]
    cells = target.values.square() - 2 * seen * target.values
    return output.square().sum(1) + target.row_sums(cells)


def to_dense(x: Ragged | Tensor) -> Tensor:
    """The rows of a batch as (rows, n_columns). Of a cell that comes twice, the sum counts."""
    if isinstance(x, Tensor):
        return x
    empty = x.values.new_zeros(len(x), x.n_columns)
    return empty.index_put((x.rows, x.indices), x.values, accumulate=True)
