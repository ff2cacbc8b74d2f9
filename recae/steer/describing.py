"""Units in words: a table with a name for each, and what the name rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from recae.steer.naming import genre_shares, how_many_read, telling, well_known
from recae.steer.titles import read_genres, read_titles
from recae.steer.turning import distinct

if TYPE_CHECKING:
    from recae.steer.tastes import Tastes


def describe(tastes: Tastes, titles: Any, k: int, genres: Any) -> pd.DataFrame:
    """The frame of `Tastes.name`, whose arguments these are."""
    items = tastes.model.items_
    texts = np.array(read_titles(titles, items), dtype=object)
    names = ["; ".join(texts[row[:k]]) for row in tastes.top]
    columns: dict[str, Any] = {}
    if genres is None and isinstance(titles, pd.DataFrame) and "genres" in titles.columns:
        genres = titles
    if genres is not None:
        columns, told = _genres(tastes, *read_genres(genres, items))
        names = [
            f"{some}: {name}" if some else name for some, name in zip(told, names, strict=True)
        ]
    return pd.DataFrame(
        {"unit": np.arange(len(tastes)), "name": distinct(names)}
        | columns
        | {
            "users": tastes.users,
            "share": tastes.users / tastes.of_users,
            "together": tastes.together,
            "rise": tastes.raised[:, :k].mean(axis=1),
        }
    )


def _genres(tastes: Tastes, kinds: list[str], of_items: Any) -> tuple[dict[str, Any], list[str]]:
    """The columns about genres, and those that tell most of each unit, as a text."""
    known = well_known(tastes.model.item_counts_)
    everywhere = np.asarray(of_items[known].mean(axis=0)).ravel()
    read = how_many_read(known)
    shares = genre_shares(tastes.top[:, :read], of_items)
    told = telling(shares, everywhere)
    first = np.array([some[0] if some else -1 for some in told])
    has, share = first >= 0, shares[np.arange(len(first)), first]
    usual = np.where(has, everywhere[first], 1)
    support = np.rint(share * read).astype(np.int64)
    columns = {
        "genre": [kinds[genre] if genre >= 0 else None for genre in first],
        "precision": np.where(has, share, np.nan),
        "lift": np.where(has, share / usual, np.nan),
        "support": np.where(has, support, 0),
    }
    return columns, [" / ".join(kinds[genre] for genre in some) for some in told]
