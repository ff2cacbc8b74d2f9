"""What items are called and which genres they have, matched to a model's items by id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from recae.data import IdMap, as_ids
from recae.data.ids import show
from recae.errors import DataError, unknown_option, warn


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
