"""What a unit of a code is about: the items that it raises, and what they have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from recae.apply.steer.turning import distinct
from recae.data import IdMap, as_ids
from recae.data.ids import show
from recae.errors import DataError, unknown_option, warn

READ, LEAST = 20, 5
"""Items that a unit's genres are read from, at most and at least."""

SUPPORT = 0.2
"""Share of them that must have a genre for it to name the unit."""

LIFT = 1.5
"""How many times as frequent as in the catalogue it must be there."""


def well_known(item_counts: np.ndarray) -> np.ndarray:
    """The better-known half of the items that somebody has, (n_items,) bool."""
    somebody = item_counts > 0
    if not somebody.any():
        return np.ones(len(item_counts), dtype=bool)
    known: np.ndarray = item_counts >= max(np.median(item_counts[somebody]), 1)
    return known


def how_many_read(known: np.ndarray) -> int:
    """Of how many items a unit's genres are read: a tenth of the well-known, within bounds."""
    return min(max(int(known.sum()) // 10, LEAST), READ, int(known.sum()))


def particular(rises: np.ndarray, item_counts: np.ndarray) -> np.ndarray:
    """What a unit raises more than the catalogue, whatever the items' popularity.

    rises: (units, n_items) float32. From each unit's is taken its mean over the items and what
    follows the logarithm of their number of training users (a least squares line), both over the
    well-known items; the others, whose scores are mostly noise, get -inf. (units, n_items).
    """
    known = well_known(item_counts)
    popularity = np.log(item_counts[known].astype(np.float64))
    popularity -= popularity.mean()
    spread = float(popularity @ popularity)
    found = np.full(rises.shape, -np.inf, dtype=np.float32)
    part = rises[:, known].astype(np.float64)
    part -= part.mean(axis=1, keepdims=True)
    if spread > 0:
        part -= np.outer(part @ popularity / spread, popularity)
    found[:, known] = part
    return found


def highest(values: np.ndarray, count: int) -> np.ndarray:
    """The columns of the highest values of each row, best first, (rows, count) int64.

    Equal ones are in the order of the columns.
    """
    ordered: np.ndarray = np.argsort(-values, axis=1, kind="stable")[:, :count]
    return ordered


def together(top: np.ndarray, matrix: Any) -> np.ndarray:
    """How often the items of each row of `top` meet in a history, as a multiple of chance.

    top: (units, k) columns of the CSR histories `matrix`. The sum over pairs of items of the users
    who have both, divided by that of users_i users_j / users: 1 is chance. (units,) float64, NaN
    where chance gives none.
    """
    columns, places = np.unique(top, return_inverse=True)
    some = sp.csr_matrix(matrix[:, columns], dtype=np.float64)
    some.data[:] = 1
    both = np.asarray((some.T @ some).todense())  # (columns, columns)
    users = both.diagonal()
    chance = np.outer(users, users) / max(matrix.shape[0], 1)
    places = places.reshape(top.shape)
    pairs = np.triu_indices(top.shape[1], 1)
    found = [
        (both[np.ix_(row, row)][pairs].sum(), chance[np.ix_(row, row)][pairs].sum())
        for row in places
    ]
    sums = np.array(found, dtype=np.float64).reshape(-1, 2)
    result: np.ndarray = np.divide(
        sums[:, 0], sums[:, 1], out=np.full(len(sums), np.nan), where=sums[:, 1] > 0
    )
    return result


def genre_shares(top: np.ndarray, of_items: Any) -> np.ndarray:
    """Share of each row's items that have each genre, (units, genres) float64."""
    rows = np.repeat(np.arange(len(top)), top.shape[1])
    cells = (np.full(top.size, 1 / max(top.shape[1], 1)), (rows, top.ravel()))
    picks = sp.csr_matrix(cells, shape=(len(top), of_items.shape[0]))
    shares: np.ndarray = np.asarray((picks @ of_items).todense(), dtype=np.float64)
    return shares


def telling(shares: np.ndarray, everywhere: np.ndarray, most: int = 2) -> list[list[int]]:
    """The genres that tell most of each unit, at most so many, best first.

    shares: (units, genres) among the unit's items; everywhere: (genres,) among all that could be.
    Of genres with a share of at least SUPPORT, LIFT times the usual, those with the largest
    share x log(share / usual share): frequent there, and rare elsewhere.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        lift = shares / everywhere
        weight = np.where((shares >= SUPPORT) & (lift >= LIFT), shares * np.log(lift), -np.inf)
    order = np.argsort(-weight, axis=1, kind="stable")[:, :most]
    return [[int(g) for g in row if np.isfinite(weight[unit, g])] for unit, row in enumerate(order)]


def read_titles(given: Any, items: IdMap) -> list[str]:
    """The titles of `items`, in their order; the id where there is none.

    given: None, a mapping or Series of titles by item id, or a frame with a column `title`, by item
    id or with a column `item_id`. Raises DataError for anything else, for an id with two titles and
    if no item has a title.
    """
    texts = [str(item) for item in items.ids]
    if given is None:
        return texts
    column = _column(given, "title", "titles")
    places = items.lookup(as_ids(column.index, "item"))
    repeated = column.index[column.index.duplicated()]
    if len(repeated):
        raise DataError(
            f"titles have item {show(repeated[0])} more than once: keep one title of each"
        )
    found = (places >= 0) & column.notna().to_numpy()
    if not found.any():
        raise DataError("titles have none of the model's items: are the ids the same?")
    for place, text in zip(places[found], column[found], strict=True):
        texts[place] = str(text)
    return texts


def read_genres(given: Any, items: IdMap) -> tuple[list[str], Any]:
    """The genres there are, sorted, and which item has which: csr (n_items, genres) of ones.

    given: as for `read_titles`, with texts such as "Comedy|Romance" or lists of texts in a column
    `genres`; or a frame with the columns `item_id` and `category`, a row for each category of an
    item. Items without a genre are counted in a RecaeWarning. Raises DataError for anything else
    and if no item has a genre.
    """
    if isinstance(given, pd.DataFrame) and "category" in given.columns:
        column = _column(given, "category", "genres")
    else:
        column = _column(given, "genres", "genres")
        if not any(isinstance(some, str | list | tuple | np.ndarray) for some in column):
            raise DataError("genres must be texts such as 'Comedy|Romance', or lists of texts")
        column = column.map(_parts).explode()
    column = column[column.notna()].astype(str)
    places = items.lookup(as_ids(column.index, "item"))
    column, places = column[places >= 0], places[places >= 0]
    if not len(column):
        raise DataError("none of the model's items has a genre: are the ids the same?")
    names, codes = np.unique(column.to_numpy(dtype=str), return_inverse=True)
    cells = (np.ones(len(codes), dtype=np.float32), (places, codes))
    matrix = sp.csr_matrix(cells, shape=(len(items), len(names)))  # which adds repetitions up
    matrix.data[:] = 1
    without = int((np.diff(matrix.indptr) == 0).sum())
    if without:
        warn(f"{without:,} of {len(items):,} items have no genre, and count in none")
    return [str(name) for name in names], matrix


def _column(given: Any, column: str, what: str) -> pd.Series[Any]:
    """One column by item id."""
    if isinstance(given, Mapping):
        return pd.Series(list(given.values()), index=list(given))
    if isinstance(given, pd.DataFrame):
        if column not in given.columns:
            raise DataError(str(unknown_option("column", column, map(str, given.columns))))
        return given.set_index("item_id")[column] if "item_id" in given.columns else given[column]
    if isinstance(given, pd.Series):
        return given
    raise DataError(
        f"{what} must be a mapping or Series by item id, or a frame with the column {column}, "
        f"not {type(given).__name__}"
    )


def _parts(genres: Any) -> list[str]:
    if isinstance(genres, str):
        return [part.strip() for part in genres.split("|") if part.strip()]
    return list(genres) if isinstance(genres, list | tuple | np.ndarray) else []


if TYPE_CHECKING:
    from recae.apply.steer.tastes import Tastes


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
