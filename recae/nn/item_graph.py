"""Smoothing on the graph of items, and a denoiser of smoothed histories (GiffCF)."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recae.nn.batch import Batch, Coded, Ragged, bag
from recae.nn.diffusion import ItemScores, sinusoids, to_dense
from recae.nn.layers import Linear
from recae.nn.network import Dropout
from recae.nn.products import product, row_chunks, times

CELLS = 1 << 22
"""Numbers of a dense matrix of some rows that are computed together."""

WAVES, MIXED = 20, 2
"""Widths of the embedding of a step, and of the hidden layer of a mixer; those of the authors."""


class ItemGraph(nn.Module):
    """Smooths rows on the graph of items: x A, with A of the norm 1.

    With B = D_u^-1/4 R D_i^-1/2 of the training histories R, whose users have the lengths D_u and
    whose items the counts D_i, A = (B'B / s_1^2 + w V V') / (1 + w). s_1 is the largest singular
    value of B and V, (n_items, cutoff), are its leading right singular vectors. B'B is not formed.
    """

    def __init__(self, n_items: int, ideal_weight: float, ideal_cutoff: int) -> None:
        super().__init__()
        self.ideal_weight, self.cutoff = ideal_weight, ideal_cutoff if ideal_weight else 0
        self.largest: Tensor
        self.low: Tensor
        self.register_buffer("largest", torch.ones(()))
        self.register_buffer("low", torch.zeros(n_items, self.cutoff))
        self.links: tuple[Ragged, Ragged] | None = None  # B by users, and by items

    def link(self, scaled: Any) -> None:
        """Keeps B and B' of B, CSR float32."""
        self.links = Ragged.from_csr(scaled), Ragged.from_csr(scaled.T.tocsr())

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """Moves B along with the buffers."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self.links is not None:
            users, items = self.links
            self.links = users.to(self.low.device), items.to(self.low.device)
        return self

    def forward(self, x: Tensor) -> Tensor:
        smooth: Tensor = _Smoothed.apply(x, self)  # type: ignore[no-untyped-call]
        return smooth

    @torch.no_grad()
    def smooth(self, x: Tensor) -> Tensor:
        """x A for dense rows, (rows, n_items), some of them at a time."""
        if self.links is None or not len(x):  # a network without data
            return x.clone()
        users, items = (link.with_values(link.values.to(x)) for link in self.links)
        out = torch.empty_like(x)
        for rows in row_chunks(len(x), max(len(users), len(items)), CELLS):
            reached = bag(x[rows].t().contiguous(), users)  # (users, rows)
            out[rows] = bag(reached, items).t()
        out /= self.largest.square()
        if self.ideal_weight:
            out += self.ideal_weight * product(product(x, self.low), self.low.t())
            out /= 1 + self.ideal_weight
        return out


class _Smoothed(torch.autograd.Function):
    """x A; the slope in x is smoothed alike, because A is symmetric."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, graph: ItemGraph) -> Tensor:
        ctx.graph = graph
        return graph.smooth(x)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        return ctx.graph.smooth(upstream.contiguous()), None


class GraphSteps(nn.Module):
    """Draws a step of 1 to `steps` for each training row, and drops a share of its history.

    The dropped history is the condition of the denoiser. Its other input is the full history,
    smoothed up to the step: x_t = x + strength t / steps (x A - x). Without training the step is
    the last one and the condition is the history.
    """

    def __init__(self, steps: int, strength: float, dropout: float) -> None:
        super().__init__()
        self.steps, self.strength = steps, strength
        self.drop = Dropout(dropout)
        self.drawn: Tensor | None = None  # (rows, 1)
        self.condition: Ragged | Tensor | None = None

    def forward(self, batch: Batch, generator: torch.Generator | None) -> Batch:
        self.drawn = self.condition = None
        if not self.training:
            return batch
        device = (batch.input if isinstance(batch.input, Tensor) else batch.input.values).device
        size = len(batch), 1
        drawn = torch.randint(1, self.steps + 1, size, generator=generator, device=device)
        dropped: Batch = self.drop(batch, generator)
        self.drawn, self.condition = drawn.float(), dropped.input
        return dropped

    def step(self, rows: Tensor) -> Tensor:
        """The steps of this batch, (rows, 1)."""
        if self.drawn is not None:
            return self.drawn
        return rows.new_full((len(rows), 1), float(self.steps))

    def smoothed(self, x: Tensor, xa: Tensor, step: Tensor | float) -> Tensor:
        """x + strength t / steps (x A - x)."""
        return x + self.strength * step / self.steps * (xa - x)


class ItemRows(nn.Module):
    """c -> c E / max(|c|_1, 1), with one row of E for each item."""

    def __init__(self, n_items: int, latent: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_items, latent))

    def initialise(self, generator: torch.Generator) -> None:
        """Draws the rows in place (Glorot & Bengio 2010)."""
        nn.init.xavier_uniform_(self.weight, generator=generator)

    def forward(self, x: Ragged | Tensor) -> Tensor:
        if isinstance(x, Tensor):
            return times(x, self.weight) / x.abs().sum(1, keepdim=True).clamp_min(1)
        return bag(self.weight, x) / x.row_sums(x.values.abs()).clamp_min(1)[:, None]


class Mixer(nn.Module):
    """Mixes several numbers of a cell into one by a network of one small hidden layer."""

    def __init__(self, n_in: int) -> None:
        super().__init__()
        self.hidden, self.out = Linear(n_in, MIXED), Linear(MIXED, 1)

    def forward(self, *parts: Tensor) -> Tensor:
        mixed = self.out.bias[0]
        for unit in range(MIXED):
            total = self.hidden.bias[unit]
            for weight, part in zip(self.hidden.weight[unit], parts, strict=True):
                total = total + weight * part
            mixed = mixed + self.out.weight[0, unit] * F.silu(total)
        return mixed


class StepNumber(nn.Module):
    """A number for each step, (rows, 1), from its sinusoids."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.out = Linear(WAVES, WAVES), Linear(WAVES, 1)

    def forward(self, step: Tensor) -> Tensor:
        waves = sinusoids(step[:, 0], WAVES).to(self.out.weight)
        number: Tensor = self.out(F.silu(self.hidden(waves)))
        return number


class SmoothedCode(nn.Module):
    """The first half of the denoiser: z = mix(x_t E / n_items, c E / |c|, number of the step)."""

    def __init__(self, steps: GraphSteps, graph: ItemGraph, items: ItemRows) -> None:
        super().__init__()
        self.shared = [steps, items]  # in a list: the weights are of other slots and saved once
        self.graph = graph
        self.step, self.mix = StepNumber(), Mixer(3)

    def forward(self, hidden: Tensor, batch: Batch, generator: torch.Generator | None) -> Coded:
        steps: Any = self.shared[0]
        x = to_dense(batch.input)
        step = steps.step(hidden)
        return self.at(steps.smoothed(x, self.graph(x), step), hidden, step), {}

    def at(self, x_t: Tensor, hidden: Tensor, step: Tensor) -> Tensor:
        """z of smoothed rows x_t, (rows, n_items), and the rows of the condition, at a step."""
        items: Any = self.shared[1]
        z: Tensor = self.mix(times(x_t, items.weight) / len(items.weight), hidden, self.step(step))
        return z


class SharpeningDecoder(nn.Module):
    """The second half of the denoiser, f(z) = mix(z E', c, c A, number of the step).

    In evaluation all steps t follow one another down to 0, from x_T of the history c. With
    y = f(z(x_t)) and S_t y = y + strength t / steps (y A - y):
    x_(t-1) = S_(t-1) y + decay (x_t - S_t y), and the scores are x_0.
    """

    def __init__(self, code: SmoothedCode, decay: float) -> None:
        super().__init__()
        self.shared = [code]  # in a list: its weights are saved once
        self.decay = decay
        self.step, self.mix = StepNumber(), Mixer(4)

    def forward(self, z: Tensor, batch: Batch) -> ItemScores:
        """The score of one noisy step in training; else those after all steps backwards, for a
        chunk of rows at a time."""
        code: Any = self.shared[0]
        steps = code.shared[0]
        if self.training:
            condition = batch.input if steps.condition is None else steps.condition
            c = to_dense(condition)
            return ItemScores(self.at(z, c, code.graph(c), steps.step(z)))
        c = to_dense(batch.input)
        parts = [
            self._sharpened(z[rows], c[rows]) for rows in row_chunks(len(z), c.shape[1], CELLS)
        ]
        return ItemScores(torch.cat(parts) if parts else c)

    def at(self, z: Tensor, c: Tensor, ca: Tensor, step: Tensor) -> Tensor:
        """f(z), (rows, n_items), under the condition c and its smoothed form c A."""
        items: Any = self.shared[0].shared[1]
        found: Tensor = self.mix(times(z, items.weight.t()), c, ca, self.step(step))
        return found

    def _sharpened(self, z: Tensor, c: Tensor) -> Tensor:
        """The steps backwards: each smooths the present estimate one step less than the one
        before."""
        code: Any = self.shared[0]
        steps, items = code.shared
        ca = code.graph(c)
        hidden = items(c)
        x_t = steps.smoothed(c, ca, float(steps.steps))
        for number in range(steps.steps, 0, -1):
            step = z.new_full((len(z), 1), float(number))
            if number < steps.steps:
                z = code.at(x_t, hidden, step)
            y = self.at(z, c, ca, step)
            ya = code.graph(y)
            below = steps.smoothed(y, ya, number - 1.0)
            x_t = below + self.decay * (x_t - steps.smoothed(y, ya, float(number)))
        sharp: Tensor = x_t
        return sharp
