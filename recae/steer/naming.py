"""What a unit of a code is about: the items that it raises, and what they have in common."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

READ, LEAST = 20, 5
"""Items that a unit's genres are read from, at most and at least."""

SUPPORT = 0.2
"""Share of them that must have a genre for it to name the unit."""

LIFT = 1.5
"""How many times as frequent as in the catalogue it must be there."""


def well_known(item_counts: np.ndarray) -> np.ndarray:
    """The better-known half of the items that somebody has, (n_items,) bool."""
    somebody = item_counts > 0
    if not somebody.any():
        return np.ones(len(item_counts), dtype=bool)
    known: np.ndarray = item_counts >= max(np.median(item_counts[somebody]), 1)
    return known


def how_many_read(known: np.ndarray) -> int:
    """Of how many items a unit's genres are read: a tenth of the well-known, within bounds."""
    return min(max(int(known.sum()) // 10, LEAST), READ, int(known.sum()))


def particular(rises: np.ndarray, item_counts: np.ndarray) -> np.ndarray:
    """What a unit raises more than the catalogue, whatever the items' popularity.

    rises: (units, n_items) float32. From each unit's is taken its mean over the items and what
    follows the logarithm of their number of training users (a least squares line), both over the
    well-known items; the others, whose scores are mostly noise, get -inf. (units, n_items).
    """
    known = well_known(item_counts)
    popularity = np.log(item_counts[known].astype(np.float64))
    popularity -= popularity.mean()
    spread = float(popularity @ popularity)
    found = np.full(rises.shape, -np.inf, dtype=np.float32)
    part = rises[:, known].astype(np.float64)
    part -= part.mean(axis=1, keepdims=True)
    if spread > 0:
        part -= np.outer(part @ popularity / spread, popularity)
    found[:, known] = part
    return found


def highest(values: np.ndarray, count: int) -> np.ndarray:
    """The columns of the highest values of each row, best first, (rows, count) int64.

    Equal ones are in the order of the columns.
    """
    ordered: np.ndarray = np.argsort(-values, axis=1, kind="stable")[:, :count]
    return ordered


def together(top: np.ndarray, matrix: Any) -> np.ndarray:
    """How often the items of each row of `top` meet in a history, as a multiple of chance.

    top: (units, k) columns of the CSR histories `matrix`. The sum over pairs of items of the users
    who have both, divided by that of users_i users_j / users: 1 is chance. (units,) float64, NaN
    where chance gives none.
    """
    columns, places = np.unique(top, return_inverse=True)
    some = sp.csr_matrix(matrix[:, columns], dtype=np.float64)
    some.data[:] = 1
    both = np.asarray((some.T @ some).todense())  # (columns, columns)
    users = both.diagonal()
    chance = np.outer(users, users) / max(matrix.shape[0], 1)
    places = places.reshape(top.shape)
    pairs = np.triu_indices(top.shape[1], 1)
    found = [
        (both[np.ix_(row, row)][pairs].sum(), chance[np.ix_(row, row)][pairs].sum())
        for row in places
    ]
    sums = np.array(found, dtype=np.float64).reshape(-1, 2)
    result: np.ndarray = np.divide(
        sums[:, 0], sums[:, 1], out=np.full(len(sums), np.nan), where=sums[:, 1] > 0
    )
    return result


def genre_shares(top: np.ndarray, of_items: Any) -> np.ndarray:
    """Share of each row's items that have each genre, (units, genres) float64."""
    rows = np.repeat(np.arange(len(top)), top.shape[1])
    cells = (np.full(top.size, 1 / max(top.shape[1], 1)), (rows, top.ravel()))
    picks = sp.csr_matrix(cells, shape=(len(top), of_items.shape[0]))
    shares: np.ndarray = np.asarray((picks @ of_items).todense(), dtype=np.float64)
    return shares


def telling(shares: np.ndarray, everywhere: np.ndarray, most: int = 2) -> list[list[int]]:
    """The genres that tell most of each unit, at most so many, best first.

    shares: (units, genres) among the unit's items; everywhere: (genres,) among all that could be.
    Of genres with a share of at least SUPPORT, LIFT times the usual, those with the largest
    share x log(share / usual share): frequent there, and rare elsewhere.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        lift = shares / everywhere
        weight = np.where((shares >= SUPPORT) & (lift >= LIFT), shares * np.log(lift), -np.inf)
    order = np.argsort(-weight, axis=1, kind="stable")[:, :most]
    return [[int(g) for g in row if np.isfinite(weight[unit, g])] for unit, row in enumerate(order)]
