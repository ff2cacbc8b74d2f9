"""The result of `explain`: frames, and the same as text that a person likes to read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from recae.data import ItemTable
from recae.errors import explained

SHOWN = 50
"""Items whose reasons the text shows."""


@explained
@dataclass(frozen=True, eq=False)
class Explanation:
    """Why items are recommended: the items of the history that added most to their scores.

    contributions: a frame `user_id, item_id, history_item_id, contribution, rank`, the highest
    first (rank 1); an item of the history that speaks against is below zero. totals: a frame
    `user_id, item_id, score, baseline, explained, rest, error` with a row for each explained item:
    score = baseline + explained + rest + error, where `explained` is the sum of the contributions
    in the first frame, `rest` that of the other items of the history, and `error` what the method
    leaves over. All numbers are in the unit of the scores. method: how they were found.

    >>> why = recae.EASE(l2=1.0).fit(data).explain([0, 1], items=[2])
    >>> why.contributions[["history_item_id", "rank"]].values.tolist()
    [[1, 1], [0, 2]]
    """

    contributions: pd.DataFrame
    totals: pd.DataFrame
    method: str
    titles: ItemTable | None = None

    def with_titles(self, titles: Any) -> Explanation:
        """The same with titles of items, for `to_frame` and for what is printed.

        titles: a mapping or Series from item ids to titles, or a table or its path with the columns
        item_id and title. Raises DataError for anything else.

        >>> why = recae.EASE(l2=1.0).fit(data).explain([0, 1], items=[2])
        >>> why.with_titles({1: "Alien"}).to_frame()["history_title"].tolist()
        ['Alien', '0']
        """
        table = titles if isinstance(titles, ItemTable) else ItemTable(titles)
        table.column("title")
        return replace(self, titles=table)

    def to_frame(self, titles: Any = None) -> pd.DataFrame:
        """One row for each reason, with the columns `user_id, item_id, score, history_item_id,
        contribution, rank`, and with titles also `title` and `history_title`, where an item without
        a title shows its id.

        titles: as in `with_titles`. Raises DataError as it does.

        >>> recae.EASE(l2=1.0).fit(data).explain([0, 1], items=[2]).to_frame().shape
        (2, 6)
        """
        if titles is not None:
            return self.with_titles(titles).to_frame()
        scores = self.totals[["user_id", "item_id", "score"]]
        frame = scores.merge(self.contributions, on=["user_id", "item_id"], sort=False)
        if self.titles is not None:
            for column, name in (("item_id", "title"), ("history_item_id", "history_title")):
                texts = self.titles.texts(frame[column])
                frame.insert([*frame].index(column) + 1, name, texts)
        return frame

    def to_text(self, titles: Any = None) -> str:
        """The reasons as lines: an item with its score, and below it what added how much.

        titles: as in `with_titles`. Raises DataError as it does.

        >>> print(recae.Popularity().fit(data).explain([0], items=[2], top=1).to_text())
        item 2, score 3 = 3 +0 by these items
          +0  item 0
        exact: the scores of this model do not depend on what is in the history
        """
        if titles is not None:
            return self.with_titles(titles).to_text()
        several = self.totals["user_id"].nunique() > 1
        shown = self.totals.head(SHOWN)
        own = shown[["user_id", "item_id"]].merge(self.contributions, sort=False)
        groups = {key: reasons for key, reasons in own.groupby(["user_id", "item_id"])}
        lines = []
        names = _names(self.titles, shown["item_id"])
        for name, total in zip(names, shown.to_dict("records"), strict=True):
            user, item = total["user_id"], total["item_id"]
            lines.append(f"user {user}: {name}" if several else name)
            lines[-1] += f", score {total['score']:.4g} = {total['baseline']:.4g}"
            reasons = groups.get((user, item))
            if reasons is None:  # an empty history
                continue
            lines[-1] += f" {total['explained']:+.4g} by these items"
            if total["rest"]:
                lines[-1] += f" {total['rest']:+.4g} by others"
            numbers = [f"{value:+.4g}" for value in reasons["contribution"]]
            width = max(map(len, numbers))
            because = _names(self.titles, reasons["history_item_id"])
            lines += [f"  {n:>{width}}  {title}" for n, title in zip(numbers, because, strict=True)]
        left_out = len(self.totals) - len(shown)
        if left_out:
            lines.append(f"and {left_out:,} more items: see to_frame()")
        return "\n".join([*lines, self.method])

    def __str__(self) -> str:
        return self.to_text()

    def __repr__(self) -> str:
        users, items = self.totals["user_id"].nunique(), len(self.totals)
        return f"Explanation({items} items of {users} users; {self.method})"

    def _repr_html_(self) -> str:
        frame = self.to_frame().head(SHOWN * 5)
        html: str = frame.to_html(index=False, float_format="{:.4g}".format, border=0)
        return html


def _names(titles: ItemTable | None, ids: Any) -> list[str]:
    """Titles, or `item 7` without a table."""
    return [f"item {item}" for item in ids] if titles is None else titles.texts(ids)
