"""Interactions: a sparse user-item matrix with two id maps and optional timestamps."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from recae.data import csr, filters
from recae.data.idmap import IdMap
from recae.data.scratch import empty_like
from recae.data.tables import columns as table
from recae.data.tables.entries import read_entries
from recae.data.tables.sources import as_source, is_table, remedy
from recae.errors import DataError, explained
from recae.system.display import html_table


@explained
@dataclass(frozen=True, eq=False, repr=False)
class Interactions:
    """A frozen (users x items) matrix of positive weights, with the ids of its rows and columns.

    matrix: (n_users, n_items) float32 scipy csr_matrix in canonical form: columns ascending in each
    row, no cell twice, weights finite and > 0. users, items: the ids of its rows and columns.
    times: (nnz,) int64 beside `matrix.data`, or None; nanoseconds since 1970 if they were read from
    dates, else in the unit of the table. Arrays are copied in and are read-only afterwards.

    Build one with `from_frame`, `from_csr` or a reader. Raises DataError if the parts do not fit.

    >>> import pandas as pd, recae
    >>> plays = pd.DataFrame({"user_id": ["a", "a", "b"], "item_id": [7, 8, 7]})
    >>> recae.Interactions.from_frame(plays)
    Interactions(2 users x 2 items, 3 interactions, density 75 %)
    """

    matrix: csr.Matrix
    users: IdMap
    items: IdMap
    times: table.Times | None = None

    def __post_init__(self) -> None:
        matrix = self.matrix
        csr.check_canonical(matrix)
        _check_sizes(matrix, self.users, self.items)
        weights = _weights(matrix)
        if np.may_share_memory(weights, matrix.data):
            weights = weights.copy()
        times = None if self.times is None else table.checked_times(self.times, matrix.nnz)
        self._set(
            self.users, self.items, weights, matrix.indices.copy(), matrix.indptr.copy(), times
        )

    def _set(
        self,
        users: IdMap,
        items: IdMap,
        data: table.Weights,
        indices: npt.NDArray[Any],
        indptr: npt.NDArray[Any],
        times: table.Times | None,
    ) -> None:
        """Sets the fields of this frozen object, once; the arrays become read-only and are not
        copied."""
        matrix = csr.frozen_csr(data, indices, indptr, (len(users), len(items)))
        if times is not None:
            times.setflags(write=False)
        vars(self).update(matrix=matrix, users=users, items=items, times=times)  # it is frozen

    @classmethod
    def _owning(cls, *parts: Any) -> Interactions:
        """The parts of `_set` are valid and not used elsewhere: no checks, no copies."""
        new = object.__new__(cls)
        new._set(*parts)
        return new

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        user: str = "user_id",
        item: str = "item_id",
        weight: str | None = table.DEFAULT_WEIGHT,
        time: str | None = table.DEFAULT_TIME,
        duplicates: str = "last",
        min_weight: float | None = None,
        users: IdMap | None = None,
        items: IdMap | None = None,
        on_bad_rows: str = "error",
        progress: bool | None = None,
    ) -> Interactions:
        """Interactions of a frame with a row for each; the order of the rows does not matter.

        frame: pandas, polars, an Arrow table, batch, reader or dataset, a `datasets.Dataset`, a
        DuckDB relation, a cursor or SQLAlchemy result of an executed query, or anything else with
        the Arrow (`__arrow_c_stream__`) or dataframe interchange (`__dataframe__`) protocol. Pass a
        reader, cursor or result before anything is fetched from it: few of them tell that rows are
        missing. user, item, weight, time: column names. Weight and time may be absent under their
        default names (weights are then 1); None leaves the column unused. duplicates: the treatment
        of repeated (user, item) pairs. "last" keeps the last in time (in row order if times tie or
        there are none). The others are "first", "sum" (at the latest time), "max" (at its own time)
        and "error". min_weight: keep the interactions of at least this weight once repeated pairs
        are merged, as `filter` does; rows below it may have any finite weight. users, items: known
        ids to code against; by default those of what is kept, ascending. on_bad_rows: "error"
        refuses rows with missing or unusable values, "drop" leaves them out and warns with their
        number. progress: True, False, or None to ask the terminal.

        Raises one DataError with every fault, its first row and the count. The faults are absent
        columns, no rows, bad ids (see `as_ids`), ids unknown to a given map, weights that are not
        finite and > 0, and times that are neither dates nor whole numbers. ConfigError for another
        value of `duplicates` or `on_bad_rows`, and for a `min_weight` that is not a finite number.

        >>> plays = pd.DataFrame({"who": ["a", "a"], "what": [7, 7], "weight": [1, 2]})
        >>> sums = recae.Interactions.from_frame(plays, user="who", item="what", duplicates="sum")
        >>> sums.matrix.toarray()
        array([[3.]], dtype=float32)
        """
        source, columns = as_source(frame), (user, item, weight, time)
        entries = read_entries(
            source, columns, duplicates, min_weight, progress, users, items, on_bad_rows
        )
        return cls._owning(*entries)

    @classmethod
    def from_csr(cls, matrix: csr.Matrix, *, users: Any = None, items: Any = None) -> Interactions:
        """Interactions of any scipy sparse matrix or array, (n_users, n_items); it is not changed.

        users, items: the ids of rows and columns (a list, an array or an IdMap), by default
        0..n-1. Cells stored twice are added up, stored zeros dropped. Raises DataError for anything
        that is not sparse, for weights that are not finite and > 0, and for ids that do not fit.

        >>> matrix = scipy.sparse.csr_matrix([[0, 2.0], [1.0, 0]])
        >>> recae.Interactions.from_csr(matrix, items=["a", "b"]).to_frame()["item_id"].tolist()
        ['b', 'a']
        """
        canonical = csr.canonical_csr(matrix)
        n_users, n_items = canonical.shape
        user_map = IdMap.range(n_users, "user") if users is None else _as_map(users, "user")
        item_map = IdMap.range(n_items, "item") if items is None else _as_map(items, "item")
        _check_sizes(canonical, user_map, item_map)
        weights = _weights(canonical)
        return cls._owning(user_map, item_map, weights, canonical.indices, canonical.indptr, None)

    @property
    def n_users(self) -> int:
        """The number of rows, users without interactions among them."""
        return len(self.users)

    @property
    def n_items(self) -> int:
        """The number of columns, items without interactions among them."""
        return len(self.items)

    @property
    def nnz(self) -> int:
        """The number of interactions."""
        return len(self.matrix.data)

    @cached_property
    def weighted(self) -> bool:
        """Whether any weight differs from 1."""
        data = self.matrix.data
        return any((data[at : at + csr.BLOCK] != 1).any() for at in range(0, len(data), csr.BLOCK))

    @property
    def density(self) -> float:
        """The share of cells that hold an interaction; 0 where there are no cells."""
        return self.nnz / max(self.n_users * self.n_items, 1)

    def keep(self, mask: npt.NDArray[np.bool_]) -> Interactions:
        """The interactions where `mask`, (nnz,) bool beside `matrix.data`, is true; ids stay.

        Raises DataError for a mask of another shape or type.

        >>> data.keep(data.matrix.indices != 0).nnz  # without item 0
        8
        """
        matrix, mask = self.matrix, np.asarray(mask)
        if mask.shape != (self.nnz,) or mask.dtype != np.bool_:
            raise DataError(
                f"mask must be ({self.nnz},) bool, one for each interaction, not {mask.shape} "
                f"{mask.dtype}"
            )
        indptr = csr.keep_entries(matrix.indptr, mask)
        times = None if self.times is None else csr.masked(self.times, mask)
        data, indices = csr.masked(matrix.data, mask), csr.masked(matrix.indices, mask)
        return self._owning(self.users, self.items, data, indices, indptr, times)

    def select_users(self, codes: npt.ArrayLike) -> Interactions:
        """The rows of these distinct user codes, (n,) integers, in this order, with their ids.

        Raises DataError for codes outside 0..n_users-1 and for repeated ones.

        >>> data.select_users([3, 1]).users.ids.tolist()
        [3, 1]
        """
        rows = self.users._checked(codes)
        if np.array_equal(rows, np.arange(self.n_users)):
            return self
        return self._take_rows(rows, self.users.subset(rows))

    def select_items(self, codes: npt.ArrayLike) -> Interactions:
        """The columns of these distinct item codes, (n,) integers, in this order, with their ids.

        Raises DataError for codes outside 0..n_items-1 and for repeated ones.

        >>> data.select_items([2]).nnz
        3
        """
        return self.with_items(self.items.subset(codes))[0]

    def with_users(self, users: IdMap | Any) -> Interactions:
        """The same interactions with a row for each of `users` (an IdMap or ids), matched by id.

        Users that have no row here get an empty one. Raises DataError if `users` lacks one of this
        object's: drop those first, with `select_users`.

        >>> data.with_users([5, 4, 3, 2, 1, 0]).matrix.indptr.tolist()  # user 5 is new
        [0, 0, 2, 4, 6, 9, 11]
        """
        if (users := _as_map(users, "user")) == self.users:
            return self
        users._codes_of(self.users, required=True)
        return self._take_rows(self.users._codes_of(users), users)

    def _take_rows(self, rows: csr.Index, users: IdMap) -> Interactions:
        matrix, beside = self.matrix, () if self.times is None else (self.times,)
        (data, indices, *times), indptr = csr.take_rows(
            matrix.indptr, rows, matrix.data, matrix.indices, *beside
        )
        return self._owning(users, self.items, data, indices, indptr, times[0] if times else None)

    def with_items(self, items: IdMap | Any) -> tuple[Interactions, int]:
        """The same users over other items (an IdMap or ids), matched by id.

        Returns the interactions, and the number of those left out because `items` lacks their item.
        Raises DataError for ids that are repeated, or text where those here are integers.

        >>> some, left_out = data.with_items([2, 0])
        >>> some.nnz, left_out
        (6, 5)
        """
        items = _as_map(items, "item")
        if items == self.items:
            return self, 0
        columns = items._codes_of(self.items)
        known = columns >= 0
        kept = self if known.all() else self.keep(known[self.matrix.indices])
        matrix, times = kept.matrix, kept.times
        if not kept.nnz:  # also where there are no items at all
            return self._owning(
                self.users, items, matrix.data, matrix.indices, matrix.indptr, times
            ), self.nnz
        indices, places = csr.moved_columns(matrix, columns)
        data = matrix.data
        if places is not None:
            data, times = data[places], None if times is None else times[places]
        moved = self._owning(self.users, items, data, indices, matrix.indptr, times)
        return moved, self.nnz - kept.nnz

    def binarised(self) -> Interactions:
        """The same interactions with every weight 1; themselves where that is so already.

        >>> data.binarised().weighted
        False
        """
        if not self.weighted:
            return self
        matrix, ones = self.matrix, empty_like(self.matrix.data, self.nnz)
        ones[:] = 1
        return self._owning(self.users, self.items, ones, matrix.indices, matrix.indptr, self.times)

    def filter(
        self,
        *,
        min_weight: float | None = None,
        min_per_item: int = 0,
        min_per_user: int = 0,
        binarise: bool = False,
    ) -> Interactions:
        """Applies each filter once, in this order (Liang et al. 2018):

        1. interactions with weight >= `min_weight` stay;
        2. items with at least `min_per_item` of those stay;
        3. users with at least `min_per_user` of the remaining ones stay;
        4. with `binarise`, all weights become 1.

        Not iterated: step 3 can leave an item with fewer than `min_per_item` interactions; see
        `k_core`. Users and items without interactions leave the id maps; the others keep their
        order. Raises DataError, naming the filter, if nothing is left; ConfigError for a negative
        count.

        >>> data.filter(min_per_user=3).users.ids.tolist()
        [1]
        """
        kept = self.keep(filters.passing(self.matrix, min_weight, min_per_item, min_per_user))
        kept = kept.select_users(np.flatnonzero(np.diff(kept.matrix.indptr)))
        kept = kept.select_items(np.flatnonzero(csr.column_counts(kept.matrix)))
        return kept.binarised() if binarise else kept

    def k_core(self, min_per_user: int = 5, min_per_item: int = 5) -> Interactions:
        """The k-core: the largest part in which every user and every item has enough interactions.

        Repeatedly drops users and items with too few interactions until nothing changes; the others
        keep their order. Raises ConfigError for counts below 1, DataError if nothing is left.

        >>> plays = pd.DataFrame({"user_id": [1, 1, 2, 2, 3], "item_id": [7, 8, 7, 8, 9]})
        >>> recae.Interactions.from_frame(plays).k_core(2, 2).users.ids.tolist()
        [1, 2]
        """
        users, items = filters.k_core(self.matrix, min_per_user, min_per_item)
        return self.select_users(np.flatnonzero(users)).select_items(np.flatnonzero(items))

    def to_frame(self) -> pd.DataFrame:
        """A row for each interaction: columns user_id, item_id, weight and, with times, timestamp.

        >>> data.to_frame().head(2)
           user_id  item_id  weight
        0        0        0     1.0
        1        0        1     1.0
        """
        matrix = self.matrix
        users = self.users.ids[csr.row_numbers(matrix.indptr)]
        items = self.items.ids[matrix.indices]
        columns = {"user_id": users, "item_id": items, "weight": matrix.data.copy()}
        if self.times is not None:
            columns["timestamp"] = self.times.copy()
        return pd.DataFrame(columns, copy=False)

    def fingerprint(self) -> str:
        """16 hex digits that change with the ids, their order, or any weight; not with times.

        >>> data.fingerprint() == data.binarised().fingerprint()  # all its weights are 1
        True
        """
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:  # stored data know it already
        ids = itertools.chain(self.users.byte_pieces(), self.items.byte_pieces())
        return csr.fingerprint(ids, self.matrix)

    def __repr__(self) -> str:
        parts = [f"{self.n_users:,} users x {self.n_items:,} items, {self.nnz:,} interactions"]
        if self.weighted:
            parts.append(f"weights {self.matrix.data.min():g} to {self.matrix.data.max():g}")
        parts.append(f"density {float(f'{100 * self.density:.2g}'):g} %")
        return f"Interactions({', '.join(parts)})"

    def _repr_html_(self) -> str:
        counts = ("users", self.n_users), ("items", self.n_items), ("interactions", self.nnz)
        return html_table(repr(self), ("", "count"), counts)


def as_interactions(given: Any, items: IdMap | None = None) -> Interactions:
    """Interactions as given, from a table with the default column names, or from a scipy matrix.

    A matrix must be in the order of `items` (a model's own), if those are given. Raises DataError.
    """
    if isinstance(given, Interactions):
        return given
    if is_table(given):
        return Interactions.from_frame(given)
    if csr.is_sparse(given):
        if items is not None and given.ndim == 2 and given.shape[1] != len(items):
            raise DataError(
                f"history has {given.shape[1]} item columns; this model was fitted on "
                f"{len(items)}; encode it with model.items_, or give a frame or Interactions"
            )
        return Interactions.from_csr(given, items=items)
    a_file = isinstance(given, str | os.PathLike)
    hint = f"; recae.read_table({os.fspath(given)!r}) reads a file" if a_file else remedy(given)
    raise DataError(
        f"expected Interactions, a table or a scipy sparse matrix, not {type(given).__name__}{hint}"
    )


def _check_sizes(matrix: csr.Matrix, users: IdMap, items: IdMap) -> None:
    for n, ids in zip(matrix.shape, (users, items), strict=True):
        if n != len(ids):
            raise DataError(f"the matrix has {n:,} {ids.what}s, but {len(ids):,} {ids.what} ids")


def _weights(matrix: csr.Matrix) -> table.Weights:
    """The checked weights; they share memory with the matrix where they can."""
    if matrix.data.dtype == np.float32 and np.isfinite(matrix.data).all():
        return table.positive_float32(matrix.data)
    column = pd.Series(matrix.data, copy=False)
    return table.positive_float32(table.number_array(column, "matrix.data"))


def _as_map(ids: Any, what: str) -> IdMap:
    return ids if isinstance(ids, IdMap) else IdMap(ids, what)
