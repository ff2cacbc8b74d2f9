"""Merges rows of the same user and item into one entry for each cell of a matrix."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from recae.data import csr
from recae.data.idmap import Codes32, IdMap
from recae.data.tables import columns as table
from recae.errors import DataError, RepeatedRows, warn

Cells = tuple[table.Weights, npt.NDArray[Any], npt.NDArray[Any], table.Times | None]


class Repetitions(NamedTuple):
    """Rows that repeat a pair where none may: their number, and the pair of the first such row."""

    rows: int
    user: int
    item: int
    row: int

    def error(self, users: IdMap, items: IdMap) -> DataError:
        """The error that names the first pair by its ids."""
        return DataError(
            f"{self.rows:,} rows repeat a pair of user and item; the first is user "
            f"{users.decode([self.user]).tolist()[0]!r} with item "
            f"{items.decode([self.item]).tolist()[0]!r}; say which row counts "
            "with duplicates= of Interactions.from_frame or of the reader"
        )


def merged_cells(
    users: Codes32,
    items: Codes32,
    weights: table.Weights,
    times: table.Times | None,
    shape: tuple[int, int],
    duplicates: str,
) -> tuple[Cells, Repetitions | None]:
    """One entry for each cell: weights, indices, indptr and times; and with `duplicates="error"`
    the repetitions, if there are some.

    users, items, weights, times: (rows,) each, in the order of the table.
    """
    indices, indptr, places = csr.sorted_csr(users, items, shape)
    weights = weights.take(places, mode="clip")  # places fit; "raise" is slower
    times = None if times is None else times.take(places, mode="clip")
    repeated = csr.repeated_cells(indices, indptr)
    if not repeated.any():
        return (weights, indices, indptr, times), None
    at, keys, order = _repetitions(repeated, places)
    if duplicates == "error":
        again = at[order][pd.Series(keys[order]).duplicated().to_numpy()]
        user = int(np.searchsorted(indptr, again[0], side="right")) - 1
        found = Repetitions(len(again), user, int(indices[again[0]]), int(places[again[0]]))
        return (weights, indices, indptr, times), found
    first = at[~repeated[at]]
    of_rows = at[order]
    _, weights[first], merged = table.merge_duplicates(
        keys[order], weights[of_rows], None if times is None else times[of_rows], duplicates
    )
    if times is not None:
        assert merged is not None
        times[first] = merged
        times = times[~repeated]
    indptr = indptr - np.searchsorted(np.flatnonzero(repeated), indptr).astype(indptr.dtype)
    return (weights[~repeated], indices[~repeated], indptr, times), None


def warn_of_repetitions(repeated: int, rows: int, duplicates: str, label: str) -> None:
    """Says how many rows do not count. Whoever chose another rule than the default knows it."""
    if repeated and duplicates == "last":
        warn(
            f"{label}{repeated:,} of {rows:,} rows repeat a pair of user and item: the last of "
            "each pair counts. duplicates= (--duplicates) has other rules, such as sum",
            RepeatedRows,
        )


def _repetitions(
    repeated: npt.NDArray[np.bool_], places: npt.NDArray[Any]
) -> tuple[csr.Index, csr.Index, csr.Index]:
    """Entries of repeated cells: their places, the number of the cell, their order in the table."""
    shared = repeated.copy()
    shared[:-1] |= repeated[1:]
    at = np.flatnonzero(shared)
    keys = np.cumsum(~repeated[at]) - 1
    return at, keys, np.argsort(places[at], kind="stable")
