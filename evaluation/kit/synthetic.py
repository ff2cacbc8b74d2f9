"""Synthetic data: users with known tastes, and histories, targets and factors with long tails.

Items belong to groups. A user likes one to three groups and takes most items from them, popular
items more often. Sizes of groups, popularity within a group and lengths of histories have long
tails. So a benchmark can measure how many recommended items are in the groups of a user
(`Catalogue`, `People`). Benchmarks that only rank or evaluate need no tastes (`histories`,
`histories_and_targets`, `item_factors`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch

import recae
from recae.models.factors._base import FactorRecommender
from recae.rng import numpy_generator

LENGTH = 80
"""Items of a user of `histories`, on average."""

CHUNK = 1 << 17
"""Users generated at a time. Another number gives other users for the same seed."""

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
        """groups: the square root of `n_items` by default; the first group is about ten to a
        hundred times as large as the last."""
        groups = groups or max(round(math.sqrt(n_items)), 1)
        weight = 1 / (np.arange(groups) + HEAD)
        bounds = np.cumsum(weight) / weight.sum() * (n_items - groups)
        ends = np.round(bounds).astype(np.int64) + np.arange(1, groups + 1)  # no group is empty
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

        mean: approximate mean number of interactions per user. stray: the share of interactions
        with items of any group. Another seed gives other users with the same tastes.
        """
        # Items drawn twice count once, so draw more: a sample estimates how many more.
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
    """The value of `in_taste` for random items."""
    repeated = np.stack(
        [(groups[:, :n] == groups[:, n : n + 1]).any(axis=1) for n in range(MOST_GROUPS)], axis=1
    )
    sizes = np.where((groups >= 0) & ~repeated, catalogue.sizes[groups], 0)
    return float(sizes.sum(axis=1).mean() / catalogue.n_items)


def shape(n_users: int, n_items: int, interactions: int, seed: int = 0) -> Any:
    """A csr_matrix of that shape with about that many interactions, for cost curves."""
    return Catalogue.plant(n_items, seed).people(n_users, interactions / n_users, seed).matrix


def histories(n_users: int, n_items: int, seed: int = 0) -> sp.csr_matrix:
    """A matrix of ones, (n_users, n_items). An item of rank r occurs in proportion to (r +
    20)^-0.8. Users have a lognormal number of items, about LENGTH on average and at least 5."""
    rng = numpy_generator(seed)
    lengths = rng.lognormal(np.log(LENGTH) - 0.32, 0.8, n_users).astype(np.int64)
    lengths = np.clip(lengths, 5, n_items // 4)
    chance = np.cumsum((np.arange(n_items) + 20.0) ** -0.8)
    items = np.searchsorted(chance, rng.random(int(lengths.sum())) * chance[-1])
    cells = np.unique(np.repeat(np.arange(n_users), lengths) * n_items + items)
    users, items = np.divmod(cells, n_items)
    ones = np.ones(len(cells), dtype=np.float32)
    return sp.csr_matrix((ones, (users, items)), shape=(n_users, n_items))


def item_factors(n_items: int, latent: int, seed: int = 1) -> np.ndarray:
    """Item factors, (n_items, latent) float32, similar to those of a factorisation: dimensions
    decrease in scale, and popular items have larger norms."""
    drawn = numpy_generator(seed).standard_normal((n_items, latent), dtype=np.float32)
    drawn *= (1 + np.arange(latent, dtype=np.float32) / 20) ** -0.5
    drawn *= ((np.arange(n_items, dtype=np.float32) + 20) ** -0.2)[:, None]
    return drawn


def factor_model(
    model: FactorRecommender, data: recae.Interactions, factors: np.ndarray
) -> FactorRecommender:
    """The model with these item factors, as if fitted on these data."""
    model._own(data)
    given = torch.from_numpy(factors)
    model._restore({"item_factors": given, "input_factors": given.clone()})
    return model


def vae(data: recae.Interactions, latent: int, seed: int = 2) -> recae.MultVAE:
    """An untrained Mult-VAE of the default shape with random weights."""
    model = recae.MultVAE(latent=latent)
    model._own(data)
    model.network_ = model._network(data.n_items, data.n_users).eval()
    model.network_.initialise(torch.Generator().manual_seed(seed))
    return model


def histories_and_targets(
    n_users: int, n_items: int, seed: int = 0
) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Histories of about 50 and targets of at most 10 items, (n_users, n_items) of ones each.

    The probability of an item of rank r is proportional to (r + 20)^-0.8. A user draws a lognormal
    number of items; items drawn twice count once.
    """
    rng = np.random.default_rng(seed)
    draws = np.clip(rng.lognormal(np.log(52), 0.55, n_users).astype(np.int64), 15, n_items // 2)
    chance = np.cumsum((np.arange(n_items) + 20.0) ** -0.8)
    items = np.searchsorted(chance, rng.random(int(draws.sum())) * chance[-1])
    cells = np.unique(np.repeat(np.arange(n_users), draws) * n_items + items)
    users, items = cells // n_items, cells % n_items
    order = np.lexsort((rng.random(len(cells)), users))  # a user's items in random order
    first = np.searchsorted(users, users)
    hidden = np.zeros(len(cells), dtype=bool)
    hidden[order] = np.arange(len(cells)) - first < np.minimum(10, draws[users] // 2)
    parts = []
    for some in (~hidden, hidden):
        ones = np.ones(int(some.sum()), dtype=np.float32)
        parts.append(sp.csr_matrix((ones, (users[some], items[some])), shape=(n_users, n_items)))
    return parts[0], parts[1]


def random_ease(data: recae.Interactions) -> recae.EASE:
    """EASE with random weights: their inverse would take minutes, and scoring costs the same."""
    model = recae.EASE()
    model._own(data)
    drawn = np.random.default_rng(4).standard_normal((data.n_items,) * 2, dtype=np.float32)
    model.weights_ = torch.from_numpy(drawn)
    return model
