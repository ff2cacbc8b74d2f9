"""How much the lists of two models agree, user by user."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from recae.data import IdMap
from recae.errors import DataError, check_integer, check_number, explained
from recae.evaluation.external import Lists
from recae.metrics.overlap import list_overlap


@explained
def rank_biased_overlap(
    first: Any, second: Any, *, p: float = 0.9, k: int | None = None
) -> pd.Series[float]:
    """The rank-biased overlap of two models' lists for each user: 1 if equal, 0 if disjoint.

    first, second: lists as `recae.Lists` reads them: frames such as `recommend` returns, Parquet or
    text files such as `export` writes, or `Lists`. p: the persistence of a reader, in (0, 1); with
    0.9 the first ten ranks have 86 % of the weight. k: the length at which lists are cut, None for
    all. It is the extrapolated RBO of Webber, Moffat & Zobel 2010 (ACM TOIS 28, equation 32), which
    also compares lists of different lengths.

    Returns (users,) float64 by user id, for the users of either; NaN for a user who has one list
    only, so that the mean is that of the users of both. Raises DataError for tables that `Lists`
    refuses or if no user has both lists, ConfigError for a bad p or k.

    >>> one = pd.DataFrame({"user_id": [1, 1], "item_id": ["a", "b"], "rank": [1, 2]})
    >>> other = one.assign(rank=[2, 1])  # they share nothing at depth 1, all at depth 2
    >>> recae.evaluation.rank_biased_overlap(one, other, p=0.5).tolist()
    [0.5]
    """
    p = check_number("p", p, above=0, below=1)
    length = None if k is None else check_integer("k", k)
    both = [given if isinstance(given, Lists) else Lists(given) for given in (first, second)]
    users, items = (_union(*(getattr(one, name) for one in both)) for name in ("users", "items"))
    tables = [_table(one, users, items, length) for one in both]
    found = list_overlap(tables[0], tables[1], p)
    if np.isnan(found).all():
        raise DataError(
            "no user has a list in both tables: the first users are "
            f"{both[0].users.ids[0]!r} and {both[1].users.ids[0]!r}"
        )
    return pd.Series(found, index=pd.Index(users.ids, name="user_id"), name="rbo")


def _union(one: IdMap, other: IdMap) -> IdMap:
    try:
        return one.union(other)
    except DataError as error:
        raise DataError(f"these lists do not fit each other: {error}") from None


def _table(lists: Lists, users: IdMap, items: IdMap, length: int | None) -> np.ndarray:
    """The lists as (users, k) items, -1 where there are none."""
    rows = users.lookup(lists.users.ids)[lists.user_codes]
    columns = items.lookup(lists.items.ids)[lists.item_codes]
    order = np.lexsort((columns, lists.places, rows))
    rows, columns = rows[order], columns[order]
    starts = np.searchsorted(rows, np.arange(len(users)))
    place = np.arange(len(rows)) - starts[rows]
    most = int(place.max(initial=0)) + 1
    table = np.full((len(users), most if length is None else min(length, most)), -1, dtype=np.int64)
    fits = place < table.shape[1]
    table[rows[fits], place[fits]] = columns[fits]
    return table
