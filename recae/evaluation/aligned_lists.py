"""Lists of another system in the rows and columns of a fold."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recae.data.csr import cells
from recae.data.ids import show
from recae.data.splits.folds import Fold
from recae.errors import DataError, warn
from recae.evaluation.lists import Lists
from recae.ranking.batches import RankedLists, rows_per_batch
from recae.ranking.top_k import TopK

Index = npt.NDArray[np.int64]


class Placed:
    """Lists in the rows and columns of a fold, sorted: user by user, the best item first.

    found: how many users, items and recommendations were not as they should be. Raises DataError
    for what is refused, and warns of what is counted, as `Lists` says.
    """

    def __init__(self, given: Lists, fold: Fold) -> None:
        row, column, strangers = _matched(given, fold)
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
        self.found = {"users_not_in_fold": strangers}
        self._check_missing(given)
        self._check_masked(given, masked)
        self._check_unknown(given)

    def _check_missing(self, given: Lists) -> None:
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
        users = self.fold.target.users
        self.found["masked_items"] = count = int(masked.sum())
        if count:
            at = int(masked.argmax())
            message = (
                f"{count:,} of {len(self.rows):,} recommendations are of items that the user must "
                f"not get (the fold's mask: what is known of them), the first item "
                f"{show(given.items.ids[self.items[at]])} for user "
                f"{show(users.ids[self.rows[at]])}"
            )
            if given.on_masked == "raise":
                raise DataError(
                    f"{message}; on_masked='drop' takes them out and moves the others up"
                )
            warn(f"{message}: they are dropped, what is below moves up")
            kept = ~masked
            self.rows, self.columns, self.items = (
                part[kept] for part in (self.rows, self.columns, self.items)
            )

    def _check_unknown(self, given: Lists) -> None:
        unknown = self.columns < 0
        self.found["unknown_items"] = int(unknown.sum())
        if len(unknown) and unknown.all():
            raise DataError(
                f"none of the recommended items is in the fold, the first "
                f"{show(given.items.ids[0])}; the fold has {show(self.fold.target.items.ids[0])} "
                "and others: were they numbered anew?"
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
                f"first {show(user)} with {lengths[short[0]]}: what is missing counts as misses"
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


def _matched(given: Lists, fold: Fold) -> tuple[Index, Index, int]:
    """The row of each user and the column of each item of the lists, -1 for none, and how many of
    the users are not in the fold."""
    users, items = fold.target.users, fold.target.items
    try:
        row, column = users.lookup(given.users.ids), items.lookup(given.items.ids)
    except DataError as error:
        raise DataError(f"these lists do not fit the fold: {error}") from None
    strangers = int((row < 0).sum())
    if strangers == len(row):
        raise DataError(
            f"none of the {strangers:,} users of these lists is in the fold (the first are "
            f"{show(given.users.ids[0])} here, {show(users.ids[0])} there): were they numbered "
            "anew?"
        )
    if strangers:
        warn(f"the lists of {strangers:,} users are ignored: they are not in the fold")
    return row, column, strangers
