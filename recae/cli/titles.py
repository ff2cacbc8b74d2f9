"""What items are called: a table of titles, matched by id."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from recae.data import IdMap, as_ids
from recae.data.tables.paths import file_errors
from recae.data.tables.sources import read_frame
from recae.errors import DataError, unknown_option

Titles = Callable[[pd.Series], "list[str]"]


def read_titles(path: str, item: str, title: str) -> Titles:
    """Reads a Parquet, CSV or TSV file; the result maps a column of item ids to their titles.

    An item that the file does not have is called "". Raises DataError for a file or column that is
    not there and for an item with two titles.
    """
    frame = read_frame_of(path, item, title)
    with file_errors(path):
        known = IdMap(as_ids(frame[item], "item"), "item")
    texts = np.append(frame[title].fillna("").astype(str).to_numpy(dtype=object), "")
    return lambda items: list(texts[known.lookup(items)])  # the last, "", is what -1 finds


def read_frame_of(path: str, *columns: str) -> pd.DataFrame:
    """A Parquet, CSV or TSV file. Raises DataError for one without these columns or not there."""
    with file_errors(path) as file:
        frame = _read(file)
        for column in columns:
            if column not in frame.columns:
                raise DataError(str(unknown_option("column", column, map(str, frame.columns))))
    return frame


def _read(file: Path) -> pd.DataFrame:
    suffixes = [suffix.lower() for suffix in file.suffixes]
    if suffixes[-1:] in ([".parquet"], [".pq"]):
        return read_frame(file)
    return pd.read_csv(file, sep="\t" if ".tsv" in suffixes else ",")
