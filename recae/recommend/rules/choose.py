"""Chooses the places of lists one after the other, all rows at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

ALPHA = 0.01
"""The share of the wanted categories in those of the list: Steck (2018), eq. 3."""

TOGETHER = 64
"""Items whose similarities to all others are held at once."""


@dataclass(frozen=True)
class Pool:
    """The candidates of some rows, best first: items (rows, pool), -1 for none; scores like it;
    free: (rows, pool), which may be chosen without being included; -1 is never free."""

    items: np.ndarray
    scores: np.ndarray
    free: np.ndarray


class Categories:
    """Counts the categories of lists while they grow. padded: those of each item, see `Bound`."""

    def __init__(self, padded: np.ndarray, count: int, items: np.ndarray) -> None:
        self.of_pool = padded[items]  # (rows, pool, most); -1 has those of the last item: not free
        self.count = count
        self.everyone = np.arange(len(items))[:, None, None]
        self.listed = np.zeros((len(items), count + 1), dtype=np.int64)

    def add(self, rows: np.ndarray, columns: np.ndarray) -> None:
        """Counts the categories of a column in each of some rows."""
        self.listed[rows[:, None], self.of_pool[rows, columns]] += 1  # an item has each once
        self.listed[:, -1] = 0  # the padding

    def within(self, most: int) -> np.ndarray:
        """Which candidates leave each category with at most so many, (rows, pool)."""
        found: np.ndarray = (self.listed < most)[self.everyone, self.of_pool].all(axis=2)
        return found


class CategorySimilarity:
    """The largest cosine between the categories of each candidate and of an item chosen before."""

    def __init__(self, categories: Categories) -> None:
        self.categories = categories
        self.sizes = (categories.of_pool < categories.count).sum(axis=2)
        self.largest = np.zeros(self.sizes.shape)

    def add(self, rows: np.ndarray, columns: np.ndarray) -> None:
        """Takes the chosen column of each of some rows into account."""
        pool, count = self.categories.of_pool, self.categories.count
        has = np.zeros((len(rows), count + 1), dtype=bool)
        has[np.arange(len(rows))[:, None], pool[rows, columns]] = True
        has[:, count] = False  # the padding
        common = has[np.arange(len(rows))[:, None, None], pool[rows]].sum(axis=2)
        sizes = self.sizes[rows] * self.sizes[rows, columns][:, None]
        cosine = common / np.sqrt(np.maximum(sizes, 1))
        self.largest[rows] = np.maximum(self.largest[rows], cosine)

    def penalty(self) -> np.ndarray:
        """(rows, pool), 0 to 1."""
        return self.largest


class VectorSimilarity:
    """The largest cosine between the vector of each candidate and of an item chosen before."""

    def __init__(self, vectors: Tensor, items: np.ndarray) -> None:
        pool = vectors[torch.from_numpy(items).to(vectors.device)].detach().cpu()
        self.pool: np.ndarray = torch.nn.functional.normalize(pool, dim=2).numpy()
        self.largest = np.full(items.shape, -np.inf)

    def add(self, rows: np.ndarray, columns: np.ndarray) -> None:
        """Takes the chosen column of each of some rows into account."""
        cosine = np.einsum("rpd,rd->rp", self.pool[rows], self.pool[rows, columns])
        self.largest[rows] = np.maximum(self.largest[rows], cosine)

    def penalty(self) -> np.ndarray:
        """(rows, pool), -1 to 1; 0 before anything is chosen."""
        return np.where(np.isfinite(self.largest), self.largest, 0)


class OwnSimilarity:
    """The largest similarity of each candidate to an item chosen before, as `similar_items` has it.

    A share of the largest one, in absolute value, that the chosen item has to any other item.
    similarities: of some items to all, a fresh (len(codes), n_items).
    """

    def __init__(self, similarities: Callable[[np.ndarray], Tensor], items: np.ndarray) -> None:
        self.similarities, self.items = similarities, items
        self.largest = np.full(items.shape, -np.inf)

    def add(self, rows: np.ndarray, columns: np.ndarray) -> None:
        """Takes the chosen column of each of some rows into account."""
        chosen, of_row = np.unique(self.items[rows, columns], return_inverse=True)
        for start in range(0, len(chosen), TOGETHER):
            codes = chosen[start : start + TOGETHER]
            found = self.similarities(codes).cpu().numpy()
            found[np.arange(len(codes)), codes] = 0  # itself
            found[~np.isfinite(found)] = 0
            largest = np.abs(found).max(axis=1)
            here = (of_row >= start) & (of_row < start + TOGETHER)
            some, at = rows[here], of_row[here] - start
            own = found[at[:, None], self.items[some]]
            own /= np.where(largest > 0, largest, 1)[at, None]
            self.largest[some] = np.maximum(self.largest[some], own)

    def penalty(self) -> np.ndarray:
        """(rows, pool), -1 to 1; 0 before anything is chosen."""
        return np.where(np.isfinite(self.largest), self.largest, 0)


class Miscalibration:
    """KL(p, q) between the categories of the history and of the list with each candidate.

    wanted: p, (rows, categories), a distribution, or zeros, which want nothing. Each item has its
    categories in equal shares (Steck 2018, section 3).
    """

    def __init__(self, categories: Categories, wanted: np.ndarray) -> None:
        self.categories = categories
        pool, rows = categories.of_pool, categories.everyone
        self.shares = 1 / np.maximum((pool < categories.count).sum(axis=2), 1)[:, :, None]
        wanted = np.pad(wanted, ((0, 0), (0, 1)))  # 0 for the padding
        self.p = wanted[rows, pool]  # (rows, pool, most)
        self.least = ALPHA * self.p + (self.p == 0)  # where p is 0, the logarithm below is of 1
        self.listed = np.zeros(wanted.shape)
        self.length = np.zeros(len(wanted))

    def add(self, rows: np.ndarray, columns: np.ndarray) -> None:
        """Takes the chosen column of each of some rows into account."""
        chosen = self.categories.of_pool[rows, columns]
        self.listed[rows[:, None], chosen] += self.shares[rows, columns]
        self.length[rows] += 1

    def penalty(self) -> np.ndarray:
        """(rows, pool): the divergence of the list with this candidate, less that without it: a
        number that is the same for all candidates of a row, and only they are compared."""
        weight = (1 - ALPHA) / (self.length + 1)[:, None, None]
        q = np.where(
            self.p > 0, weight * self.listed[self.categories.everyone, self.categories.of_pool], 0
        )
        before = self.least + q
        after = before + np.where(self.p > 0, weight * self.shares, 0)
        found: np.ndarray = (self.p * np.log(before / after)).sum(axis=2)
        return found


Variety = CategorySimilarity | VectorSimilarity | OwnSimilarity | Miscalibration


def choose(
    pool: Pool,
    k: int,
    forced: np.ndarray | None,
    categories: Categories | None,
    at_most: int | None,
    variety: Variety | None,
    diversity: float,
    draws: tuple[np.ndarray, np.ndarray] | None,
) -> np.ndarray:
    """The columns of the pool in the places of each list, (rows, k), -1 for none left.

    forced: the columns of places that are taken, (rows, k), -1 where it is free to choose. The
    penalty of `variety` counts `diversity`, the scores the rest. draws: for each place whether it
    is drawn from the rest, (rows, k) bool, and a number in [0, 1).
    """
    everyone = np.arange(len(pool.items))
    free = pool.free.copy()
    places = np.full((len(everyone), k), -1) if forced is None else forced.copy()
    worth = _scaled(pool) if variety is not None else _order(pool)
    if forced is not None and categories is not None:  # so that no place above is one too many
        for column in forced.T:
            rows = np.flatnonzero(column >= 0)
            categories.add(rows, column[rows])
    for place in range(k):
        column = places[:, place]
        open_rows = everyone[column < 0]
        if len(open_rows):
            may = (
                free if categories is None or at_most is None else free & categories.within(at_most)
            )
            value = worth
            if variety is not None:
                value = (1 - diversity) * worth - diversity * variety.penalty()
            best = np.where(may, value, -np.inf).argmax(axis=1)
            best[~may[everyone, best]] = -1
            if draws is not None:
                best = np.where(draws[0][:, place], _drawn(may, draws[1][:, place]), best)
            found = open_rows[best[open_rows] >= 0]
            column[found] = best[found]
            free[found, best[found]] = False
            if categories is not None:
                categories.add(found, best[found])
        if variety is not None and place < k - 1:
            rows = everyone[column >= 0]
            variety.add(rows, column[rows])
    return places


def _order(pool: Pool) -> np.ndarray:
    """Values that keep the order of the pool."""
    return np.broadcast_to(-np.arange(pool.items.shape[1], dtype=np.float64), pool.items.shape)


def _scaled(pool: Pool) -> np.ndarray:
    """The scores of the candidates from 0 to 1 in each row."""
    scores = pool.scores.astype(np.float64)
    low = np.where(pool.free, scores, np.inf).min(axis=1, keepdims=True, initial=np.inf)
    high = np.where(pool.free, scores, -np.inf).max(axis=1, keepdims=True, initial=-np.inf)
    with np.errstate(invalid="ignore"):
        scaled = (scores - low) / np.where(high > low, high - low, 1)
    found: np.ndarray = np.where(pool.free, np.nan_to_num(scaled), 0)
    return found


def _drawn(may: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """One of the columns that may be chosen, each with the same chance; -1 where there is none."""
    counts = may.sum(axis=1)
    wanted = np.minimum((numbers * counts).astype(np.int64), np.maximum(counts - 1, 0))
    column = (np.cumsum(may, axis=1) == (wanted + 1)[:, None]).argmax(axis=1)
    found: np.ndarray = np.where(counts > 0, column, -1)
    return found
