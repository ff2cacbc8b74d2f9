"""Synthetic histories of millions of users as arrays on disk, made some users at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recae import Interactions
from recae.data import IdMap

BLOCK = 200_000
"""Users that are made together: some 100 MB."""
LEVELS = 1 << 20
"""Steps of the distribution of the items."""
FILES = {"indptr": np.int64, "indices": np.int32, "weights": np.float32}


def write_histories(
    folder: Path, users: int, items: int, *, mean: float = 25, seed: int = 0
) -> int:
    """Writes histories to a new folder; returns the number of interactions.

    The length of a history is 5 plus a geometric number, 250 at most. An item has the rank of a
    Zipf distribution with exponent 0.8; ranks are in no order of the columns. Memory is that of
    BLOCK users and the start of each row.
    """
    folder.mkdir()
    rng = np.random.default_rng(seed)
    share = np.cumsum(np.arange(1, items + 1) ** -0.8)
    levels = np.searchsorted(share / share[-1], (np.arange(LEVELS) + 0.5) / LEVELS)
    item_of = rng.permutation(items).astype(np.int64)[levels]
    ends = [np.zeros(1, dtype=np.int64)]
    with open(folder / "indices", "wb") as indices, open(folder / "weights", "wb") as weights:
        for start in range(0, users, BLOCK):
            size = min(BLOCK, users - start)
            lengths = 5 + (rng.geometric(1 / (mean - 4), size) - 1).clip(0, 245)
            cells = np.repeat(np.arange(size) * items, lengths)
            cells += item_of[rng.integers(0, LEVELS, len(cells))]
            cells.sort()
            cells = cells[np.append(True, cells[1:] != cells[:-1])]
            found = np.bincount(cells // items, minlength=size)
            ends.append(ends[-1][-1] + np.cumsum(found))
            (cells % items).astype(FILES["indices"]).tofile(indices)
            np.ones(len(cells), dtype=FILES["weights"]).tofile(weights)
    indptr = np.concatenate(ends)
    indptr.tofile(folder / "indptr")
    return int(indptr[-1])


def open_histories(folder: Path, items: int, users: int | None = None) -> Interactions:
    """The first users of such a folder (None: all), memory-mapped; ids are 0, 1, ..."""
    indptr = np.fromfile(folder / "indptr", FILES["indptr"])
    indptr = indptr if users is None else indptr[: users + 1]
    arrays = [np.memmap(folder / name, FILES[name], "r") for name in ("weights", "indices")]
    cut = (array[: indptr[-1]] for array in arrays)
    indptr = indptr.astype(np.int32) if indptr[-1] < 2**31 else indptr
    maps = IdMap.range(len(indptr) - 1, "user"), IdMap.range(items, "item")
    return Interactions._owning(*maps, *cut, indptr, None)
