"""How often every number occurs at every place of a code: in whole numbers, the same everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

PRECISION = 24
"""Probabilities are multiples of 2^-24: what the range coder computes with."""

WIDEST = 2**14
"""More different numbers at one place than this make no table; those at its ends are cut off."""


@dataclass(frozen=True)
class Tables:
    """For each place j of a code a table of the numbers low[j], low[j] + 1, ...

    low: (latent,) int64; sizes: (latent,) int64 >= 2, how many numbers each has; counts: the
    tables one after the other, int64 >= 1; those of one place add up to 2^PRECISION. A number has
    the probability count / 2^PRECISION. A number outside its table is cut off to the nearest in it.
    """

    low: np.ndarray
    sizes: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, numbers: np.ndarray, low: np.ndarray, expected: list[np.ndarray]) -> Tables:
        """Tables of the numbers seen, (n, latent) integers, beside those expected.

        expected[j]: how often low[j], low[j] + 1, ... should have been seen before anything was.
        """
        made = [
            whole(before + np.bincount(column - first, minlength=len(before))[: len(before)])
            for column, first, before in zip(numbers.T, low, expected, strict=True)
        ]
        return cls(low, np.array([len(table) for table in made]), np.concatenate(made))

    @property
    def latent(self) -> int:
        """Places of a code."""
        return len(self.low)

    @cached_property
    def starts(self) -> np.ndarray:
        """Where each table begins in `counts`, (latent,)."""
        starts: np.ndarray = np.cumsum(self.sizes) - self.sizes
        return starts

    def table(self, place: int) -> np.ndarray:
        """The counts of one place."""
        start = self.starts[place]
        found: np.ndarray = self.counts[start : start + self.sizes[place]]
        return found

    def symbols(self, numbers: np.ndarray) -> np.ndarray:
        """Numbers (n, latent) as positions in their tables, (n, latent) int32, cut off to them."""
        symbols: np.ndarray = np.clip(numbers - self.low, 0, self.sizes - 1).astype(np.int32)
        return symbols

    def numbers(self, symbols: np.ndarray) -> np.ndarray:
        """The inverse of `symbols`, (n, latent) int64."""
        numbers: np.ndarray = symbols + self.low
        return numbers

    def bits(self, symbols: np.ndarray) -> np.ndarray:
        """-sum_j log2 p of each row of symbols, (n,) float64: the least that a coder can reach."""
        logs: np.ndarray = np.log2(self.counts)[self.starts + symbols]  # (n, latent)
        bits: np.ndarray = PRECISION * self.latent - logs.sum(1)
        return bits

    @cached_property
    def least(self) -> float:
        """The bits of the most probable code of all, above 0: no row takes fewer."""
        largest = np.maximum.reduceat(self.counts, self.starts)
        return float((PRECISION - np.log2(largest)).sum())

    def problem(self) -> str | None:
        """What is wrong with these tables; None if they are tables."""
        if (self.sizes < 2).any() or self.sizes.sum() != len(self.counts) or not self.latent:
            return "the tables of the entropy model have other sizes than they say"
        if (self.counts < 1).any():
            return "the entropy model holds numbers of no probability"
        if (np.add.reduceat(self.counts, self.starts) != 2**PRECISION).any():
            return "the tables of the entropy model don't add up"
        return None


def whole(weights: np.ndarray) -> np.ndarray:
    """Counts in proportion to weights >= 0, each at least 1, that add up to 2^PRECISION."""
    counts = 1 + np.floor(weights / weights.sum() * (2**PRECISION - len(weights))).astype(np.int64)
    counts[np.argmax(weights)] += 2**PRECISION - counts.sum()
    found: np.ndarray = counts
    return found
