"""The fast answer for one user: plain lists in and out, on the thread of the caller."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
import torch

from recae.data import IdMap
from recae.data.ids import show
from recae.errors import DataError, check_flag, check_integer, check_option
from recae.estimators.params import Estimator
from recae.nn.products import FactoredScores
from recae.ranking.batches import Request, RowScores
from recae.ranking.coarse import Coarse
from recae.ranking.one_row import Columns, Scores, best_of_row, one_row
from recae.recommend.requests import is_list
from recae.recommend.rules.declared import Rules, check_rules
from recae.recommend.rules.ranked import Ruled
from recae.system.threads import survives_fork

Note = Mapping[str, Any]


class UserList(tuple[list[Any], list[float]]):
    """The answer of `recommend_ids`: a pair of lists, (item ids, scores), best first.

    unknown: how many ids of the history the model does not know. notes: what rules did, and why
    there are fewer than k items, as dictionaries: `{"rule": name, ...counts}`.

    >>> ids, scores = recae.Popularity().fit(data).recommend_ids([0], k=1)
    >>> ids, scores
    ([1], [3.0])
    """

    unknown: int
    notes: tuple[Note, ...]

    def __new__(
        cls,
        ids: list[Any],
        scores: list[float],
        unknown: int = 0,
        notes: Iterable[Note] = (),
    ) -> UserList:
        made = super().__new__(cls, (ids, scores))
        made.unknown, made.notes = unknown, tuple(notes)
        return made

    def __getnewargs__(self) -> tuple[Any, ...]:  # for copies and for other processes
        return (*self, self.unknown, self.notes)


class OneUser(Estimator, ABC):
    """`recommend_ids` of a fitted recommender."""

    needs_history: ClassVar[bool] = True
    items_: IdMap
    _constant: bool = False
    """Whether the arrays stay as they are: those of a loaded model do."""
    _coarse: tuple[torch.Tensor, Coarse | None] | None = None

    @survives_fork
    def recommend_ids(
        self,
        history: Any,
        k: int = 10,
        *,
        exclude_seen: bool = True,
        items: Any = None,
        exclude_items: Any = None,
        rules: Rules | None = None,
        on_unknown: str = "popular",
    ) -> UserList:
        """The best k items for one history: `(ids, scores)`, two plain lists, best first.

        The list of `recommend` for this history, without a frame: made for services, where it
        takes about a millisecond. history: item ids of the model's kind, in any order. Ids that the
        model does not know are ignored and counted in `.unknown` of the answer; an id that is there
        twice counts once. exclude_seen: leave out the items of the history. items: the only items
        allowed. exclude_items: items never to return. rules: business rules. on_unknown: for a
        history without a known item, give "popular" items, or "raise" a DataError. Scores differ
        from those of `recommend` by at most 1e-5 relative to the largest. `.notes` of the answer
        says why there are fewer than k items, and how many ids in `items` and `exclude_items` are
        unknown.

        Many threads may call it at once, and each call computes on the thread that calls. Raises
        DataError for what is no list of ids, for ids of another kind, and where the model knows
        none of `items`; ConfigError for the options.

        >>> answer = recae.Popularity().fit(data).recommend_ids([0, 99], k=1)
        >>> answer, answer.unknown
        (([1], [3.0]), 1)
        """
        self._check_fitted()
        asked = check_integer("k", k)
        seen = check_flag("exclude_seen", exclude_seen)
        check_option("on_unknown", on_unknown, ("popular", "raise"))
        found, unknown = _find(self.items_, history, "history")
        codes = np.array(sorted({*found}), dtype=np.int64)
        notes: list[Note] = []
        allowed = None if items is None else _allowed(self.items_, items, notes)
        hidden = None if exclude_items is None else _hidden(self.items_, exclude_items, notes)

        scores: RowScores | Scores
        if len(codes) or (on_unknown == "raise" and not self.needs_history):
            scores = self._score_one(codes)
        elif on_unknown == "popular":
            scores = self._popularity().astype(np.float32)
        else:
            raise DataError(
                f"the model knows none of the {unknown:,} items of this history: pass "
                "on_unknown='popular' for popular items",
                parameter="history",
                value=history,
            )
        hide = codes if seen else codes[:0]
        if hidden is not None:
            hide = np.concatenate([hide, hidden])
        if rules is None and allowed is None:
            best, values = self._best(scores, asked, hide)
        elif rules is None:
            everything = one_row(scores)
            row = np.full_like(everything, -np.inf)
            row[allowed] = everything[allowed]
            row[hide] = -np.inf
            best, values = best_of_row(row, asked)
        else:
            may = np.full(len(self.items_), allowed is None)
            if allowed is not None:
                may[allowed] = True
            may[hide] = False
            best, values = self._under(rules, codes, one_row(scores), asked, may, notes)
        if len(best) < asked:
            notes.append({"rule": "short", "asked": asked, "found": len(best)})
        return UserList(self.items_.ids[best].tolist(), values.tolist(), unknown, notes)

    def _best(self, scores: RowScores | Scores, k: int, hidden: Columns) -> tuple[Columns, Scores]:
        """The best k columns but for the hidden ones, and their scores."""
        if self._constant and isinstance(scores, FactoredScores) and scores.minus is None:
            kept = self._coarse
            if kept is None or kept[0].data_ptr() != scores.columns.data_ptr():
                kept = self._coarse = scores.columns, Coarse.of(scores.columns)
            found = None if kept[1] is None else kept[1].best(scores, k, hidden)
            if found is not None:
                return found
        row = one_row(scores)
        row[hidden] = -np.inf
        return best_of_row(row, k)

    def _under(
        self,
        rules: Rules,
        codes: np.ndarray,
        scores: np.ndarray,
        k: int,
        may: np.ndarray,
        notes: list[Note],
    ) -> tuple[np.ndarray, np.ndarray]:
        """The best k columns and their scores under rules. may: (n_items,) bool, what may come."""
        row = _row(codes, len(self.items_))
        # The scores of what may not come count for the lowest score, as in `recommend`.
        request = Request(np.zeros(1, dtype=np.int64), row, np.ones(1, dtype=bool), allowed=may)

        def score_rows(_: Any) -> torch.Tensor:
            return torch.from_numpy(scores[None])

        own = check_rules(rules).of_user(None)  # whose history this is, is not known
        how = self.items_, self._item_vectors, self._similarities
        ruled = Ruled.of(score_rows, request, own, *how)
        best, values = ruled.row(scores, min(k, len(self.items_)))
        notes += ruled.notes
        return best, values

    def _score_one(self, codes: np.ndarray) -> RowScores | Scores:
        """The scores of one history, fresh: of one row, or (n_items,). codes: its items,
        ascending."""
        return self._score_rows(_row(codes, len(self.items_)))

    @abstractmethod
    def _score_rows(self, matrix: Any) -> RowScores:
        """Scores of CSR histories in the model's item order: a fresh (rows, n_items) float32, or
        `BlockScores` such as products of factors, which are ranked without being held."""

    @abstractmethod
    def _item_vectors(self) -> torch.Tensor:
        """One vector per item in the order of `items_`, (n_items, latent) float32."""

    @abstractmethod
    def _similarities(self, codes: np.ndarray) -> torch.Tensor:
        """The similarities of some items to all, a fresh (len(codes), n_items)."""

    @abstractmethod
    def _popularity(self) -> np.ndarray:
        """Scores for users of whom nothing is known, (n_items,)."""


def _row(codes: np.ndarray, n_items: int) -> Any:
    """A history as CSR (1, n_items) of ones. codes: ascending."""
    cells = np.ones(len(codes), dtype=np.float32), codes.astype(np.int32), [0, len(codes)]
    return sp.csr_matrix(cells, shape=(1, n_items))


def _find(known: IdMap, given: Any, parameter: str) -> tuple[list[int], int]:
    """The codes of a list of ids, and how many are unknown."""
    if not isinstance(given, list | tuple):
        if isinstance(given, Mapping) or not is_list(given):
            raise DataError(
                f"{parameter} must be a list of item ids, not {type(given).__name__}",
                parameter=parameter,
                value=given,
            )
        # Arrays know the types of their elements; sets and generators become lists.
        given = given if hasattr(given, "dtype") or hasattr(given, "to_pandas") else [*given]
    try:
        return known.find(given)
    except DataError as error:
        raise DataError(f"{parameter}: {error}", parameter=parameter, value=given) from None


def _allowed(known: IdMap, items: Any, notes: list[Note]) -> np.ndarray:
    """The columns of `items`, in their order. Raises DataError if the model knows none of them."""
    codes, unknown = _find(known, items, "items")
    if unknown and not codes:
        first = next(iter(items))
        raise DataError(
            f"the model knows none of the {unknown:,} item ids in items, the first {show(first)}: "
            "nothing is left to list",
            parameter="items",
            value=items,
        )
    return _noted("items", codes, unknown, notes)


def _hidden(known: IdMap, items: Any, notes: list[Note]) -> np.ndarray:
    return _noted("exclude_items", *_find(known, items, "exclude_items"), notes)


def _noted(rule: str, codes: list[int], unknown: int, notes: list[Note]) -> np.ndarray:
    if unknown:
        notes.append({"rule": rule, "unknown": unknown})
    return np.array(codes, dtype=np.int64)
