"""Titles of items from a file, matched by id."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from recae.data import ItemTable

Titles = Callable[[pd.Series], "list[str]"]


def read_titles(path: str, item: str, title: str) -> Titles:
    """Reads a Parquet, CSV or TSV file; the result maps a column of item ids to their titles.

    An item that the file does not have gets the title "". Raises DataError for a file or column
    that does not exist and for an item with two titles.
    """
    table = ItemTable(path, id_column=item)
    table.column(title), table.places([])  # mistakes in the table are found before any ranking
    return lambda items: table.texts(items, title, missing="")
