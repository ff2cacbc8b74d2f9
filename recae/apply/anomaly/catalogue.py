"""What the ratings say of each item: how many, their mean and deviation, and who is alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from recae.data import Interactions


@dataclass(frozen=True, eq=False)
class Catalogue:
    """The items of interactions, with the plain statistics of their ratings.

    counts, means, deviations: (n_items,); an item without ratings has those of all ratings, an
    item with one their deviation. levels: the ratings that occur, ascending.
    """

    matrix: Any
    counts: np.ndarray
    means: np.ndarray
    deviations: np.ndarray
    mean: float
    deviation: float
    levels: np.ndarray

    @classmethod
    def of(cls, data: Interactions) -> Catalogue:
        matrix = data.matrix
        values, n_items = matrix.data.astype(np.float64), data.n_items
        mean, deviation = float(values.mean()), float(values.std())
        counts = np.bincount(matrix.indices, minlength=n_items)
        sums = np.bincount(matrix.indices, values, minlength=n_items)
        means = np.where(counts > 0, sums / np.maximum(counts, 1), mean)
        squares = np.bincount(
            matrix.indices, (values - means[matrix.indices]) ** 2, minlength=n_items
        )
        deviations = np.where(counts > 1, np.sqrt(squares / np.maximum(counts, 1)), deviation)
        return cls(matrix, counts, means, deviations, mean, deviation, np.unique(values))

    def by_popularity(self) -> np.ndarray:
        """All items, the one with the most ratings first, ties by column."""
        return np.argsort(-self.counts, kind="stable")

    def by_likeness(self, targets: np.ndarray) -> np.ndarray:
        """All items, by the cosine of who rated them with who rated the targets; ties by column."""
        ones = self.matrix.astype(bool).astype(np.float64)
        raters = np.asarray(ones[:, targets].sum(axis=1)).ravel()
        cosines = (ones.T @ raters) / np.sqrt(np.maximum(self.counts, 1))
        return np.argsort(-cosines, kind="stable")

    def nearest_level(self, values: np.ndarray) -> np.ndarray:
        """The nearest rating that occurs, of the same shape; the lower of two as near."""
        right = np.clip(np.searchsorted(self.levels, values), 1, len(self.levels) - 1)
        if len(self.levels) == 1:
            return np.full(values.shape, self.levels[0])
        low, high = self.levels[right - 1], self.levels[right]
        return np.where(values - low <= high - values, low, high)
