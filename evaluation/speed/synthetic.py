"""Made-up users with a known taste, as many as wanted, in bounded memory.

Items belong to groups. A user likes one to three of them and takes most items from those, popular
ones more often. Sizes of groups, popularity within a group and lengths of histories have long
tails. So a model can be asked how much of what it recommends lies in the groups of a user.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from recae.rng import numpy_generator

CHUNK = 1 << 17
"""Users made at a time. Another number would make other users of the same seed."""

MOST_GROUPS = 3
SPREAD = 1.0
"""Standard deviation of the logarithm of the lengths."""
SHORTEST, LONGEST = 2, 2000
HEAD = 10
"""Ranks of a group after which popularity starts to fall as 1 / rank."""

PLANT, PEOPLE = 1, 2


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Items in groups of unequal size.

    group: (n_items,) int32, the group of each item; order: (n_items,) int32, the items of group 0
    by falling popularity, then those of group 1, ...; starts: (groups + 1,) int64, where each group
    starts in `order`.
    """

    group: npt.NDArray[np.int32]
    order: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]

    @classmethod
    def plant(cls, n_items: int, seed: int = 0, groups: int | None = None) -> Catalogue:
        """groups: the square root of `n_items` by default; the first is some ten to a hundred
        times as large as the last."""
        groups = groups or max(round(math.sqrt(n_items)), 1)
        weight = 1 / (np.arange(groups) + HEAD)
        bounds = np.cumsum(weight) / weight.sum() * (n_items - groups)
        ends = np.round(bounds).astype(np.int64) + np.arange(1, groups + 1)  # nobody is empty
        starts = np.concatenate([[0], ends])
        order = numpy_generator(seed, PLANT).permutation(n_items).astype(np.int32)
        group = np.empty(n_items, dtype=np.int32)
        group[order] = np.repeat(np.arange(groups, dtype=np.int32), np.diff(starts))
        return cls(group, order, starts)

    @property
    def n_items(self) -> int:
        """The number of items."""
        return len(self.group)

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """The number of items of each group."""
        return np.diff(self.starts)

    def people(
        self, n_users: int, mean: float = 11.0, seed: int = 0, *, stray: float = 0.15
    ) -> People:
        """Users and their histories.

        mean: interactions of a user, on average, nearly. stray: the share of interactions that are
        with any group at all. Another seed gives strangers with the same tastes.
        """
        # Whoever draws an item twice has it once: a sample says how much longer to draw.
        drawn = mean
        for _ in range(3):
            sample = self._chunk(min(n_users, 20_000), drawn, seed, -1, stray)
            drawn *= mean * len(sample[1]) / len(sample[2])
        groups, lengths, indices = zip(
            *(
                self._chunk(min(CHUNK, n_users - first), drawn, seed, first // CHUNK, stray)
                for first in range(0, n_users, CHUNK)
            ),
            strict=True,
        )
        indptr = np.concatenate([[0], np.cumsum(np.concatenate(lengths))])
        items = np.concatenate(indices)
        del indices
        index = np.int32 if len(items) < 2**31 else np.int64
        matrix: Any = sp.csr_matrix(
            (np.ones(len(items), dtype=np.float32), items, indptr.astype(index)),
            shape=(n_users, self.n_items),
        )
        matrix.has_canonical_format = True
        return People(matrix, np.concatenate(groups))

    def _chunk(
        self, n: int, mean: float, seed: int, number: int, stray: float
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.int32]]:
        """The groups (n, MOST_GROUPS), lengths (n,) and ascending items of some users."""
        generator = numpy_generator(seed, PEOPLE, number + 1)
        chance = self.starts[1:] / self.n_items
        groups = np.searchsorted(chance, generator.random((n, MOST_GROUPS)), side="right")
        liked = generator.integers(1, MOST_GROUPS + 1, n)
        groups[np.arange(MOST_GROUPS) >= liked[:, None]] = -1
        normal = generator.standard_normal(n) * SPREAD
        lengths = mean * np.exp(normal - SPREAD**2 / 2)
        lengths = np.clip(np.round(lengths), SHORTEST, min(LONGEST, self.n_items // 2))
        user = np.repeat(np.arange(n), lengths.astype(np.int64))
        of = groups[user, (generator.random(len(user)) * liked[user]).astype(np.int64)]
        strays = np.flatnonzero(generator.random(len(user)) < stray)
        of[strays] = np.searchsorted(chance, generator.random(len(strays)), side="right")
        # A density of 1 / (rank + HEAD) over the ranks of the group, by its inverse.
        size = self.sizes[of]
        rank = HEAD * np.expm1(generator.random(len(of)) * np.log1p(size / HEAD))
        items = self.order[self.starts[of] + np.minimum(rank.astype(np.int64), size - 1)]
        cells = np.sort(user * self.n_items + items)
        cells = cells[np.append(True, cells[1:] != cells[:-1])]
        rows, columns = np.divmod(cells, self.n_items)
        return (
            groups.astype(np.int32),
            np.bincount(rows, minlength=n),
            columns.astype(np.int32),
        )


@dataclass(frozen=True, eq=False)
class People:
    """matrix: (n_users, n_items) csr_matrix of float32 ones with sorted int32 indices, no cell
    twice; groups: (n_users, MOST_GROUPS) int32, the groups that each user likes, and -1."""

    matrix: Any
    groups: npt.NDArray[np.int32]

    def part(self, rows: npt.NDArray[np.integer[Any]]) -> People:
        """Some of the users."""
        return People(self.matrix[rows], self.groups[rows])


def in_taste(
    catalogue: Catalogue, groups: npt.NDArray[np.int32], items: npt.NDArray[np.integer[Any]]
) -> float:
    """The share of recommended items that lie in a group that their user likes.

    groups: (rows, MOST_GROUPS); items: (rows, k), with -1 where a list is shorter.
    """
    found = catalogue.group[items][:, :, None] == groups[:, None, :]
    return float(found.any(axis=2)[items >= 0].mean())


def by_chance(catalogue: Catalogue, groups: npt.NDArray[np.int32]) -> float:
    """What `in_taste` is of items drawn at random."""
    repeated = np.stack(
        [(groups[:, :n] == groups[:, n : n + 1]).any(axis=1) for n in range(MOST_GROUPS)], axis=1
    )
    sizes = np.where((groups >= 0) & ~repeated, catalogue.sizes[groups], 0)
    return float(sizes.sum(axis=1).mean() / catalogue.n_items)


def shape(n_users: int, n_items: int, interactions: int, seed: int = 0) -> Any:
    """A csr_matrix of that shape with nearly so many interactions, for curves of cost."""
    return Catalogue.plant(n_items, seed).people(n_users, interactions / n_users, seed).matrix
