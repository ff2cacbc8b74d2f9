"""The last pass of an ingest: parts of rows become the arrays of a CSR matrix on disk."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from recae.data import csr
from recae.data.stored.arrays import Writer, blocks
from recae.data.stored.folder import index_type
from recae.data.stored.rows import load, part_file
from recae.data.tables import columns as table
from recae.data.tables.merging import Repetitions, merged_cells
from recae.errors import DataError


class Matrix(NamedTuple):
    """What was written: interactions, those before `min_weight`, whether weights differ from 1."""

    interactions: int
    cells: int
    weighted: bool


def write_matrix(
    parts: Path,
    starts: npt.NDArray[np.int64],
    kind: np.dtype[Any],
    n_items: int,
    duplicates: str,
    min_weight: float | None,
    out: Path,
    label: str,
    shown: Any,
) -> tuple[Matrix, Repetitions | None, npt.NDArray[np.bool_]]:
    """Sorts and merges each part and appends it to indices, weights, times and indptr in `out`.

    Returns what was written, the repetitions that `duplicates="error"` refuses, and the items that
    have an interaction, (n_items,) bool. indptr.npy is int64 for now: see `finish_matrix`.
    """
    timed = "time" in (kind.names or ())
    used = np.zeros(n_items, np.bool_)
    cells, largest, weighted, repeated = 0, -np.inf, False, list[Repetitions]()
    with ExitStack() as stack:
        indptr = stack.enter_context(Writer(out / "indptr.npy", "<i8"))
        indices = stack.enter_context(Writer(out / "indices.npy", "<i4"))
        weights = stack.enter_context(Writer(out / "weights.npy", "<f4"))
        times = stack.enter_context(Writer(out / "times.npy", "<i8")) if timed else None
        indptr.append(np.zeros(1, np.int64))
        for number, (first, last) in enumerate(zip(starts[:-1], starts[1:], strict=True)):
            users, items, of_rows, when = load(part_file(parts, number), kind, first)
            n_rows = len(users)
            (found, columns, ends, when), again = merged_cells(
                users, items, of_rows, when, (int(last - first), n_items), duplicates
            )
            if again is not None:
                repeated.append(again._replace(user=again.user + int(first)))
            cells += len(columns)
            if min_weight is not None and len(found):
                largest = max(largest, float(found.max()))
                kept = found >= min_weight
                found, columns = table.positive_float32(found[kept]), columns[kept]
                ends = csr.keep_entries(ends, kept)
                when = None if when is None else when[kept]
            used[columns] = True
            weighted = weighted or bool((found != 1).any())
            indptr.append(ends[1:].astype(np.int64) + indices.size)
            indices.append(columns)
            weights.append(found)
            if times is not None and when is not None:
                times.append(when)
            shown.update(n_rows)
    if not indices.size and not repeated:
        raise DataError(
            f"{label}no interaction has a weight >= {min_weight:g}; the largest is {largest:g}",
            parameter="min_weight",
            value=min_weight,
        )
    first_pair = None
    if repeated:
        first_pair = repeated[0]._replace(rows=sum(some.rows for some in repeated))
    return Matrix(indices.size, cells, weighted), first_pair, used


def finish_matrix(
    out: Path, matrix: Matrix, items: npt.NDArray[np.bool_] | None, kept: Path | None
) -> None:
    """Brings indptr and indices into one type of integers, without the columns where `items` is
    false. kept: leave out empty rows too, and write to this file whether each row stays, as bool.
    """
    width = index_type(matrix.interactions)
    if width != "<i4" or (items is not None and not items.all()):
        codes = None if items is None else (np.cumsum(items) - 1).astype(width)
        old = out / "indices.npy"
        with Writer(out / "indices.part", width) as new:
            for part in blocks(old, "<i4"):
                new.append(part if codes is None else codes[part])
        (out / "indices.part").replace(old)
    old = out / "indptr.npy"
    with ExitStack() as stack:
        new = stack.enter_context(Writer(out / "indptr.part", width))
        rows = None if kept is None else stack.enter_context(Writer(kept, "?"))
        last = np.zeros(1, np.int64)
        new.append(last)
        for ends in blocks(old, "<i8", first=1):
            if rows is not None:
                stays = np.diff(ends, prepend=last) > 0
                last = ends[-1:]
                rows.append(stays)
                ends = ends[stays]
            new.append(ends)
    (out / "indptr.part").replace(old)
