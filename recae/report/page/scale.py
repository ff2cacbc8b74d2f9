"""From numbers to pixels, and the ticks of an axis."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """An axis from `low` at pixel `start` to `high` at pixel `end`, logarithmic if `log`.

    least: the value at which everything below it is drawn too; its tick says so.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False
    least: float | None = None

    def at(self, value: float) -> float:
        """The pixel of a value; on a logarithmic axis what is below `low` stands at `start`."""
        low, high = self.low, self.high
        if self.log:
            value, low, high = (math.log10(max(v, self.low)) for v in (value, low, high))
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def clipped(self, value: float) -> float:
        """The pixel of a value, that of the nearer end for one beyond the axis."""
        return self.at(min(max(value, self.low), self.high))

    def holds(self, value: float) -> bool:
        """Whether a value lies on the axis."""
        return self.low <= value <= self.high

    def ticks(self, most: int = 6) -> list[tuple[float, str]]:
        """Round values within the axis, and their texts."""
        return self._log_ticks(most) if self.log else self._linear_ticks(most)

    def _linear_ticks(self, most: int) -> list[tuple[float, str]]:
        rough = (self.high - self.low) / most
        size = 10.0 ** math.floor(math.log10(rough))
        step = next(size * by for by in (1, 2, 5, 10) if size * by >= rough * (1 - 1e-9))
        decimals = max(-math.floor(math.log10(step) + 1e-9), 0)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [(n * step, f"{n * step:,.{decimals}f}") for n in range(first, last + 1)]

    def _log_ticks(self, most: int) -> list[tuple[float, str]]:
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for steps in ((1, 2, 5), (1, 3), (1,)):
            ticks = [step * 10.0**power for power in powers for step in steps]
            ticks = [tick for tick in ticks if self.low <= tick * 1.001 and tick <= self.high]
            if len(ticks) <= most:
                break
        else:
            ticks = ticks[:: math.ceil(len(ticks) / most)]
        return [(tick, f"{self._at_most(tick)}{tick:,.6g}") for tick in ticks]

    def _at_most(self, tick: float) -> str:
        return "≤ " if self.least is not None and math.isclose(tick, self.least) else ""


def linear(values: Iterable[float], start: float, end: float, *, margin: float = 0.06) -> Scale:
    """An axis that holds all values that are finite, with a margin, as a share, on both sides."""
    low, high = _range(values)
    if high - low < 1e-9 * max(abs(low), abs(high), 1e-3):  # all the same
        low, high = low - max(abs(low) * 0.1, 1e-3), high + max(abs(high) * 0.1, 1e-3)
    gap = (high - low) * margin
    # What is never negative, such as a metric, has no axis below 0.
    return Scale(low - gap if low < 0 else max(low - gap, 0.0), high + gap, start, end)


def logarithmic(values: Iterable[float], start: float, end: float) -> Scale:
    """A logarithmic axis that holds all values above 0."""
    low, high = _range(value for value in values if value > 0)
    return Scale(low / 1.6, high * 1.6, start, end, log=True)


def _range(values: Iterable[float]) -> tuple[float, float]:
    finite = [value for value in values if math.isfinite(value)]
    return (min(finite), max(finite)) if finite else (0.5, 1.0)
