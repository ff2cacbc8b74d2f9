"""Encodes the blocks of a table as id maps and one entry for each (user, item) pair."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from recae.data import csr
from recae.data.encoders import KnownIds, NewIds
from recae.data.idmap import Codes32, IdMap
from recae.data.tables import columns as table
from recae.data.tables.arrays import series
from recae.data.tables.bad_values import encoded, times_of, weights_of
from recae.data.tables.faults import BadRows, Found
from recae.data.tables.merging import merged_cells, warn_of_repetitions
from recae.data.tables.sources import Block, Source
from recae.data.tables.times import OneKind, moments
from recae.errors import DataError, check_number, check_option
from recae.system.progress import bar

Codes = list[Future[tuple[Codes32, list[Found]]]]

FEW_ROWS = 10_000
"""Rows up to which starting threads takes longer than their work."""


class Entries(NamedTuple):
    """Distinct cells in CSR order with their weights and times, (nnz,) each."""

    users: IdMap
    items: IdMap
    weights: table.Weights
    indices: npt.NDArray[Any]
    indptr: npt.NDArray[Any]
    times: table.Times | None


def read_entries(
    source: Source,
    columns: table.Columns,
    duplicates: str,
    min_weight: float | None,
    progress: bool | None,
    users: IdMap | None = None,
    items: IdMap | None = None,
    on_bad_rows: str = "error",
    quiet: bool = False,
) -> Entries:
    """The work of `Interactions.from_frame`, which documents the arguments and the errors.

    columns: the names of the user, item, weight and time columns. The most memory held at a time is
    24 bytes for each row (32 with times), two hash tables of ids, and one block. Rows below
    `min_weight` are among them, because a later row of low weight replaces an earlier one. quiet:
    no warnings of columns that are not used, and of rows that repeat a pair.
    """
    check_option("duplicates", duplicates, table.DUPLICATES)
    names = table.needed_columns(source.headers, columns)
    if min_weight is not None:
        min_weight = check_number("min_weight", min_weight)
        if names[2] is None:
            raise DataError("min_weight= needs a weight column, and there is none")
    user_ids = NewIds("user") if users is None else KnownIds(users)
    item_ids = NewIds("item") if items is None else KnownIds(items)
    rows = _Rows()
    read_rows(source, names, min_weight, user_ids, item_ids, progress, rows, on_bad_rows)
    with _worker(source, "recode") as other:
        recoded = other.submit(_recoded, user_ids, rows.users)
        new_items = _recoded(item_ids, rows.items)
        new_users = recoded.result()
    n_rows = rows.size
    merged, repetitions = merged_cells(
        rows.users.take(),
        rows.items.take(),
        rows.weights.take(),
        rows.times.take() if names[3] is not None else None,
        (len(new_users), len(new_items)),
        duplicates,
    )
    if repetitions is not None:
        raise repetitions.error(new_users, new_items)
    entries = Entries(new_users, new_items, *merged)
    if not quiet:
        table.warn_of_unused(source.headers, columns, names)
        warn_of_repetitions(n_rows - len(entries.indices), n_rows, duplicates, source.label)
    if min_weight is None:
        return entries
    return _at_least(min_weight, entries, source.label, users is None, items is None)


def _at_least(
    min_weight: float, entries: Entries, label: str, drop_users: bool, drop_items: bool
) -> Entries:
    """The entries of at least this weight; users and items that lose all of theirs are dropped."""
    users, items, weights, indices, indptr, times = entries
    kept = weights >= min_weight
    if not kept.any():
        raise DataError(
            f"{label}no interaction has a weight >= {min_weight:g}; the largest is "
            f"{weights.max():g}",
            parameter="min_weight",
            value=min_weight,
        )
    weights, indices = table.positive_float32(weights[kept]), indices[kept]
    indptr, times = csr.keep_entries(indptr, kept), None if times is None else times[kept]
    if drop_users:
        some = np.diff(indptr) > 0
        users, indptr = _some(users, some), indptr[np.append(True, some)]
    if drop_items:
        some = csr.counts(indices, len(items)) > 0
        indices = (np.cumsum(some) - 1).astype(indices.dtype)[indices]
        items = _some(items, some)
    return Entries(users, items, weights, indices, indptr, times)


def _some(ids: IdMap, kept: npt.NDArray[np.bool_]) -> IdMap:
    return ids if kept.all() else IdMap(ids.ids[kept], ids.what)


class _Column:
    """An array that grows at its end: in place, for large arrays, where the system can move pages
    instead of copying them. (Many small arrays would leave their memory in pieces.)"""

    def __init__(self, dtype: type[np.generic]) -> None:
        self.array: npt.NDArray[Any] = np.empty(0, dtype)
        self.size = 0

    def append(self, part: npt.NDArray[Any]) -> None:
        end = self.size + len(part)
        if end > len(self.array):
            self.array.resize(max(end, int(1.5 * len(self.array))), refcheck=False)
        self.array[self.size : end] = part
        self.size = end

    def blocks(self) -> Iterator[npt.NDArray[Any]]:
        """Writable views of all rows, one after the other."""
        for start in range(0, self.size, csr.BLOCK):
            yield self.array[start : min(start + csr.BLOCK, self.size)]

    def take(self) -> npt.NDArray[Any]:
        """The array, which is the caller's from now on."""
        array, self.array = self.array, self.array[:0].copy()
        array.resize(self.size, refcheck=False)
        return array


class _Rows:
    """The rows that were kept, in memory."""

    def __init__(self) -> None:
        self.users, self.items = _Column(np.int32), _Column(np.int32)
        self.weights, self.times = _Column(np.float32), _Column(np.int64)

    @property
    def size(self) -> int:
        return self.users.size

    def append(
        self, users: Codes32, items: Codes32, weights: table.Weights, times: table.Times | None
    ) -> None:
        self.users.append(users)
        self.items.append(items)
        self.weights.append(weights)
        if times is not None:
            self.times.append(times)


class Keeper(Protocol):
    """What keeps the rows of a table: in memory, or on disk."""

    @property
    def size(self) -> int:
        """The rows so far."""

    def append(
        self, users: Codes32, items: Codes32, weights: table.Weights, times: table.Times | None
    ) -> None:
        """More rows: codes of users and items, weights and times, (rows,) each."""


class Coder(Protocol):
    """What codes a column of ids, a block at a time."""

    def encode(self, column: Any, first_row: int) -> Codes32:
        """The codes of a block, (rows,) int32."""


def read_rows(
    source: Source,
    names: table.Columns,
    min_weight: float | None,
    user_ids: Coder,
    item_ids: Coder,
    progress: bool | None,
    rows: Keeper,
    on_bad_rows: str = "error",
) -> int:
    """Reads, codes and checks all rows, and hands the good ones to `rows` block by block. Returns
    the number of rows that were dropped. The other arguments are those of `read_entries`."""
    user, item, weight, time = names
    bad, kinds = BadRows(on_bad_rows), OneKind(time or "")
    columns = {user: user_ids, item: item_ids}
    blocks = source.blocks([name for name in names if name is not None], time)
    with (
        closing(_coded(source, blocks, columns)) as ahead,
        bar(source.rows, "reading", "row", progress) as shown,
    ):
        for block, codes in ahead:
            n = len(block.columns[user])
            for known in block.faults:
                bad.add(known)
            bad.total += n + block.dropped
            bad.bad += block.dropped
            if not n:
                continue
            found: list[tuple[str, list[Found]]] = []
            with block.errors():
                try:
                    (user_codes, odd), (item_codes, odd_items) = (code.result() for code in codes)
                    found += [("user", odd), ("item", odd_items)]
                    times = None
                    if time is not None:
                        column = moments(block.columns[time], time, block.first_row)
                        times, odd = times_of(column, time, block.first_row)
                        kinds.check(column, block.first_row, block.file)
                        found.append(("time", odd))
                    weights = np.ones(n, dtype=np.float32)
                    if weight is not None:
                        column = series(block.columns[weight])
                        weights, odd = weights_of(column, weight, block.first_row, min_weight)
                        found.append(("weight", odd))
                except DataError as error:
                    raise bad.error("", str(error)) if bad.faults else error from None
            faults = [fault for _, some in found for fault in some]
            for role, some in found:
                for fault in some:
                    bad.add(fault.at(block.place, role, block.file))
            if faults:
                good = ~np.logical_or.reduce([fault.mask for fault in faults])
                bad.bad += n - int(good.sum())
                user_codes, item_codes, weights = user_codes[good], item_codes[good], weights[good]
                times = None if times is None else times[good]
            rows.append(user_codes, item_codes, weights, times)
            shown.update(n)
    for note in getattr(source, "notes", ()):
        bad.note(note)
    if not bad.total:
        raise DataError(f"{source.label}the table has no rows")
    bad.end(source.label)
    if not rows.size:
        raise DataError(f"{source.label}the table has no rows")
    return bad.bad


class SerialExecutor(Executor):
    """Runs submitted tasks immediately, in the calling thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **options))
        except Exception as error:
            future.set_exception(error)
        return future


def _worker(source: Source, name: str) -> Executor:
    """The thread pool of this read, or a substitute without threads for small tables."""
    known = source.rows is not None and source.rows <= FEW_ROWS
    few = known or getattr(source, "small", False)
    return SerialExecutor() if few else ThreadPoolExecutor(1, f"recae-{name}")


def _coded(
    source: Source, blocks: Iterator[Block], columns: Mapping[str, Coder]
) -> Generator[tuple[Block, Codes]]:
    """The blocks with the codes of their columns of ids, which are computed one block ahead.

    A thread each for reading and for either column: they are most of the work, and leave the
    interpreter free.
    """
    with ExitStack() as stack:
        reader, *coders = (
            stack.enter_context(_worker(source, name)) for name in ("read", *columns)
        )
        following = reader.submit(next, blocks, None)
        waiting: tuple[Block, Codes] | None = None
        while True:
            try:
                block = following.result()
            except Exception:
                if waiting is not None:  # a mistake in the block before comes first
                    yield waiting
                raise
            if block is None:
                break
            following = reader.submit(next, blocks, None)
            if not len(block.columns[next(iter(columns))]) and not block.dropped:
                continue
            codes = [
                coder.submit(encoded, ids, block.columns[name], block.first_row)
                for coder, (name, ids) in zip(coders, columns.items(), strict=True)
            ]
            if waiting is not None:
                yield waiting
            waiting = block, codes
        if waiting is not None:
            yield waiting


def _recoded(ids: NewIds | KnownIds, codes: _Column) -> IdMap:
    """The map of the ids that occur; the codes become those of the map."""
    if isinstance(ids, KnownIds):
        return ids.ids
    used = np.zeros(ids.size, dtype=np.bool_)
    for block in codes.blocks():
        used[block] = True
    known, new = ids.finish(used)
    for block in codes.blocks():
        np.take(new, block, out=block, mode="clip")
    return known
