"""What can be counted: how often items come up, how long histories are, which items go together."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

MOST_ITEMS = 3_000
"""Items whose pairs are counted, the most popular: a table of 3,000 x 3,000 at most."""
EXPECTED = 5
"""Real users who would have both items if those had nothing to do with each other: with fewer, how
many do says little (Cochran, The chi-square test of goodness of fit, 1952)."""


def item_shares(matrix: Any) -> FloatArray:
    """Each item's share of all interactions of a CSR matrix, (n_items,)."""
    counts = np.bincount(matrix.indices, minlength=matrix.shape[1])
    shares: FloatArray = counts / max(counts.sum(), 1)
    return shares


def compare_items(real: FloatArray, other: FloatArray) -> dict[str, float]:
    """Total variation of two vectors of shares (0: equal, 1: disjoint), and Spearman's rank
    correlation."""
    distance = 0.5 * float(np.abs(real - other).sum())
    return {"item_distance": distance, "item_rank_correlation": spearman(real, other)}


def compare_lengths(real: Any, other: Any) -> dict[str, float]:
    """Means of the lengths of histories (users,), and Kolmogorov-Smirnov's largest difference
    between their distributions."""
    one, two = np.sort(np.diff(real.indptr)), np.sort(np.diff(other.indptr))
    at = np.union1d(one, two)
    shares = [np.searchsorted(some, at, side="right") / len(some) for some in (one, two)]
    gap = float(np.abs(shares[0] - shares[1]).max())
    return {"mean_length": float(two.mean()), "length_distance": gap}


class Pairs:
    """Pairs of items popular enough to be judged, and how often they go together.

    real: CSR of ones. lift: log of (share of users with both) / (product of the items' shares),
    over the pairs (n,) of the most popular items that EXPECTED users would have by chance. (Pairs
    are not chosen by how many do have them, or those that avoid each other would be left out.)
    """

    def __init__(self, real: Any) -> None:
        counts = np.bincount(real.indices, minlength=real.shape[1])
        order = np.argsort(-counts, kind="stable")[:MOST_ITEMS]
        least = EXPECTED * real.shape[0] / max(int(counts.max(initial=0)), 1)
        self.items = np.sort(order[counts[order] >= least])
        popular = counts[self.items].astype(np.float64)
        expected = np.outer(popular, popular) / real.shape[0]
        self.pairs = np.nonzero(np.triu(expected >= EXPECTED, 1))
        self.lift = self._lift(self._both(real), real.shape[0])

    def __len__(self) -> int:
        return len(self.pairs[0])

    def compare(self, other: Any) -> dict[str, float]:
        """Pearson's correlation of the log lifts of the same pairs in other data, and the slope of
        theirs over the real ones (1: as strong; 0: independent). NaN with fewer than 3 pairs."""
        if len(self) < 3 or not self.lift.std():
            return {"pair_correlation": float("nan"), "pair_slope": float("nan")}
        lift = self._lift(self._both(other), other.shape[0])
        covariance = float(np.mean((self.lift - self.lift.mean()) * (lift - lift.mean())))
        spread = float(self.lift.std() * lift.std())
        return {
            "pair_correlation": covariance / spread if spread else 0.0,
            "pair_slope": covariance / float(self.lift.var()),
        }

    def _both(self, matrix: Any) -> npt.NDArray[Any]:
        """How many users have both of two items, (items, items); with themselves on the diagonal.

        Counted in blocks of users, so that a block of dense rows is all there is beside it.
        """
        columns = matrix[:, self.items].astype(np.float32)
        both = np.zeros((len(self.items),) * 2, dtype=np.float32)
        for start in range(0, columns.shape[0], 4096):
            dense = columns[start : start + 4096].toarray()
            both += dense.T @ dense
        return both

    def _lift(self, both: npt.NDArray[Any], users: int) -> FloatArray:
        single = both.diagonal().astype(np.float64)
        one, two = self.pairs
        together = (both[one, two].astype(np.float64) + 0.5) / users
        alone = (single[one] + 0.5) * (single[two] + 0.5) / users**2
        lift: FloatArray = np.log(together / alone)
        return lift


def spearman(one: FloatArray, two: FloatArray) -> float:
    """Spearman's rank correlation of two vectors, ties at their middle rank; NaN if one is flat."""
    a, b = middle_ranks(one), middle_ranks(two)
    if not len(a) or not a.std() or not b.std():
        return float("nan")
    return float(np.mean((a - a.mean()) * (b - b.mean())) / (a.std() * b.std()))


def middle_ranks(values: Any) -> FloatArray:
    """Ranks from 1, equal values sharing the mean of theirs, (n,)."""
    ordered = np.sort(values)
    below = np.searchsorted(ordered, values, side="left")
    to = np.searchsorted(ordered, values, side="right")
    ranks: FloatArray = (below + to + 1) / 2
    return ranks
