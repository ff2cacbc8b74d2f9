"""How long histories are: quantiles, from which new lengths are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

LEVELS = (np.arange(256) + 0.5) / 256
"""Of the quantiles kept. The longest histories, which could name somebody, lie beyond the last."""

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Lengths:
    """The distribution of the lengths of histories: quantiles (256,) at LEVELS, all >= 1."""

    quantiles: FloatArray

    @classmethod
    def of(cls, lengths: Any) -> Lengths:
        """Of lengths (users,), all >= 1."""
        return cls(np.quantile(np.asarray(lengths, dtype=np.float64), LEVELS))

    def at(self, normal: FloatArray) -> IntArray:
        """Lengths for standard normal numbers, in their shape: high numbers, long histories."""
        from scipy.special import ndtr

        found = np.interp(ndtr(normal), LEVELS, self.quantiles)
        return np.maximum(np.rint(found), 1).astype(np.int64)


def normal_scores(lengths: Any) -> FloatArray:
    """Standard normal numbers in the order of some lengths (users,), equal ones for equal lengths.

    Phi^-1 of the middle of a length's ranks, from 0 to 1 (van der Waerden 1952).
    """
    from scipy.special import ndtri

    lengths = np.asarray(lengths)
    ordered = np.sort(lengths)
    below = np.searchsorted(ordered, lengths, side="left")
    to = np.searchsorted(ordered, lengths, side="right")
    scores: FloatArray = ndtri((below + to) / 2 / len(lengths))
    return scores
