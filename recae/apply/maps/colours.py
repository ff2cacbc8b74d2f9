"""Titles of points, and what they can be coloured by: groups of labels, or amounts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp
from pandas.api import types

from recae.data import IdMap, Interactions
from recae.data.ids import show
from recae.data.item_table import ItemTable
from recae.errors import DataError, warn

TITLE = "title"
SHOWN = 8
"""Groups that get a colour of their own."""
MISSING = {"", "nan", "none", "(no genres listed)"}
"""Labels that count as missing, in lower case."""
LOGARITHMIC = 10.0
"""Least ratio of the largest to the smallest amount for a logarithmic scale."""
MOST_LABELS = 64
"""Labels considered for users: those with the most interactions."""


@dataclass(frozen=True, eq=False)
class Groups:
    """Labels of points.

    labels: CSR (n, labels) of ones. names: of the labels. shown: the labels that have a colour.
    codes: the place in `shown` of each point's colour, (n,), len(shown) for points without one.
    """

    labels: sp.csr_matrix
    names: tuple[str, ...]
    shown: tuple[str, ...]
    codes: npt.NDArray[np.int64]

    @property
    def groups_some(self) -> bool:
        """Whether the labels group the points: there are at most half as many as points."""
        return 2 * len(self.names) <= self.n_labelled

    @property
    def n_labelled(self) -> int:
        """The number of points that have a label."""
        return int((np.diff(self.labels.indptr) > 0).sum())

    def texts(self) -> list[str]:
        """All labels of each point, as one text."""
        names = np.array([*self.names, ""], dtype=object)
        pieces = pd.Series(names[self.labels.indices])
        row = np.repeat(np.arange(self.labels.shape[0]), np.diff(self.labels.indptr))
        joined = pieces.groupby(row).agg(", ".join)
        return list(joined.reindex(range(self.labels.shape[0]), fill_value=""))


@dataclass(frozen=True, eq=False)
class Amounts:
    """A number for each point, (n,) float64, NaN where it is unknown."""

    values: npt.NDArray[np.float64]

    @property
    def logarithmic(self) -> bool:
        """Whether to use a logarithmic scale: the amounts are positive, span a factor of
        `LOGARITHMIC`, and their logarithms are less skewed."""
        from scipy.stats import skew

        known = self.values[np.isfinite(self.values)]
        if not len(known) or known.min() <= 0 or known.max() < LOGARITHMIC * known.min():
            return False
        return abs(float(skew(np.log(known)))) < abs(float(skew(known)))


def as_texts(column: pd.Series) -> pd.Series:
    """Values as text that UTF-8 can encode: lone surrogates become question marks."""
    plain = [str(value).encode("utf-8", "replace").decode() for value in column]
    return pd.Series(plain, index=column.index, dtype=object)


def about_points(given: Any, ids: IdMap) -> pd.DataFrame:
    """The column `title` and the other columns of a table, one row for each of `ids`.

    given: None, or what `ItemTable` reads: a table with the column item_id (user_id for users, id
    for codes), or a mapping from ids to titles. Points without a title are named by their id, with
    a RecaeWarning that counts them. Raises DataError as `ItemTable` does, and if the table has none
    of the ids.
    """
    fallback = pd.Series([str(id) for id in ids.ids], dtype=object)
    if given is None:
        return pd.DataFrame({TITLE: fallback})
    table = ItemTable(given, what=ids.what, id_column="id" if ids.what == "point" else None)
    rows = table.rows(ids, required=True)
    if TITLE in rows:
        titles = rows[TITLE].astype(object)
        blank = titles.isna()
        titles = as_texts(titles)
        blank |= titles.str.strip() == ""
    else:
        titles, blank = fallback, pd.Series(table.places(ids) < 0)
    if blank.any():
        first = show(ids.ids[int(blank.to_numpy().argmax())])
        warn(
            f"{int(blank.sum()):,} of {len(ids):,} {ids.what}s have no title or no row, the first "
            f"is {first}; they are named by their id"
        )
    rows[TITLE] = titles.where(~blank, fallback)
    return rows


def colour_of(column: pd.Series, name: str) -> Groups | Amounts:
    """A column as a colour: numbers become amounts, text becomes labels separated by |.

    The `SHOWN` most frequent labels get a colour. A point has the colour of the rarest of its
    labels among these, which is the most specific. Raises DataError for other types.
    """
    if types.is_numeric_dtype(column.dtype) and not types.is_bool_dtype(column.dtype):
        return Amounts(column.to_numpy(dtype=np.float64, na_value=np.nan))
    texts = column.astype(object).where(column.notna(), "")
    odd = ~texts.map(lambda value: isinstance(value, str | bool | np.bool_)).to_numpy(dtype=bool)
    if odd.any():
        row = int(odd.argmax())
        raise DataError(
            f"column {name!r} must hold numbers or text to colour by; found "
            f"{type(texts.iloc[row]).__name__} ({int(odd.sum()):,} such rows)"
        )
    pieces = as_texts(texts).str.split("|").explode().str.strip()
    pieces = pieces[~pieces.str.lower().isin(MISSING)]
    codes, names = pd.factorize(pieces, sort=True)
    cells = np.ones(len(codes), dtype=np.int64), (pieces.index.to_numpy(dtype=np.int64), codes)
    labels = sp.csr_matrix(cells, shape=(len(column), len(names)))  # adds repetitions up
    labels.sort_indices()  # not every scipy does
    labels.data[:] = 1
    return grouped(labels, [str(name) for name in names])


def grouped(labels: sp.csr_matrix, names: list[str]) -> Groups:
    """Groups of labels, with the most frequent ones shown."""
    counts = np.asarray(labels.sum(axis=0)).ravel()
    frequent = np.argsort(-counts, kind="stable")[:SHOWN]
    # 1 for the most frequent: the largest of a row is its rarest, 0 if none is shown.
    weights = np.zeros(len(names), dtype=np.int64)
    weights[frequent] = np.arange(1, len(frequent) + 1)
    ranked = labels.multiply(weights[None, :]) if len(names) else labels
    best = sp.csr_matrix(ranked).max(axis=1).toarray().ravel() if len(names) else 0
    codes = np.where(best > 0, best - 1, len(frequent)) * np.ones(labels.shape[0], dtype=np.int64)
    shown = tuple(names[place] for place in frequent)
    return Groups(labels, tuple(names), shown, codes.astype(np.int64))


def taste(history: Interactions, titles: Any) -> dict[str, Groups]:
    """The most overrepresented item label of each user, as a colour named like the label column.

    A label has the share p of all interactions, and m of a user's n. Its standard score is (m - n
    p) / sqrt(n p (1 - p)); the largest among labels with m > 0 wins. Users whose items have no
    label get none. Raises DataError for titles without a column of labels.
    """
    frame = about_points(titles, history.items)
    for name in (str(name) for name in frame.columns if name != TITLE):
        labels = colour_of(frame[name], name)
        if isinstance(labels, Groups) and labels.names:
            return {name: _overrepresented(history, labels)}
    raise DataError("titles have no column of labels, such as genres: needed to colour users")


def _overrepresented(history: Interactions, labels: Groups) -> Groups:
    """The label of each user that occurs most beyond chance in the history, by the score (had - n
    p) / sqrt(n p (1 - p)). Only the MOST_LABELS most frequent labels count."""
    items = sp.csr_matrix(history.matrix, copy=True)
    items.data = np.ones_like(items.data)
    weight = np.asarray(items.sum(axis=0)).ravel() @ labels.labels
    often = np.sort(np.argsort(-weight, kind="stable")[:MOST_LABELS])
    had = (items @ labels.labels[:, often]).toarray().astype(np.float64)  # (n_users, labels)
    length = np.diff(items.indptr)[:, None]
    share = weight[often] / max(items.nnz, 1)
    spread = np.sqrt(length * share * (1 - share))
    with np.errstate(invalid="ignore", divide="ignore"):
        beyond = np.where(spread > 0, (had - length * share) / spread, 0)
    beyond[had == 0] = -np.inf  # only labels that occur in the history
    users = np.flatnonzero((had > 0).any(axis=1))
    best = beyond[users].argmax(axis=1)
    one_each = np.ones(len(users), dtype=np.int64), (users, best)
    found = sp.csr_matrix(one_each, shape=(len(had), len(often)))
    return grouped(found, [labels.names[place] for place in often])


LIGHT = ("#2001ff", "#dd7705", "#01b77e", "#aa4871", "#485700", "#4388ff", "#851e88", "#d41844")
DARK = ("#5d86ff", "#ff9fab", "#10a465", "#c51200", "#93cf10", "#31d0ff", "#7505f3", "#9f3357")
OTHER_LIGHT, OTHER_DARK = "#a3abb3", "#77818c"
MARKS = ("o", "s", "^", "D", "v", "P", "X", "p")
"""Markers of matplotlib; `draw.js` draws the same."""

SCALE = "#440154 #482878 #3e4989 #31688e #26828e #1f9e89 #35b779 #6ece58 #b5de2b".split()
"""The scale of amounts, dark to light: viridis (van der Walt & Smith, 2015) less its last ninth."""
SKIPPED_IN_THE_DARK = 2
"""Colours at the start of SCALE that are as dark as a dark page."""
