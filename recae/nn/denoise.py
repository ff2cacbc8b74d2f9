"""The networks of DiffRec and L-DiffRec: denoisers of histories and of codes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recae.nn.batch import Batch, Coded, Ragged, sent
from recae.nn.diffusion import GaussianSchedule, StepDraws, StepShift, at, squared_errors, to_dense
from recae.nn.heads import LinearHead, LinearScores, Scores
from recae.nn.layers import Derived, InputLinear, Linear, mlp
from recae.nn.network import Decoder, Dropout
from recae.nn.products import times
from recae.nn.variational import draw


@dataclass(frozen=True)
class StepScores(LinearScores):
    """Scores of rows at their steps, whose squared errors are weighted by step.

    steps: (rows,); factors: (rows,), of the draw of the steps.
    """

    steps: Tensor | None = None
    factors: Tensor | None = None
    code: NoisyRows | None = None

    def loss(self, kind: str, target: Ragged | Tensor) -> Tensor:
        """The mean over rows and items of the squared errors times the weights of the steps."""
        assert self.code is not None and self.steps is not None and self.factors is not None
        if kind != "squared" or isinstance(target, Tensor):
            return super().loss(kind, target)
        errors = squared_errors(self.dense(), target) / len(self.weight)
        return (self.code.weighted(errors, self.steps) * self.factors).mean()


class Noisy(nn.Module):
    """The base of a code that draws a step for each training row and remembers its losses."""

    def __init__(self, schedule: GaussianSchedule) -> None:
        super().__init__()
        self.schedule = schedule
        self.prior = StepDraws(len(schedule.kept))

    def weighted(self, losses: Tensor, steps: Tensor) -> Tensor:
        """Losses, (rows,), times the weights of their steps; remembered if they train."""
        losses = losses * at(self.schedule.weights, steps)
        if torch.is_grad_enabled():
            self.prior.record(steps, losses)
        return losses

    def backwards(self, shift: StepShift) -> Iterator[tuple[int, Tensor, float, float]]:
        """The steps from the last one on: number, shift (n_out,), and the factors p and q of f and
        x_t in x_(t-1)."""
        schedule, count = self.schedule, len(self.schedule.kept)
        shifts = shift(torch.arange(count, device=shift.weight.device))
        for step in reversed(range(count)):
            p, q = float(schedule.of_start[step]), float(schedule.of_step[step])
            yield step, shifts[step], p, q


class NoisyRows(Noisy, Derived):
    """a -> h(tanh(a + s_t)), where the first layer gives a of x_t, and s_t is that of the step.

    In evaluation all steps follow one another from x_(T-1), the history. Scores x' = h V' + c are
    linear, and so is the first layer a = x W + b. A step back, x_(t-1) = p_t x' + q_t x_t, is thus
    a_(t-1) = p_t (h V'W + c W) + q_t (a_t - b) + b, and no step but the last needs a row of scores.
    """

    def __init__(self, schedule: GaussianSchedule, widths: tuple[int, ...], waves: int) -> None:
        super().__init__(schedule)
        self.shift = StepShift(waves, widths[0])
        self.layers = mlp(widths)
        self.outside: list[Any] = []  # the first layer and the head; a list: they are saved once
        self.drawn: tuple[Tensor, Tensor] | None = None  # steps and factors of this batch

    def forward(self, hidden: Tensor, batch: Batch, generator: torch.Generator | None) -> Coded:
        """One step of the noise in training; else all steps backwards from the history itself."""
        if self.training and self.drawn is not None:
            return self.layers((hidden + self.shift(self.drawn[0])).tanh()), {}
        first, head = self.outside
        there = self.derived(first.weight, self.back, head.weight, head.bias)
        product, constant = there[:-1], there[-1]
        for step, shift, p, q in self.backwards(self.shift):
            z = self.layers((hidden + shift).tanh())
            if step:
                hidden = p * (times(z, product) + constant) + q * hidden + (1 - q) * first.bias
        return z, {}

    def back(self, weight: Tensor) -> Tensor:
        """V'W with c W below it, (width + 1, width of the first layer)."""
        head = self.outside[1]
        both = torch.cat([head.weight, head.bias[:, None]], 1)
        return times(both.t(), weight)


class NoisyInput(nn.Module):
    """Draws a step for each training row, its x_t, and drops a share of that."""

    def __init__(self, code: NoisyRows, dropout: float) -> None:
        super().__init__()
        self.shared = [code]  # in a list: its weights are saved once
        self.drop = Dropout(dropout)

    def forward(self, batch: Batch, generator: torch.Generator | None) -> Batch:
        code = self.shared[0]
        code.drawn = None
        if not self.training:
            return batch
        code.drawn = steps, _ = code.prior.draw(len(batch), generator)
        noisy = code.schedule.noised(to_dense(batch.input), steps, generator)
        dropped: Batch = self.drop(batch.with_input(noisy), generator)
        return dropped


class StepDecoder(Decoder):
    """Codes become scores, which in training know their steps."""

    def __init__(self, head: LinearHead, code: NoisyRows) -> None:
        super().__init__(mlp(()), head)
        self.shared = [code]

    def forward(self, z: Tensor, batch: Batch) -> Scores:
        head, code = self.head, self.shared[0]
        assert isinstance(head, LinearHead)
        if not self.training or code.drawn is None:
            return super().forward(z, batch)
        return StepScores(
            z, head.weight, head.bias, steps=code.drawn[0], factors=code.drawn[1], code=code
        )


class ClusterEncoder(nn.Module):
    """x -> tanh of the means and log variances of a code, each cluster of items with its own part.

    clusters: (n_items,) int64, the cluster of each item. A cluster gets units in proportion to its
    items, at least one.
    """

    def __init__(self, clusters: np.ndarray, latent: int) -> None:
        super().__init__()
        sizes = np.bincount(clusters)
        self.units = units(sizes, latent)
        places = np.empty(len(clusters), dtype=np.int64)
        for number, size in enumerate(sizes):
            places[clusters == number] = np.arange(size)
        self.clusters, self.places = clusters, places
        self.parts = nn.ModuleList(
            InputLinear(int(size), 2 * width) for size, width in zip(sizes, self.units, strict=True)
        )

    def forward(self, x: Ragged | Tensor) -> Tensor:
        """Each cluster's means and log variances, joined so that all means come first, (rows, 2
        latent)."""
        parts = []
        device = x.device if isinstance(x, Tensor) else x.values.device
        clusters, places = (sent(torch.as_tensor(a), device) for a in (self.clusters, self.places))
        for number, part in enumerate(self.layers()):
            if isinstance(x, Tensor):
                own: Ragged | Tensor = x[:, clusters == number]
            else:
                mine, size = clusters[x.indices] == number, part.weight.shape[0]
                own = Ragged(places[x.indices] * mine, x.offsets, x.values * mine, size)
            first, second = part(own).tanh().chunk(2, 1)
            parts.append((first, second))
        return torch.cat(halves_joined(parts), 1)

    def bias(self) -> Tensor:
        """The biases of all parts, (2 latent,)."""
        halves = [part.bias.chunk(2) for part in self.layers()]
        return torch.cat(halves_joined([(half[0], half[1]) for half in halves]))

    def table(self) -> np.ndarray:
        """The weights of all parts as those of one layer, (n_items, 2 latent), with zeros."""
        found = np.zeros((len(self.clusters), 2 * sum(self.units)), dtype=np.float32)
        start = 0
        for number, part in enumerate(self.layers()):
            rows, width = np.flatnonzero(self.clusters == number), self.units[number]
            for half in (0, 1):
                columns = np.arange(start, start + width) + half * sum(self.units)
                weight = part.weight[:, half * width : (half + 1) * width]
                found[np.ix_(rows, columns)] = weight.detach().cpu().numpy()
            start += width
        return found

    def layers(self) -> list[InputLinear]:
        """The first layer of each cluster."""
        return [part for part in self.parts if isinstance(part, InputLinear)]


def halves_joined(parts: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
    """All first halves, and then all second halves."""
    return [*(first for first, _ in parts), *(second for _, second in parts)]


def units(sizes: np.ndarray, latent: int) -> list[int]:
    """`latent` units shared out in proportion to sizes, at least one each, the last the rest."""
    shares = np.maximum(sizes * latent // sizes.sum(), 1)
    while shares.sum() > latent:
        shares[shares.argmax()] -= 1
    shares[-1] += latent - shares.sum()
    found: list[int] = shares.tolist()
    return found


class NoisyCode(Noisy):
    """Draws z ~ N(mu, sigma^2), diffuses it, and gives back what the denoiser makes of it.

    f(z_t, t) = V tanh(W dropout(z_t) + s_t) + c. Terms: `kl` of N(mu, sigma^2) from N(0, 1) and
    `diffusion`, w_t |z - f(z_t, t)|^2 / latent. In evaluation the steps follow one another from mu.
    """

    def __init__(
        self, schedule: GaussianSchedule, latent: int, width: int, waves: int, dropout: float
    ) -> None:
        super().__init__(schedule)
        self.shift = StepShift(waves, width)
        self.first, self.last = Linear(latent, width), Linear(width, latent)
        self.drop = Dropout(dropout)

    def forward(self, hidden: Tensor, batch: Batch, generator: torch.Generator | None) -> Coded:
        """In training the denoised draw with the KL of the code and the weighted error of the
        diffusion; else the mean after all steps backwards."""
        mu, log_variance = hidden.chunk(2, 1)
        if not self.training:
            return self.cleaned(mu), {}
        z = draw(mu, log_variance, generator, batch)
        steps, factors = self.prior.draw(len(z), generator)
        noisy = self.schedule.noised(z, steps, generator)
        if self.drop.amount:
            noisy = self.drop.noisy(noisy, generator)
        found = self.at(noisy, self.shift(steps))
        errors = (z - found).square().mean(1)
        kl = 0.5 * (log_variance.exp() + mu.square() - 1 - log_variance).sum(1)
        return found, {"kl": kl, "diffusion": self.weighted(errors, steps) * factors}

    def cleaned(self, z: Tensor) -> Tensor:
        """z_0 after all steps back from z as z_(T-1)."""
        for _, shift, p, q in self.backwards(self.shift):
            z = p * self.at(z, shift) + q * z
        return z

    def at(self, z: Tensor, shift: Tensor) -> Tensor:
        """f(z, t), (rows, latent), given what the steps add to the hidden layer."""
        found: Tensor = self.last((self.first(z) + shift).tanh())
        return found
