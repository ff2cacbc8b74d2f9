"""Compares two exports: which lists changed, how much, and whose changed most."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as pads

from recae.data import ItemTable
from recae.errors import ConfigError, DataError, check_integer, explained
from recae.recommend.export.aligned import Both, Pairs, Unordered
from recae.recommend.export.manifest import LISTED, OWNERS
from recae.recommend.export.opened import READ_ERRORS, Export, open_export
from recae.recommend.export.overlap import agreement
from recae.system.progress import bar, say

SHOWN = 5
"""Items that the text names for each user."""


@explained
@dataclass(frozen=True, eq=False)
class ExportComparison:
    """How much the lists in two exports differ; see `recae.compare_exports`.

    k: the places that are compared. users: how many have a list in both; only_before, only_after:
    in one alone. overlap: the mean over these users of the number of common items as a share of
    the longer list. rbo: their mean rank-biased overlap, 1 for equal lists. changed: the share of
    them whose list has other items or another order. items_before, items_after, items_both: how
    many items are in any list. most_changed: a frame `user_id, overlap, rbo, new, gone`, the lowest
    rbo first; new and gone are lists of item ids, in the order of ranks.

    >>> rows = [recae.EASE(l2=l2).fit(data).export(f"{l2}.parquet", k=1) for l2 in (1, 900)]
    >>> recae.compare_exports("1.parquet", "900.parquet")
    ExportComparison(5 users in both, overlap@1 1.0000, RBO 1.0000, 0.00% changed)
    """

    k: int
    users: int
    only_before: int
    only_after: int
    overlap: float
    rbo: float
    changed: float
    items_before: int
    items_after: int
    items_both: int
    most_changed: pd.DataFrame
    titles: ItemTable | None = None

    def with_titles(self, titles: Any) -> ExportComparison:
        """The same with titles of items, for the text.

        titles: a mapping or Series from item ids to titles, or a table or its path with the columns
        item_id and title. Raises DataError for anything else.

        >>> rows = [recae.EASE(l2=l2).fit(data).export(f"{l2}.parquet", k=1) for l2 in (1, 900)]
        >>> found = recae.compare_exports("1.parquet", "900.parquet")
        >>> found.with_titles({2: "Alien"}).users
        5
        """
        return replace(self, titles=_table(titles))

    def to_dict(self) -> dict[str, Any]:
        """All numbers, and the users that changed most as a list of dicts, ready for JSON.

        overlap, rbo and changed are None if no user is in both.

        >>> rows = recae.EASE().fit(data).export("top.parquet", k=1)
        >>> recae.compare_exports("top.parquet", "top.parquet").to_dict()["overlap"]
        1.0
        """
        found = {
            name: None if value != value else value  # JSON has no NaN
            for name, value in vars(self).items()
            if name not in ("most_changed", "titles")
        }
        return found | {"most_changed": self.most_changed.to_dict("records")}

    def to_text(self) -> str:
        """The comparison as a short page.

        >>> rows = recae.EASE().fit(data).export("top.parquet", k=1)
        >>> print(recae.compare_exports("top.parquet", "top.parquet").to_text().splitlines()[0])
        users       5 in both, 0 only before, 0 only after
        """
        k, same = self.k, 1 - self.changed
        lines = [
            f"users       {self.users:,} in both, {self.only_before:,} only before, "
            f"{self.only_after:,} only after"
        ]
        if self.users:
            lines += [
                f"changed     {self.changed:.2%} of the lists in both; {same:.2%} are the same",
                f"overlap@{k:<3} {self.overlap:.4f} of the items, mean over the users in both",
                f"RBO         {self.rbo:.4f} rank-biased overlap (1: equal), mean over them",
            ]
        lines.append(
            f"coverage    {self.items_before:,} items listed before, {self.items_after:,} after, "
            f"{self.items_both:,} in both"
        )
        if len(self.most_changed):
            lines.append("changed most")
        for row in self.most_changed.to_dict("records"):
            lines.append(f"  {row['user_id']}: RBO {row['rbo']:.3f}, overlap {row['overlap']:.3f}")
            for name in ("new", "gone"):
                lines += [f"    {name:<5} {self._named(row[name])}"] if row[name] else []
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.to_text()

    def __repr__(self) -> str:
        return (
            f"ExportComparison({self.users:,} users in both, overlap@{self.k} {self.overlap:.4f}, "
            f"RBO {self.rbo:.4f}, {self.changed:.2%} changed)"
        )

    def _named(self, items: Any) -> str:
        shown = items[:SHOWN]
        names = map(str, shown) if self.titles is None else self.titles.texts(shown)
        left = len(items) - len(shown)
        return ", ".join(names) + (f" and {left:,} more" if left else "")


@explained
def compare_exports(
    before: str | Path | Export,
    after: str | Path | Export,
    k: int | None = None,
    *,
    most: int = 10,
    titles: Any = None,
    progress: bool | None = None,
) -> ExportComparison:
    """Compares the lists of the users that two exports have in common.

    before, after: exports, or their paths; both of recommendations, or both of similar items, where
    the "users" are the items that have a list. k: the places to compare; None means the smaller k
    of the two. most: how many of the users that changed most are listed. titles: of the items, as
    in `ExportComparison.with_titles`; None takes those in the exports. progress: True, False, or
    None to ask the terminal.

    RBO is the extrapolated rank-biased overlap with p = 0.9 (Webber, Moffat and Zobel, "A
    similarity measure for indefinite rankings", TOIS 2010, eq. 32): a difference counts more the
    nearer it is to the top. A user without a row is in neither export.

    The exports are read side by side, in bounded memory. Where users are not in ascending
    order in both, the rows are first sorted in a temporary folder, which takes as much disk as the
    exports. Raises DataError for exports that cannot be read or compared, ConfigError for the
    options, StorageError for a full disk.

    >>> model = recae.EASE().fit(data)
    >>> rows = [model.export(f"{k}.parquet", data, k=k) for k in (1, 2)]
    >>> recae.compare_exports("1.parquet", "2.parquet").changed
    0.0
    """
    exports = [one if isinstance(one, Export) else open_export(one) for one in (before, after)]
    owner = _owner(exports)
    columns = [owner, LISTED[owner], "rank"]
    smaller = min(one.k for one in exports)
    places = smaller if k is None else check_integer("k", k)
    if places > smaller:
        raise ConfigError(
            f"k is {places}, and the lists of one export have {smaller} items: name a smaller k",
            parameter="k",
            value=k,
        )
    check_integer("most", most, low=0)
    table = None if titles is None else _table(titles)
    rows = sum(one.rows for one in exports)
    with bar(rows, "comparing", "row", progress) as shown:
        sides = [_Reader(one, columns, shown) for one in exports]
        try:
            both = Both([side.batches for side in sides], places)
            summary = _Summary(both, both.in_order(), most)
        except Unordered:
            say("comparing: users are not in ascending order: the rows are sorted first", progress)
            shown.reset()
            both = Both([side.batches for side in sides], places)
            summary = _Summary(both, both.in_buckets(rows), most)
    lists = [side.lists(summary.users, places) for side in sides]
    found = summary.comparison(lists)
    return replace(found, titles=_own_titles(lists, columns[1]) if table is None else table)


class _Reader:
    """Reads an export in batches, and single lists of it. columns: owner, item, rank."""

    def __init__(self, export: Export, columns: list[str], shown: Any) -> None:
        self.export, self.columns, self.shown = export, columns, shown

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows, in their order."""
        for batch in self.export.batches(self.columns):
            yield batch.select(self.columns)
            self.shown.update(len(batch))

    def lists(self, users: np.ndarray, k: int) -> pd.DataFrame:
        """The first k rows of some users: all columns, in the order of ranks."""
        data = self.export.dataset()
        found: pd.DataFrame = data.schema.empty_table().to_pandas()
        if not len(users):
            return found
        wanted = pa.array(users.tolist(), type=data.schema.field(self.columns[0]).type)
        how = {"batch_readahead": 1, "fragment_readahead": 1}  # else it takes ten times the memory
        chosen = pads.field(self.columns[0]).isin(wanted) & (pads.field("rank") <= k)
        try:
            found = data.to_table(filter=chosen, **how).to_pandas()
        except READ_ERRORS as error:
            self.export.verify()  # names the part that is damaged
            raise DataError(f"{self.export.path} cannot be read: {error}") from error
        return found.sort_values("rank", kind="stable")


class _Summary:
    """Sums over pairs of lists, and the users whose lists differ most."""

    def __init__(self, both: Both, pairs: Pairs, most: int) -> None:
        self.both, self.most = both, most
        self.n, self.sums = 0, np.zeros(3)  # overlap, RBO, changed
        self.users, self.values = np.empty(0, dtype=np.int64), np.empty((0, 2))
        for users, before, after in pairs:
            self._add(users, before, after)

    def _add(self, users: np.ndarray, before: Any, after: Any) -> None:
        """Adds a batch of users. Only lists that differ are compared; the `most` users with the
        lowest agreement are kept."""
        self.n += len(users)
        width = min(before.shape[1], after.shape[1])
        differ = (before[:, :width] != after[:, :width]).any(axis=1)
        for codes in (before, after):
            differ |= (codes[:, width:] >= 0).any(axis=1)
        rows = np.flatnonzero(differ)
        values = np.stack(agreement(before[rows], after[rows]), axis=1)
        equal = len(users) - len(rows)  # their overlap and RBO are 1
        self.sums += [*(values.sum(axis=0) + equal), len(rows)]
        users, values = users[rows], values
        if len(self.users):
            users, values = np.append(self.users, users), np.append(self.values, values, axis=0)
        order = np.argsort(users, kind="stable")
        order = order[np.lexsort((values[order, 0], values[order, 1]))][: self.most]
        self.users, self.values = users[order], values[order]

    def comparison(self, lists: list[pd.DataFrame]) -> ExportComparison:
        """The result. lists: the rows of the users that changed most, before and after."""
        owner, item = [*lists[0]][:2]
        items = [dict([*one.groupby(owner, sort=False)[item]]) for one in lists]
        new, gone = [], []
        for user in self.users.tolist():
            old, now = items[0][user], items[1][user]
            new.append(now[~now.isin(old)].tolist())
            gone.append(old[~old.isin(now)].tolist())
        frame = pd.DataFrame(
            {
                "user_id": self.users,
                "overlap": self.values[:, 0],
                "rbo": self.values[:, 1],
                "new": pd.Series(new, dtype=object),
                "gone": pd.Series(gone, dtype=object),
            }
        )
        both = self.both
        padding = np.zeros(both.items.size, dtype=bool)
        before, after = (np.append(some, padding)[: len(padding)] for some in both.listed)
        overlap, rbo, changed = (self.sums / max(self.n, 1)).tolist() if self.n else [math.nan] * 3
        return ExportComparison(
            k=self.both.k,
            users=self.n,
            only_before=self.both.alone[0],
            only_after=self.both.alone[1],
            overlap=overlap,
            rbo=rbo,
            changed=changed,
            items_before=int(before.sum()),
            items_after=int(after.sum()),
            items_both=int((before & after).sum()),
            most_changed=frame,
        )


def _owner(exports: list[Export]) -> str:
    """The column of those who have a list. Raises DataError for exports of different things."""
    kinds = [OWNERS[one.manifest["kind"]] for one in exports]
    if kinds[0] != kinds[1]:
        found = " and ".join(one.manifest["kind"] for one in exports)
        raise DataError(f"two exports of one kind are needed, not of {found}")
    for column in (kinds[0], LISTED[kinds[0]]):
        types = [one.schema.field(column).type for one in exports]
        if len({pa.types.is_integer(type) for type in types}) > 1:
            raise DataError(
                f"{column} is {types[0]} in {exports[0].path} and {types[1]} in {exports[1].path}: "
                "export both with ids of one type"
            )
    return kinds[0]


def _table(titles: Any) -> ItemTable:
    table = titles if isinstance(titles, ItemTable) else ItemTable(titles)
    table.column("title")
    return table


def _own_titles(lists: list[pd.DataFrame], item: str) -> ItemTable | None:
    """The titles in the rows of exports; None without any."""
    titled = [one[[item, "title"]].dropna() for one in lists if "title" in one]
    if not titled:
        return None
    known = pd.concat(titled).drop_duplicates(item, keep="last")
    return ItemTable(pd.Series(known["title"].to_numpy(), known[item].to_numpy()))
