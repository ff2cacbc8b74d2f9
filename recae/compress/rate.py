"""From a number of bytes to the weight of a bit, and to the step of the quantiser."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from recae.nn import Batch, Quantised

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
