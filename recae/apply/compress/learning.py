"""The network of an image codec, and its training to a target number of bits."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from recae.apply.compress.coding import WIDEST, Tables
from recae.nn import AutoencoderNet, Batch, DenseScores, Linear, NoCorruption, Quantised, mlp
from recae.system.machine import row_batches
from recae.training import ArrayLoader, Objective, Phase, Plan, train

TIMID = 0.1
"""Factor on the initial last layers of the MLPs, so that the linear maps dominate at first."""

LEAK = 0.01
"""Slope, in training, of pixels beyond black or white."""

SPEED = 3e-3
"""Relative change of the weight per update and per relative error of the bits."""

HALVINGS = 30


class RateControl:
    """The weight of a bit in the loss, which rises while codes take more bits than the target.

    log weight += SPEED * (bits / target - 1) after every update, with bits clipped to half and
    twice the target: dual ascent on the constraint that the mean bits equal the target.
    """

    def __init__(self, code: Quantised, target: float, start: float, updates: int) -> None:
        self.code, self.target, self.updates = code, target, updates
        self.weight: float | Tensor = start  # a number on the device of the codes after an update

    def __call__(self, batch: Batch, step: int) -> float | Tensor:
        spent = self.code.spent
        if step < self.updates and spent is not None:
            off = (spent.double() / self.target).clamp(0.5, 2.0) - 1
            self.weight = torch.exp(SPEED * off.nan_to_num(0.0)) * self.weight
        return self.weight


def weight_of(step: float) -> float:
    """The weight of a bit for which a step is optimal, under squared error.

    Rounding to steps d adds an error of d^2 / 12, and at high rates half the step costs one more
    bit, so that the optimum is weight = d^2 ln(2) / 6.
    """
    return step**2 * math.log(2) / 6


def find_step(cost: Callable[[float], float], target: float, start: float) -> float:
    """The step at which the decreasing `cost(step)` equals the target, by bisection within 1/64 to
    64 times the start."""
    low, high = math.log(start / 64), math.log(start * 64)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if cost(math.exp(middle)) > target:
            low = middle
        else:
            high = middle
    return math.exp(high)


def whole_bytes(bits: np.ndarray) -> np.ndarray:
    """The expected bytes of the shortest codes of so many bits, (n,) float64.

    An interval of width 2^-bits contains a multiple of 256^-m with probability 2^(8m - bits), for
    m = floor(bits / 8), and always one of 256^-(m + 1).
    """
    m = np.floor(bits / 8)
    return np.asarray(m + 1 - 2.0 ** (8 * m - bits))


def entropy(numbers: np.ndarray) -> float:
    """The empirical entropy of a row of independent columns, in bits; numbers (n, latent) int."""
    low = numbers.min(0)
    widths = numbers.max(0) - low + 1
    starts = np.cumsum(widths) - widths
    counts = np.bincount((numbers - low + starts).ravel(), minlength=int(widths.sum()))
    seen = counts[counts > 0]
    return float(-(seen * np.log2(seen / len(numbers))).sum() / len(numbers))


SAMPLE = 10_000
"""Rows, evenly spaced, on which steps are searched and rates measured."""

WIDE = 2048
"""Largest number of pixels for which principal axes are computed from all rows."""

BELIEF = 16.0
"""Weight of the learnt distribution in the tables, in images."""

SETTLING = 1 / 6
"""Share of the epochs, at the end, in which only the decoder is trained, on rounded codes."""


class LinearPlusMLP(nn.Module):
    """x -> W x + b + f(x) with an MLP f."""

    def __init__(self, n_in: int, hidden: tuple[int, ...], n_out: int) -> None:
        super().__init__()
        self.straight = Linear(n_in, n_out)
        self.bent = nn.Sequential(
            *mlp((n_in, *hidden), "swish"), Linear((n_in, *hidden)[-1], n_out)
        )

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = self.bent(x) + self.straight(x)
        return total

    @torch.no_grad()
    def begin(self, weight: Tensor) -> None:
        """Sets the linear map, (n_out, n_in), and scales the MLP down."""
        self.straight.weight.copy_(weight)
        last = self.bent[-1]
        assert isinstance(last, Linear)
        last.weight.mul_(TIMID)


class BoundedDecoder(nn.Module):
    """min(max(mean + f(z), 0), 1) - mean: clipped pixels, minus their mean.

    Clipping hides noise of the code in black and white areas. In training a small slope remains
    outside, for the gradient.
    """

    def __init__(self, layers: LinearPlusMLP, mean: Tensor) -> None:
        super().__init__()
        self.layers = layers
        self.mean: Tensor
        self.register_buffer("mean", mean)

    def rows(self, z: Tensor) -> Tensor:
        """Pixels from 0 to 1, (n, features), in evaluation."""
        free: Tensor = self.mean + self.layers(z)
        bounded = free.clamp(0, 1)
        return bounded + LEAK * (free - bounded) if self.training else bounded

    def forward(self, z: Tensor, batch: Batch) -> DenseScores:
        return DenseScores(self.rows(z) - self.mean)


class CodecNet(AutoencoderNet):
    """Centred rows (n, features) -> integer multiples of a step (n, latent) -> rows.

    mean: (features,); the weights are not yet drawn.
    """

    encoder: LinearPlusMLP
    code: Quantised
    decoder: BoundedDecoder

    def __init__(self, mean: Tensor, hidden: tuple[int, ...], latent: int) -> None:
        super().__init__(
            corrupt=NoCorruption(),
            encoder=LinearPlusMLP(len(mean), hidden, latent),
            code=Quantised(latent),
            decoder=BoundedDecoder(LinearPlusMLP(latent, hidden[::-1], len(mean)), mean),
        )

    def hidden(self, rows: Tensor) -> Tensor:
        """The encoder's outputs of centred rows, (n, latent) float32 on the CPU."""
        return in_batches(self.encoder, rows, self.code.step.device)


def principal_axes(rows: Tensor, latent: int) -> Tensor:
    """The first principal axes of centred rows, (latent, features), with unit norm.

    latent: no more than there are rows and features.
    """
    n, features = rows.shape
    wide = rows.double() if n * features < 10**7 else rows
    if features <= n:
        vectors = torch.linalg.eigh((wide.T @ wide).double())[1]  # rising
        axes = vectors.flip(1)[:, :latent].T
    else:
        values, vectors = torch.linalg.eigh((wide @ wide.T).double())
        axes = (wide.double().T @ vectors.flip(1)[:, :latent]).T
        axes = axes / values.flip(0)[:latent, None].clamp_min(1e-12).sqrt()
    found: Tensor = axes.float()
    return found


class Learning:
    """The training of a network on centred rows, (n, features), to a number of bytes per code.

    measured: centred rows on which the bytes are measured. bytes_per_code: mean bytes of a code
    that is written by itself.
    """

    def __init__(
        self,
        rows: Tensor,
        measured: Tensor,
        mean: Tensor,
        hidden: tuple[int, ...],
        latent: int,
        bytes_per_code: float,
    ) -> None:
        self.rows, self.measured, self.wanted = rows, spread_out(measured), bytes_per_code
        self.net = CodecNet(mean, hidden, latent)
        self.code, self.latent = self.net.code, latent
        self.wide = 1.0  # the step relative to the one that the prior was trained with

    def run(
        self,
        *,
        epochs: int,
        batch_size: int,
        lr: float,
        seed: int,
        device: torch.device,
        progress: bool | None,
    ) -> None:
        """Trains; leaves the network on the CPU with weights rounded to float16."""
        loader = ArrayLoader(self.rows, None, batch_size, seed)
        last = max(1, round(epochs * SETTLING))
        first = max(1, epochs - last)
        self.control = RateControl(self.code, 8 * self.wanted - 4, 0.0, first * len(loader))
        plan = Plan(
            epochs=first + last,
            lr=lr,
            l2=0.0,
            metric="loss",
            patience=epochs,
            phases=(
                Phase(first, start=lambda net: self._begin()),
                Phase(last, ("decoder",), start=lambda net: self.settle()),
            ),
            milestones=(round(0.6 * first), round(0.9 * first)),
        )
        objective = Objective("squared", {"bits": self.control})
        train(
            self.net,
            loader,
            objective,
            plan,
            seed=seed,
            device=device,
            progress=progress,
            name="ImageCodec",
        )
        self.finish()

    def finish(self) -> None:
        """Finishes the network after the last or an interrupted epoch."""
        self.net.cpu().eval()
        self.code.spent = None
        if not self.code.rounds:
            self.settle()
        to_half(self.net.decoder)

    @torch.no_grad()
    def _begin(self) -> None:
        """Sets the linear maps to principal axes, and the step to reach the target bits."""
        rows = spread_out(self.rows)
        # Fewer rows than pixels need the smaller Gram matrix.
        few = rows if rows.shape[1] <= WIDE else spread_out(rows, max(WIDE, self.latent))
        axes = principal_axes(few, self.latent).to(self.code.step.device)
        found = (rows.to(axes.device) @ axes.T).cpu()
        step = find_step(
            lambda step: entropy(_numbers(found, step)), self.control.target, float(found.std())
        )
        self.control.weight = weight_of(step)
        self.code.step.fill_(step)
        self.code.prior.spread(found.std(0).to(axes.device) / step)
        self.net.encoder.begin(axes)
        self.net.decoder.layers.begin(axes.T)

    @torch.no_grad()
    def settle(self) -> None:
        """Rounds the encoder's weights, and sets the step to reach the target bytes."""
        to_half(self.net.encoder)
        training = self.net.training
        self.net.eval()
        seen, asked = self.net.hidden(spread_out(self.rows)), self.net.hidden(self.measured)
        old = float(self.code.step)

        def bytes_of(step: float) -> float:
            self.code.step.fill_(step)
            self.wide = step / old
            tables = self._tables(_numbers(seen, step))
            return float(whole_bytes(tables.bits(tables.symbols(_numbers(asked, step)))).mean())

        step = find_step(bytes_of, self.wanted, old)
        self.code.step.fill_(step)
        self.wide = step / old
        self.code.rounds = True
        self.net.train(training)

    def tables(self) -> Tables:
        """The tables of the codes of all rows under the current network."""
        step = float(self.code.step)
        return self._tables(_numbers(self.net.hidden(self.rows), step))

    @torch.no_grad()
    def _tables(self, numbers: np.ndarray) -> Tables:
        """The tables of the entropy coder: for each latent the counts of its numbers, mixed with
        BELIEF times the probabilities of the learnt prior, so that numbers never seen have a code.
        """
        low = numbers.min(0) - 1
        sizes = np.minimum(numbers.max(0) + 2 - low, WIDEST)
        places = torch.arange(int(sizes.max()))[:, None] + torch.from_numpy(low)  # (widest, latent)
        device = self.code.step.device
        chance = self.code.prior.probabilities(places.to(device) * self.wide, self.wide).cpu()
        expected = [
            BELIEF * column[:size]
            for column, size in zip(chance.double().numpy().T, sizes, strict=True)
        ]
        return Tables.of(numbers, low, [column + 1e-6 for column in expected])


@torch.no_grad()
def in_batches(apply: Callable[[Tensor], Tensor], rows: Tensor, device: torch.device) -> Tensor:
    """Applies layers on a device to batches of the rows: (n, ...) on the CPU."""
    parts = row_batches(len(rows), rows.shape[1])
    return torch.cat([apply(rows[part].to(device)).cpu() for part in parts])


@torch.no_grad()
def to_half(module: nn.Module) -> None:
    """Rounds weights to float16, as they are saved."""
    for weights in module.parameters():
        weights.copy_(weights.half().to(weights.dtype))


def spread_out(rows: Tensor, most: int = SAMPLE) -> Tensor:
    """At most `most` evenly spaced rows; files are often sorted by class."""
    if len(rows) <= most:
        return rows
    return rows[torch.linspace(0, len(rows) - 1, most).long()]


def _numbers(hidden: Tensor, step: float) -> np.ndarray:
    numbers = (hidden / torch.tensor(step)).round().clamp(-(2**30), 2**30)
    return np.asarray(numbers.long())
