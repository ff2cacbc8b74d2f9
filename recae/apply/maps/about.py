"""What is known of the points of a map: titles and columns, matched by id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from recae.apply.maps.colours import as_texts
from recae.data import IdMap
from recae.data.ids import show
from recae.data.tables.encode import for_pandas
from recae.data.tables.sources import as_source, is_table
from recae.errors import DataError, unknown_option, warn

TITLE = "title"


def about_points(given: Any, ids: IdMap) -> pd.DataFrame:
    """A row for each of some ids: the column `title`, and whatever other columns are given.

    given: a table with the column item_id (user_id, id: as `ids.what` says), `title` if they have
    titles, and others; a mapping from ids to titles; or None. Ids without a row or a title are
    called by their id, with a RecaeWarning that counts them. Rows of other ids are left out. Raises
    DataError for another type, an absent column, an id that stands there twice, and if no id of the
    map is there.
    """
    fallback = pd.Series([str(id) for id in ids.ids], dtype=object)
    if given is None:
        return pd.DataFrame({TITLE: fallback})
    frame, column = _frame(given, ids.what)
    known = IdMap(frame[column], ids.what)
    places = known.lookup(ids.ids)
    absent = places < 0
    if absent.all():
        raise DataError(
            f"the titles have none of the {len(ids):,} {ids.what}s of the map, such as "
            f"{show(ids.ids[0])}: are the ids the same?"
        )
    rows = frame.drop(columns=column).reset_index(drop=True).reindex(np.where(absent, -1, places))
    rows = rows.reset_index(drop=True)
    if TITLE in rows:
        titles = rows[TITLE].astype(object)
        missing = titles.isna()
        titles = as_texts(titles)
        blank = missing | (titles.str.strip() == "")
    else:
        titles, blank = fallback, pd.Series(absent)
    if blank.any():
        first = show(ids.ids[int(blank.to_numpy().argmax())])
        warn(
            f"{int(blank.sum()):,} of {len(ids):,} {ids.what}s have no title or no row, the first "
            f"{first}; they are called by their id"
        )
    rows[TITLE] = titles.where(~blank, fallback)
    return rows


def _frame(given: Any, what: str) -> tuple[pd.DataFrame, str]:
    """The table, and its column of ids."""
    column = "id" if what == "point" else f"{what}_id"
    if isinstance(given, Mapping):
        return pd.DataFrame({column: [*given], TITLE: [*given.values()]}), column
    if isinstance(given, pd.Series):
        return pd.DataFrame({column: given.index, TITLE: given.to_numpy()}), column
    if not is_table(given):
        raise DataError(
            f"what is known of the {what}s must be a table with the column {column}, or a mapping "
            f"from ids to titles, not {type(given).__name__}"
        )
    if isinstance(given, pd.DataFrame):
        frame = given
    else:
        source = as_source(given)
        blocks = [
            pd.DataFrame({name: for_pandas(block.columns[name]) for name in source.names})
            for block in source.blocks(source.names)
        ]
        frame = pd.concat(blocks, ignore_index=True)
    if column not in frame.columns:
        raise DataError(str(unknown_option("column", column, map(str, frame.columns))))
    return frame, column
