"""Rules in the items of a model: arrays in the order of its items, made once a request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary, ref

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch

from recae.data import IdMap, Interactions, ItemTable
from recae.errors import ConfigError, DataError
from recae.ranking.batches import Request
from recae.recommend.rules.choose import OwnSimilarity, VectorSimilarity
from recae.recommend.rules.declared import Rules, moment, wrong
from recae.recommend.rules.lists import cells_of_users, is_per_user, named, union

CODES = np.int64

ALIGNED: WeakKeyDictionary[ItemTable, dict[Any, tuple[Callable[[], IdMap | None], Any]]] = (
    WeakKeyDictionary()
)
"""Columns of tables in the items of the models that were asked."""


@dataclass
class Notes:
    """Counts of what rules did, for the answer: (rule, what) -> how many."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, rule: str, what: str, count: int) -> None:
        """Adds to a count; 0 makes no note."""
        if count:
            self.counts[rule, what] += count

    def listed(self) -> tuple[dict[str, Any], ...]:
        """One dict a rule: {"rule": name, what: count, ...}."""
        found: dict[str, dict[str, Any]] = {}
        for (rule, what), count in self.counts.items():
            found.setdefault(rule, {"rule": rule})[what] = count
        return tuple(found.values())


@dataclass
class Bound:
    """Rules that are bound to the items of a model. vectors: its item embeddings, when needed;
    similarities: of some items to all, for a model without embeddings."""

    rules: Rules
    items: IdMap
    vectors: Callable[[], torch.Tensor]
    similarities: Callable[[np.ndarray], torch.Tensor]
    notes: Notes = field(default_factory=Notes)
    places: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    def narrowed(self, request: Request) -> Request:
        """The request with `allow` and `block`, unless `allow` is for single users."""
        allowed, exclude = request.allowed, request.exclude
        allow, block = self.rules.allow, self.rules.block
        if allow is not None and not is_per_user(allow):
            mine = np.zeros(len(self.items), dtype=bool)
            codes = self._codes(allow, "allow")
            mine[codes] = True
            allowed = mine if allowed is None else allowed & mine
        if block is not None and is_per_user(block):
            exclude = union(exclude, self._cells(request.users, block, "block"))
        elif block is not None:
            allowed = np.ones(len(self.items), bool) if allowed is None else allowed.copy()
            allowed[self._codes(block, "block")] = False
        return replace(request, allowed=allowed, exclude=exclude)

    def allowed_cells(self, users: np.ndarray) -> tuple[np.ndarray, Any] | None:
        """Which rows may only be given some items, (rows,) bool, and these, CSR (rows, n_items)."""
        allow = self.rules.allow
        if allow is None or not is_per_user(allow):
            return None
        if hasattr(allow, "__len__") and not len(allow):
            return None
        cells = self._cells(users, allow, "allow")
        if cells is None:  # nobody who is named may be given anything
            none = np.empty(0, dtype=np.float32), (np.empty(0, CODES), np.empty(0, CODES))
            cells = sp.csr_matrix(none, shape=(len(users), len(self.items)))
        return np.isin(users, named_users(users, allow)), cells

    def included(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The codes of the items to include, and their places from 0, in the order of places."""
        if k not in self.places:  # what is ignored is noted once, however many parts are ranked
            self.places[k] = self._included(k)
        return self.places[k]

    def _included(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The columns and places of `include` that the model knows and that are among the first k,
        by place."""
        given = self.rules.include or {}
        known = self._codes_of_each(list(given), "include")
        pairs = sorted(
            (int(place) - 1, int(code))
            for place, code in zip(given.values(), known, strict=True)
            if code >= 0
        )
        fit = [(place, code) for place, code in pairs if place < k]
        self.notes.add("include", "beyond_k", len(pairs) - len(fit))
        places, codes = np.array(fit, dtype=CODES).reshape(-1, 2).T
        return codes, places

    @cached_property
    def factors(self) -> np.ndarray | None:
        """How many times as far each item is above the lowest score, (n_items,); None for all 1."""
        if not self.rules.scales:
            return None
        factors = np.ones(len(self.items))
        if self.rules.boosts:
            codes = self._codes_of_each(list(self.rules.boosts), "boosts")
            values = np.array(list(self.rules.boosts.values()), dtype=np.float64)
            factors[codes[codes >= 0]] = values[codes >= 0]
        if self.rules.half_life is not None:
            factors *= 0.5 ** (self._ages() / self.rules.half_life)
        return factors.astype(np.float32)

    @cached_property
    def categories(self) -> tuple[np.ndarray, int]:
        """The categories of each item, (n_items, most), padded with their number; and this."""
        if self.rules.category is None:
            return np.zeros((len(self.items), 1), dtype=CODES), 0
        found: tuple[np.ndarray, int] = self._aligned(self.rules.category, self._padded)
        return found

    def similarity(self, items: np.ndarray) -> VectorSimilarity | OwnSimilarity:
        """What tells how similar candidates are, (rows, pool) codes, without categories.

        Raises ConfigError for a model that learns nothing about items.
        """
        if self._embeddings is not None:
            return VectorSimilarity(self._embeddings, items)
        try:
            self.similarities(np.empty(0, dtype=CODES))
        except ConfigError as error:
            raise wrong(
                f"diversity by mmr needs the categories of items or a model that compares them, "
                f"and {error}; give category= and table=",
                "category",
            ) from None
        return OwnSimilarity(self.similarities, items)

    @property
    def width(self) -> int:
        """How many numbers `similarity` holds of each candidate."""
        return 1 if self._embeddings is None else self._embeddings.shape[1]

    @cached_property
    def _embeddings(self) -> torch.Tensor | None:
        """The item embeddings, (n_items, latent); None for a model without any."""
        try:
            return self.vectors()
        except ConfigError:
            return None

    def _padded(self, table: ItemTable, column: str) -> tuple[np.ndarray, int]:
        # No warning of items without a category: it would come with the first answer of a service.
        options: dict[str, Any] = {"separator": self.rules.separator, "tell": False}
        matrix = table.categories(self.items, column, **options)[1].tocsr()
        lengths = np.diff(matrix.indptr)
        padded = np.full((matrix.shape[0], max(int(lengths.max(initial=0)), 1)), matrix.shape[1])
        rows = np.repeat(np.arange(matrix.shape[0]), lengths)
        places = np.arange(matrix.nnz) - np.repeat(matrix.indptr[:-1], lengths)
        padded[rows, places] = matrix.indices
        return padded.astype(CODES), matrix.shape[1]

    def _days(self, table: ItemTable, column: str) -> np.ndarray:
        """Days since 1970 of each item's date, (n_items,): the median of all without one."""
        values = table.rows(self.items, required=True)[column]
        try:
            if pd.api.types.is_numeric_dtype(values.dtype):
                raise ValueError
            dates = pd.to_datetime(values, utc=True, format="ISO8601")
        except (ValueError, TypeError, OverflowError):
            raise DataError(
                f"column {column!r} must have dates, as datetimes or ISO texts such as 2026-11-29; "
                f"one is {_no_date(values)!r:.80}",
                parameter="date",
                value=column,
            ) from None
        nanoseconds = dates.dt.tz_convert(None).to_numpy(dtype="datetime64[ns]")
        days: np.ndarray = nanoseconds.astype(np.int64) / 8.64e13
        known = ~np.isnat(nanoseconds)
        if not known.any():
            raise DataError(f"no item of the model has a date in the column {column!r}")
        return np.where(known, days, np.median(days[known]))

    def _ages(self) -> np.ndarray:
        """Days from each item's date to now, (n_items,), >= 0."""
        days, now = self._aligned(self.rules.date, self._days), self.rules.now
        last = days.max() if now is None else moment(now).timestamp() / 86_400
        ages: np.ndarray = np.maximum(last - days, 0)
        return ages

    def _aligned(self, column: str, make: Callable[[ItemTable, str], Any]) -> Any:
        """What is made of a column of the table for the items of the model, kept for later calls
        with both."""
        table = self.rules.table
        assert isinstance(table, ItemTable)
        kept = ALIGNED.setdefault(table, {})
        key = (id(self.items), column, make.__name__, self.rules.separator)
        items, found = kept.get(key, (lambda: None, None))
        if items() is not self.items:
            found = make(table, column)
            for old in [old for old, (items, _) in [*kept.items()] if items() is None]:
                kept.pop(old, None)  # of models that are gone
            kept[key] = ref(self.items), found
        return found

    def _codes(self, given: Any, rule: str) -> np.ndarray:
        codes = self._codes_of_each(given, rule)
        known: np.ndarray = codes[codes >= 0]
        return known

    def _codes_of_each(self, given: Any, rule: str) -> np.ndarray:
        if not len(given):
            return np.empty(0, dtype=CODES)
        with named(rule, given):
            codes = self.items.seek(given)
        if (codes < 0).any():  # the same for every batch
            self.notes.counts[rule, "unknown"] = int((codes < 0).sum())
        return codes

    def _cells(self, users: np.ndarray, given: Any, rule: str) -> Any | None:
        with named(rule, given):
            given = _with_users_of(users, given)
            return cells_of_users(users, self.items, given, rule, "ignore", self._tell)

    def _tell(self, rule: str, unknown: int, of: int, first: object) -> None:
        self.notes.counts[rule, "unknown"] = unknown  # the same for every batch


def named_users(users: np.ndarray, given: Any) -> np.ndarray:
    """The users that a mapping, a table or Interactions name, (n,) ids."""
    given = _with_users_of(users, given)
    if isinstance(given, Mapping):
        return IdMap([*given], "user").ids
    if isinstance(given, Interactions):
        return np.asarray(given.users.ids)
    return IdMap.from_values(given["user_id"], "user")[0].ids


def _with_users_of(users: np.ndarray, given: Any) -> Any:
    """{user: items} with integer users where the users are integers and JSON made them texts."""
    if not isinstance(given, Mapping) or users.dtype.kind not in "iu" or not given:
        return given
    if not all(isinstance(user, str) and user.removeprefix("-").isdecimal() for user in given):
        return given
    return {int(user): items for user, items in given.items()}


def _no_date(values: pd.Series[Any]) -> Any:
    """The first value of a column that is no date; None if all are."""
    given = values[values.notna()]
    if not pd.api.types.is_numeric_dtype(given.dtype):
        given = given[[not _is_date(value) for value in given]]
    return next(iter(given.tolist()), None)


def _is_date(value: Any) -> bool:
    try:
        pd.to_datetime(value, utc=True, format="ISO8601")
    except (ValueError, TypeError, OverflowError):
        return False
    return True
