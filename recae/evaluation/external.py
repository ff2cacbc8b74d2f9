"""Evaluates other systems, given as a scoring function or as recommendation lists."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from recae.data import IdMap, Interactions, as_interactions, read_columns
from recae.data.csr import cells
from recae.data.ids import show
from recae.data.splits import Fold
from recae.data.tables.columns import number_array
from recae.errors import ConfigError, DataError, check_option, explained, warn
from recae.metrics import FloatArray, IntArray
from recae.ranking.batches import RankedLists, rows_per_batch
from recae.ranking.top_k import TopK

RANK, SCORE = "rank", "score"


@explained
class Scorer:
    """A function that scores histories; `evaluate` masks and ranks its scores and measures the
    lists.

    score: called with a scipy csr_matrix (rows, n_items) float32 of histories whose columns are
    `items`. It returns a numpy array or torch tensor (rows, n_items) of numbers, higher is better,
    or -inf for an item that must not be recommended. Scores are rounded to float32; equal scores
    are in the order of `items`. It is called batch by batch and sees no user ids: a system that
    needs them is measured by its `Lists`. items: the ids of the columns, (n_items,) integers or
    text. train: what the system was fitted on, for novelty, popularity and the items' training
    users. name: what reports call it.

    Raises ConfigError if `score` cannot be called, DataError for bad ids; `evaluate` raises
    DataError for scores of another shape, or NaN.

    >>> from recae.evaluation import Scorer
    >>> split = recae.data.splits.holdout_pairs(data, 0.5)
    >>> together = (split.train.matrix.T @ split.train.matrix).toarray()
    >>> theirs = Scorer(lambda histories: histories @ together, items=split.train.items)
    >>> recae.evaluate(theirs, split.validation, ["recall@4"])["recall@4"]
    1.0
    """

    def __init__(
        self,
        score: Callable[[Any], Any],
        items: Any,
        *,
        train: Interactions | Any | None = None,
        name: str = "their model",
    ) -> None:
        if not callable(score):
            raise ConfigError(f"score must be a function of histories, not {type(score).__name__}")
        self.score, self.name = score, name
        self.items = items if isinstance(items, IdMap) else IdMap(items, "item")
        self.train = None if train is None else as_interactions(train)

    def __repr__(self) -> str:
        return f"Scorer({self.name!r})"

    def get_params(self) -> dict[str, Any]:
        """The settings are unknown; the name may contain them.

        >>> recae.evaluation.Scorer(lambda histories: histories.toarray(), ["a", "b"]).get_params()
        {}
        """
        return {}

    def _score_rows(self, matrix: Any) -> Tensor:
        """The scores of a batch as a fresh tensor (rows, n_items) float32."""
        if not matrix.shape[0]:  # many functions fail for no rows
            return torch.empty(matrix.shape)
        given = self.score(matrix)
        try:
            if isinstance(given, Tensor):
                scores = given.detach().to(dtype=torch.float32, copy=True)
            else:
                array = np.asarray(given)
                if array.dtype.kind not in "fiu":
                    raise TypeError(f"of {array.dtype}")
                with np.errstate(over="ignore"):  # beyond float32 numbers become inf: see below
                    scores = torch.from_numpy(np.array(array, dtype=np.float32, order="C"))
        except (TypeError, ValueError, RuntimeError) as error:
            raise DataError(
                f"{self.name!r} must return an array or tensor of numbers, not "
                f"{type(given).__name__} ({' '.join(str(error).split())})"
            ) from None
        if tuple(scores.shape) != matrix.shape:
            raise DataError(
                f"{self.name!r} must return scores of shape {matrix.shape}, a row for each history "
                f"and a column for each of its items; it returned {tuple(scores.shape)}"
            )
        bad = torch.isnan(scores) | torch.isposinf(scores)
        if bool(bad.any()):
            row, column = (int(place) for place in bad.nonzero()[0])
            raise DataError(
                f"{self.name!r} returned {float(scores[row, column])} in row {row} of a batch, "
                f"item {self.items.ids[column]!r} ({int(bad.sum()):,} of {bad.numel():,} scores); "
                "every score must be finite, or -inf for an item that must not be recommended"
            )
        return scores


@explained
class Lists:
    """Top-k lists that any system made for the users of a fold; `evaluate` measures them.

    table: a row for each recommendation, as a frame (pandas, polars, Arrow) or as Parquet or text
    files, which may be what `export` wrote. Users and items are matched by id. rank: the column of
    ranks, integers of which the lowest is the best; only their order counts. score: where there are
    no ranks, the column of scores, highest first, equal ones in the order of the fold's items.
    train: what the system was fitted on, for novelty, popularity and the items' training users.
    name: what reports call it.

    on_missing: "raise" refuses lists that lack a user of the fold, "empty" counts them as misses.
    on_masked: "raise" refuses items that the user has in the fold's mask, "drop" takes them out,
    and the items below move up.

    Raises DataError for columns, ids, ranks or scores that cannot be used and for a repeated item
    or rank in a list; ConfigError for an unknown option.

    >>> split = recae.data.splits.holdout_pairs(data, 0.5)
    >>> top = recae.EASE().fit(split.train).recommend(k=3)
    >>> theirs = recae.Lists(top[["user_id", "item_id", "rank"]], train=split.train, name="theirs")
    >>> recae.evaluate(theirs, split.validation, ["recall@3"])["recall@3"]
    1.0
    """

    def __init__(
        self,
        table: Any,
        *,
        train: Interactions | Any | None = None,
        name: str = "their model",
        user: str = "user_id",
        item: str = "item_id",
        rank: str = RANK,
        score: str = SCORE,
        on_missing: str = "raise",
        on_masked: str = "raise",
    ) -> None:
        for option, value, known in (
            ("on_missing", on_missing, ("raise", "empty")),
            ("on_masked", on_masked, ("raise", "drop")),
        ):
            check_option(option, value, known)
        self.name, self.on_missing, self.on_masked = name, on_missing, on_masked
        self.train = None if train is None else as_interactions(train)
        frame = read_columns(table, user, item, (rank, score))
        order = [column for column in (rank, score) if column in frame]
        if not order:
            raise DataError(
                f"lists need a column of ranks, {rank!r}, or of scores, {score!r}; name it with "
                "rank= or score="
            )
        self.users, self.user_codes = IdMap.from_values(frame[user], "user")
        self.items, self.item_codes = IdMap.from_values(frame[item], "item")
        ranked = order[0] == rank
        # The lower the better, for both.
        self.places = _ranks(frame[rank]) if ranked else -_scores(frame[score])
        self._check_repeated(self.item_codes, self.items.ids, "item")
        if ranked:
            self._check_repeated(*pd.factorize(self.places), "rank")
            if len(order) == 2:
                self._check_scores(_scores(frame[score]))

    def __repr__(self) -> str:
        return f"Lists({self.name!r})"

    def _check_repeated(self, codes: IntArray, values: Any, what: str) -> None:
        """Raises DataError if a user has an item, or a rank, twice."""
        pairs = pd.Series(self.user_codes * np.int64(len(values)) + codes)
        repeated = pairs.duplicated().to_numpy()
        if repeated.any():
            row = int(repeated.argmax())
            value = values[codes[row]]
            named = show(value) if what == "item" else f"{value:g}"
            raise DataError(
                f"{int(repeated.sum()):,} rows repeat {'an' if what == 'item' else 'a'} {what} of "
                f"the same user; the first is {what} {named} of user "
                f"{show(self.users.ids[self.user_codes[row]])} at row {row}: a list has every "
                f"{what} once"
            )

    def _check_scores(self, scores: FloatArray) -> None:
        """Warns of scores that rise along the ranks, which count: one of the two is inverted."""
        order = np.lexsort((self.places, self.user_codes))
        user, along = self.user_codes[order], scores[order]
        rising = (user[1:] == user[:-1]) & (along[1:] > along[:-1])
        users = np.unique(user[1:][rising])
        if len(users):
            warn(
                f"scores rise along the ranks of {len(users):,} of {len(self.users):,} users, the "
                f"first {show(self.users.ids[users[0]])}: the ranks count, lowest first. Rename or "
                "drop the column that is not meant"
            )

    def get_params(self) -> dict[str, Any]:
        """The options, for the provenance of a report.

        >>> frame = pd.DataFrame({"user_id": [1], "item_id": [7], "rank": [1]})
        >>> recae.Lists(frame).get_params()
        {'on_missing': 'raise', 'on_masked': 'raise'}
        """
        return {"on_missing": self.on_missing, "on_masked": self.on_masked}


def _ranks(column: pd.Series[Any]) -> FloatArray:
    """Ranks as numbers; DataError unless all are integers."""
    ranks = _scores(column, "ranks")
    bad = ranks != np.floor(ranks)
    if bad.any():
        row = int(bad.argmax())
        raise DataError(
            f"ranks must be whole numbers; found {ranks[row]:g} at row {row} "
            f"({int(bad.sum()):,} such rows); if they are scores, name the column with score="
        )
    return ranks


def _scores(column: pd.Series[Any], what: str = "scores") -> FloatArray:
    """A column as finite float64, (rows,)."""
    return number_array(column, "the table", what=what).astype(np.float64)


class AlignedLists:
    """Lists in the rows and columns of a fold, sorted: user by user, the best item first.

    found: the counts of irregular users, items and recommendations. Raises DataError for the
    irregularities that are rejected and warns of those that are counted, see `Lists`.
    """

    def __init__(self, given: Lists, fold: Fold) -> None:
        row, column, not_in_fold = _matched(given, fold)
        self.fold = fold
        self.mask = fold.history if fold.mask is None else fold.mask
        rows, columns, place = row[given.user_codes], column[given.item_codes], given.places
        ours = np.flatnonzero(rows >= 0)
        n_items = fold.target.n_items
        last = np.where(columns < 0, n_items, columns)[ours]  # of ties, unknown items come last
        order = ours[np.lexsort((last, place[ours], rows[ours]))]
        self.rows, self.columns, self.items = rows[order], columns[order], given.item_codes[order]
        asked = np.where(self.columns < 0, -1, self.rows * n_items + self.columns)
        known = np.append(cells(self.mask.matrix), np.int64(-2))
        masked = known[np.searchsorted(known[:-1], asked)] == asked
        self.found = {"users_not_in_fold": not_in_fold}
        self._check_missing(given)
        self._check_masked(given, masked)
        self._check_unknown(given)

    def _check_missing(self, given: Lists) -> None:
        """Counts users without a list: an error, or with on_missing="empty" a warning, and they
        count as misses."""
        users = self.fold.target.users
        self.has_list = np.zeros(len(users), dtype=np.bool_)
        self.has_list[self.rows] = True
        self.found["users_without_list"] = missing = int((~self.has_list).sum())
        if missing:
            message = (
                f"{missing:,} of {len(users):,} users of the fold have no list, the first "
                f"{show(users.ids[int(self.has_list.argmin())])}"
            )
            if given.on_missing == "raise":
                raise DataError(f"{message}; on_missing='empty' counts them as misses")
            warn(f"{message}: they count as misses")

    def _check_masked(self, given: Lists, masked: npt.NDArray[np.bool_]) -> None:
        """Counts recommendations of masked items: an error, or with on_masked="drop" a warning, and
        the items below move up."""
        users = self.fold.target.users
        self.found["masked_items"] = count = int(masked.sum())
        if count:
            at = int(masked.argmax())
            message = (
                f"{count:,} of {len(self.rows):,} recommendations are of items that the user must "
                f"not get (the fold's mask), the first item "
                f"{show(given.items.ids[self.items[at]])} for user "
                f"{show(users.ids[self.rows[at]])}"
            )
            if given.on_masked == "raise":
                raise DataError(f"{message}; on_masked='drop' drops them and moves the others up")
            warn(f"{message}: they are dropped, and the items below move up")
            kept = ~masked
            self.rows, self.columns, self.items = (
                part[kept] for part in (self.rows, self.columns, self.items)
            )

    def _check_unknown(self, given: Lists) -> None:
        """Counts items that the fold does not have, with a warning: they count as misses. Raises
        DataError if it has none of them."""
        unknown = self.columns < 0
        self.found["unknown_items"] = int(unknown.sum())
        if len(unknown) and unknown.all():
            raise DataError(
                f"none of the recommended items is in the fold, the first "
                f"{show(given.items.ids[0])}; the fold has {show(self.fold.target.items.ids[0])} "
                "and others: were the ids renumbered?"
            )
        if unknown.any():
            first = given.items.ids[self.items[int(unknown.argmax())]]
            warn(
                f"{int(unknown.sum()):,} of {len(unknown):,} recommendations are of items that the "
                f"fold does not have, the first {show(first)}: they count as misses"
            )

    def ranked(self, k: int) -> RankedLists:
        """Batches of the fold's rows with their lists, cut or filled up to k."""
        n_users, n_items = len(self.fold.target.users), self.fold.target.n_items
        ends = np.searchsorted(self.rows, np.arange(n_users + 1))
        lengths = np.diff(ends)
        left = n_items - np.diff(self.mask.matrix.indptr)
        short = np.flatnonzero((lengths < np.minimum(k, left)) & self.has_list)
        if len(short):
            user = self.fold.target.users.ids[short[0]]
            warn(
                f"the lists of {len(short):,} of {n_users:,} users have fewer than {k} items, the "
                f"first {show(user)} with {lengths[short[0]]}: empty places count as misses"
            )
        step = rows_per_batch("auto", n_items)
        for start in range(0, max(n_users, 1), step):
            rows = slice(start, min(start + step, n_users))
            part = slice(ends[rows.start], ends[rows.stop])
            row = self.rows[part] - rows.start
            place = np.arange(part.start, part.stop) - ends[self.rows[part]]
            top = np.full((rows.stop - rows.start, k), -1, dtype=np.int64)
            fits = place < k
            top[row[fits], place[fits]] = self.columns[part][fits]
            yield rows, TopK(top, np.where(top < 0, -np.inf, 0).astype(np.float32))


def _matched(given: Lists, fold: Fold) -> tuple[IntArray, IntArray, int]:
    """The row of each user and the column of each item of the lists, -1 for none, and how many of
    the users are not in the fold."""
    users, items = fold.target.users, fold.target.items
    try:
        row, column = users.lookup(given.users.ids), items.lookup(given.items.ids)
    except DataError as error:
        raise DataError(f"these lists do not fit the fold: {error}") from None
    not_in_fold = int((row < 0).sum())
    if not_in_fold == len(row):
        raise DataError(
            f"none of the {not_in_fold:,} users of these lists is in the fold (the first are "
            f"{show(given.users.ids[0])} here, {show(users.ids[0])} there): were the ids "
            "renumbered?"
        )
    if not_in_fold:
        warn(f"the lists of {not_in_fold:,} users are ignored: they are not in the fold")
    return row, column, not_in_fold
