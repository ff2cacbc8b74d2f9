"""Chooses the places of lists one after the other, all rows at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

ALPHA = 0.01
"""The share of the wanted categories in those of the list: Steck (2018), eq. 3."""


@dataclass(frozen=True)
class Pool:
    """The candidates of some rows, best first: items (rows, pool), -1 for none; scores like it;
    free: (rows, pool), which may be chosen without being included; -1 is never free."""

    items: np.ndarray
    scores: np.ndarray
    free: np.ndarray


@dataclass(frozen=True)
class Forced:
    """What is listed in a place: column (rows, k) of the pool, -1 where it is free to choose."""

    columns: np.ndarray


class Categories:
    """Counts the categories of lists while they grow. padded: those of each item, see `Bound`."""

    def __init__(self, padded: np.ndarray, count: int, items: np.ndarray) -> None:
        self.of_pool = padded[items]  # (rows, pool, most); -1 has those of the last item: not free
        self.count = count
        self.listed = np.zeros((len(items), count + 1), dtype=np.int64)

    def add(self, rows: np.ndarray, columns: np.ndarray) -> None:
        """Counts the categories of a column in each of some rows."""
        chosen = self.of_pool[rows, columns]
        real = chosen < self.count
        at = np.broadcast_to(rows[:, None], chosen.shape)
        np.add.at(self.listed, (at[real], chosen[real]), 1)

    def within(self, most: int) -> np.ndarray:
        """Which candidates leave each category with at most so many, (rows, pool)."""
        fits = self._listed() < most
        found: np.ndarray = np.logical_and.reduce(fits, axis=2)
        return found

    def _listed(self) -> np.ndarray:
        rows = np.arange(len(self.listed))[:, None, None]
        found: np.ndarray = self.listed[rows, self.of_pool]
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
        np.put_along_axis(has, pool[rows, columns], True, axis=1)
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

    def __init__(self, vectors: np.ndarray, items: np.ndarray) -> None:
        self.vectors, self.items = vectors, items
        self.largest = np.full(items.shape, -np.inf)

    def add(self, rows: np.ndarray, columns: np.ndarray) -> None:
        """Takes the chosen column of each of some rows into account."""
        pool = self.vectors[self.items[rows]]
        chosen = self.vectors[self.items[rows, columns]]
        cosine = np.einsum("rpd,rd->rp", pool, chosen)
        self.largest[rows] = np.maximum(self.largest[rows], cosine)

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
        self.wanted = np.pad(wanted, ((0, 0), (0, 1)))
        self.sizes = np.maximum((categories.of_pool < categories.count).sum(axis=2), 1)
        self.listed = np.zeros(self.wanted.shape)
        self.length = np.zeros(len(wanted))

    def add(self, rows: np.ndarray, columns: np.ndarray) -> None:
        """Takes the chosen column of each of some rows into account."""
        chosen = self.categories.of_pool[rows, columns]
        shares = np.broadcast_to(1 / self.sizes[rows, columns][:, None], chosen.shape)
        np.add.at(self.listed, (np.broadcast_to(rows[:, None], chosen.shape), chosen), shares)
        self.listed[:, -1] = 0  # the padding
        self.length[rows] += 1

    def penalty(self) -> np.ndarray:
        """(rows, pool): the divergence of the list with this candidate."""
        length = (self.length + 1)[:, None]
        p, q = self.wanted, self.listed / length
        usual = self._terms(p, q).sum(axis=1)
        rows = np.arange(len(p))[:, None, None]
        p_here, q_here = p[rows, self.categories.of_pool], q[rows, self.categories.of_pool]
        more = q_here + 1 / (self.sizes * length)[:, :, None]
        change = self._terms(p_here, more) - self._terms(p_here, q_here)
        found: np.ndarray = usual[:, None] + change.sum(axis=2)
        return found

    @staticmethod
    def _terms(p: np.ndarray, q: np.ndarray) -> np.ndarray:
        """p log(p / ((1 - alpha) q + alpha p)), 0 where p is 0."""
        mixed = np.where(p > 0, (1 - ALPHA) * q + ALPHA * p, 1)
        terms: np.ndarray = p * np.log(np.where(p > 0, p, 1) / mixed)
        return terms


def choose(
    pool: Pool,
    k: int,
    forced: Forced | None,
    categories: Categories | None,
    at_most: int | None,
    variety: Any | None,
    diversity: float,
    draws: tuple[np.ndarray, np.ndarray] | None,
) -> np.ndarray:
    """The columns of the pool in the places of each list, (rows, k), -1 for none left.

    variety: has `add` and `penalty`; its penalty counts `diversity`, the scores the rest. draws:
    for each place whether it is drawn from the rest, (rows, k) bool, and a number in [0, 1).
    """
    n_rows = len(pool.items)
    everyone = np.arange(n_rows)
    free, places = pool.free.copy(), np.full((n_rows, k), -1)
    worth = _scaled(pool) if variety is not None else _order(pool)
    if forced is not None and categories is not None:  # so that no place above is one too many
        for column in forced.columns.T:
            rows = np.flatnonzero(column >= 0)
            categories.add(rows, column[rows])
    for place in range(k):
        may = free if at_most is None or categories is None else free & categories.within(at_most)
        value = (
            worth if variety is None else (1 - diversity) * worth - diversity * variety.penalty()
        )
        column = np.where(may, value, -np.inf).argmax(axis=1)
        column[~may[everyone, column]] = -1
        if draws is not None:
            column = np.where(draws[0][:, place], _drawn(may, draws[1][:, place]), column)
        if forced is not None:
            column = np.where(forced.columns[:, place] >= 0, forced.columns[:, place], column)
        places[:, place] = column
        rows = np.flatnonzero(column >= 0)
        free[rows, column[rows]] = False
        if variety is not None and len(rows):
            variety.add(rows, column[rows])
        if categories is not None:
            if forced is not None:
                rows = rows[forced.columns[rows, place] < 0]
            categories.add(rows, column[rows])
    order = np.argsort(places < 0, axis=1, kind="stable")  # gaps before an included item close
    return np.take_along_axis(places, order, axis=1)


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
