"""How a codec is trained to a number of bits: begin with principal axes, train, settle the step."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from recae.apply.compress.network import (
    BoundedDecoder,
    LinearPlusMLP,
    codec_network,
    principal_axes,
)
from recae.apply.compress.tables import WIDEST, Tables
from recae.nn import AutoencoderNet, Batch, Quantised
from recae.training import ArrayLoader, Objective, Phase, Plan, train

SPEED = 3e-3
"""How fast the weight follows, a share per update of the share by which the bits are off."""

HALVINGS = 30


class RateControl:
    """The weight of a bit in the loss, which rises while codes take more bits than asked for.

    log weight += SPEED * (bits / target - 1) after every update, held between half and twice the
    target: dual ascent on the constraint that the mean bits are the target.
    """

    def __init__(self, code: Quantised, target: float, start: float, updates: int) -> None:
        self.code, self.target, self.weight, self.updates = code, target, start, updates

    def __call__(self, batch: Batch, step: int) -> float:
        spent = self.code.spent
        if step < self.updates and math.isfinite(spent):  # not before the first, to measure
            off = min(max(spent / self.target, 0.5), 2.0) - 1
            self.weight *= math.exp(SPEED * off)
        return self.weight


def step_of(weight: float) -> float:
    """The step that suits a weight, for squared errors.

    Rounding to steps d costs d^2 / 12 and at high rates d falls to half for one bit more, so that
    errors and weighted bits balance where weight = d^2 ln(2) / 6.
    """
    return math.sqrt(6 * weight / math.log(2))


def weight_of(step: float) -> float:
    """The inverse of `step_of`."""
    return step**2 * math.log(2) / 6


def find_step(cost: Callable[[float], float], target: float, start: float) -> float:
    """The step for which `cost(step)`, falling, comes nearest to the target; within 1/64 to 64
    times the start."""
    low, high = math.log(start / 64), math.log(start * 64)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if cost(math.exp(middle)) > target:
            low = middle
        else:
            high = middle
    return math.exp(high)


def whole_bytes(bits: np.ndarray) -> np.ndarray:
    """The bytes that the shortest codes of so many bits take in the mean, (n,) float64.

    An interval of width 2^-bits holds a multiple of 256^-m with the chance 2^(8m - bits), for m =
    floor(bits / 8), and always one of 256^-(m + 1).
    """
    m = np.floor(bits / 8)
    found: np.ndarray = m + 1 - 2.0 ** (8 * m - bits)
    return found


def entropy(numbers: np.ndarray) -> float:
    """Bits of a row of independent columns with the frequencies seen; numbers (n, latent) int."""
    low = numbers.min(0)
    widths = numbers.max(0) - low + 1
    starts = np.cumsum(widths) - widths
    counts = np.bincount((numbers - low + starts).ravel(), minlength=int(widths.sum()))
    seen = counts[counts > 0]
    return float(-(seen * np.log2(seen / len(numbers))).sum() / len(numbers))


SAMPLE = 10_000
"""Rows, evenly spread, on which steps are searched and rates measured."""

WIDE = 2048
"""Pixels (and so their products, squared) up to which principal axes are those of all rows."""

BELIEF = 16.0
"""How many images the learnt distribution counts for in the tables, beside those seen."""

TILE = 64
"""Rows computed together, padded when fewer: a row gets the same bits whatever its company."""

SETTLING = 1 / 6
"""The share of the epochs, the last ones, in which the decoder alone learns, from rounded codes."""


class Learning:
    """One training of a network on rows less their mean, (n, features), to so many bytes a code.

    measured: other such rows, on which the bytes are to be met, or the same. bytes_per_code:
    mean bytes of a code written by itself.
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
        self.net = codec_network(mean, hidden, latent)
        self.code, self.latent = code_of(self.net), latent
        self.wide = 1.0  # the step now, in units of that which the prior was learnt for

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
        """Trains; leaves the network on the CPU, its weights those that float16 can hold."""
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
        """What follows the last epoch, or the one that was interrupted."""
        self.net.cpu().eval()
        if not self.code.rounds:
            self.settle()
        to_half(self.net.decoder)

    @torch.no_grad()
    def _begin(self) -> None:
        """Principal axes as the linear maps, and the step at which their numbers take the bits."""
        rows = spread_out(self.rows)
        # Of a matrix of rows with one another where that of pixels with one another is too large.
        few = rows if rows.shape[1] <= WIDE else spread_out(rows, max(WIDE, self.latent))
        axes = principal_axes(few, self.latent).to(self.code.step.device)
        found = (rows.to(axes.device) @ axes.T).cpu()
        step = find_step(
            lambda step: entropy(_whole(found, step)), self.control.target, float(found.std())
        )
        self.control.weight = weight_of(step)
        self.code.step.fill_(step)
        self.code.prior.spread(found.std(0).to(axes.device) / step)
        for slot, weight in ((self.net.encoder, axes), (decoder_of(self.net).layers, axes.T)):
            assert isinstance(slot, LinearPlusMLP)
            slot.begin(weight)

    @torch.no_grad()
    def settle(self) -> None:
        """Rounds the encoder's weights, and sets the step at which codes take the bytes wanted."""
        to_half(self.net.encoder)
        training = self.net.training
        self.net.eval()
        seen, asked = (hidden_of(self.net, rows) for rows in (spread_out(self.rows), self.measured))
        old = float(self.code.step)

        def bytes_of(step: float) -> float:
            self.code.step.fill_(step)
            self.wide = step / old
            tables = self._tables(_whole(seen, step))
            return float(whole_bytes(tables.bits(tables.symbols(_whole(asked, step)))).mean())

        step = find_step(bytes_of, self.wanted, old)
        self.code.step.fill_(step)
        self.wide = step / old
        self.code.rounds = True
        self.net.train(training)

    def tables(self) -> Tables:
        """How often every number occurs in the codes of all rows, for the network as it is."""
        step = float(self.code.step)
        return self._tables(_whole(hidden_of(self.net, self.rows), step))

    @torch.no_grad()
    def _tables(self, numbers: np.ndarray) -> Tables:
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


def hidden_of(net: AutoencoderNet, rows: Tensor) -> Tensor:
    """What the encoder gives, (n, latent) float32 on the CPU, in tiles."""
    return in_tiles(net.encoder, rows, code_of(net).step.device)


@torch.no_grad()
def in_tiles(apply: Callable[[Tensor], Tensor], rows: Tensor, device: torch.device) -> Tensor:
    """Applies layers on a device to padded tiles of the rows: (n, ...) on the CPU."""
    found = []
    for start in range(0, len(rows), TILE):
        tile = rows[start : start + TILE]
        missing = TILE - len(tile)
        padded = torch.cat([tile, tile.new_zeros(missing, tile.shape[1])]) if missing else tile
        found.append(apply(padded.to(device))[: len(tile)].cpu())
    return torch.cat(found)


@torch.no_grad()
def to_half(module: nn.Module) -> None:
    """Rounds weights to what float16 holds, as they will be saved."""
    for weights in module.parameters():
        weights.copy_(weights.half().to(weights.dtype))


def spread_out(rows: Tensor, most: int = SAMPLE) -> Tensor:
    """At most so many of the rows, evenly spread: files are often sorted by class."""
    if len(rows) <= most:
        return rows
    return rows[torch.linspace(0, len(rows) - 1, most).long()]


def decoder_of(net: AutoencoderNet) -> BoundedDecoder:
    """The decoder of a codec's network."""
    assert isinstance(net.decoder, BoundedDecoder)
    return net.decoder


def code_of(net: AutoencoderNet) -> Quantised:
    """The code of a codec's network."""
    assert isinstance(net.code, Quantised)
    return net.code


def _whole(hidden: Tensor, step: float) -> np.ndarray:
    numbers: np.ndarray = (
        (hidden / torch.tensor(step)).round().clamp(-(2**30), 2**30).long().numpy()
    )
    return numbers
