"""Recommendations that another system made, to be measured like our own."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from recae.data import IdMap, Interactions, as_interactions, read_columns
from recae.data.ids import show
from recae.errors import DataError, unknown_option, warn

Index = npt.NDArray[np.int64]
RANK, SCORE = "rank", "score"


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
    and what is below moves up.

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
            if value not in known:
                raise unknown_option(option, value, known)
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

    def _check_repeated(self, codes: Index, values: Any, what: str) -> None:
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

    def _check_scores(self, scores: npt.NDArray[np.float64]) -> None:
        """Ranks decide; but where scores rise along them, one of the two is upside down."""
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


def _ranks(column: pd.Series[Any]) -> npt.NDArray[np.float64]:
    """Ranks as numbers; DataError unless all are whole."""
    ranks = _scores(column, "ranks")
    bad = ranks != np.floor(ranks)
    if bad.any():
        row = int(bad.argmax())
        raise DataError(
            f"ranks must be whole numbers; found {ranks[row]:g} at row {row} "
            f"({int(bad.sum()):,} such rows); if they are scores, name the column with score="
        )
    return ranks


def _scores(column: pd.Series[Any], what: str = "scores") -> npt.NDArray[np.float64]:
    """A column as finite float64, (rows,)."""
    numeric = pd.api.types.is_numeric_dtype(column.dtype)
    if not numeric or pd.api.types.is_bool_dtype(column.dtype):
        raise DataError(f"{what} must be numbers, not {column.dtype} (first: {column.iloc[0]!r})")
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    bad = ~np.isfinite(values)
    if bad.any():
        row = int(bad.argmax())
        raise DataError(
            f"{what} must be finite; found {values[row]} at row {row} ({int(bad.sum()):,} such "
            "rows): a list without an item has no row for it"
        )
    return values
