"""Which items are listed and hit, counted over everybody's lists."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]


class ItemCounts:
    """How often each item is listed and hit within the first k, for some cut-offs k.

    cutoffs: the k. `hits` and `listed` map each k, ascending, to (n_items,) int64.
    """

    def __init__(self, cutoffs: Iterable[int], n_items: int) -> None:
        self.n_items = n_items
        self.hits: dict[int, IntArray] = {}
        self.listed: dict[int, IntArray] = {}
        for k in sorted(cutoffs):
            self.hits[k], self.listed[k] = (np.zeros(n_items, dtype=np.int64) for _ in range(2))

    def add(self, items: npt.NDArray[np.integer[Any]], hits: npt.NDArray[np.bool_]) -> None:
        """Adds lists (rows, k or more), -1 for an empty place, and which of their places hit."""
        for table, counted in ((self.listed, items >= 0), (self.hits, hits)):
            done, so_far = 0, np.zeros(self.n_items, dtype=np.int64)
            for k, counts in table.items():
                places = slice(done, k)  # only those that the cut-off before has not counted
                some = items[:, places][counted[:, places]]
                so_far += np.bincount(some, minlength=self.n_items)
                counts += so_far
                done = k

    def named(self) -> dict[str, IntArray]:
        """`hits@k` and `listed@k` for each k -> (n_items,) int64."""
        return {
            f"{what}@{k}": table[k]
            for k in self.listed
            for what, table in (("hits", self.hits), ("listed", self.listed))
        }
