"""What points can be coloured by: labels in groups, or amounts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp
from pandas.api import types

from recae.errors import DataError

SHOWN = 8
"""Groups that have a colour of their own."""
OTHER = "other"
NOTHING = {"", "nan", "none", "(no genres listed)"}
"""Labels that say nothing, in lower case."""
TEN = 10.0
"""A logarithmic scale is for amounts whose largest is at least so many times their smallest."""


@dataclass(frozen=True, eq=False)
class Groups:
    """Labels of points: labels (n, labels) of ones, their names, and, of those that are shown, the
    one that gives a point its colour; codes: (n,) places in `shown`, len(shown) for any other."""

    labels: sp.csr_matrix
    names: tuple[str, ...]
    shown: tuple[str, ...]
    codes: npt.NDArray[np.int64]

    def texts(self) -> list[str]:
        """All labels of each point, as one text."""
        names = np.array([*self.names, ""], dtype=object)
        pieces = pd.Series(names[self.labels.indices])
        row = np.repeat(np.arange(self.labels.shape[0]), np.diff(self.labels.indptr))
        joined = pieces.groupby(row).agg(", ".join)
        return list(joined.reindex(range(self.labels.shape[0]), fill_value=""))


@dataclass(frozen=True, eq=False)
class Amounts:
    """A number for each point, (n,) float64, NaN where it is not known."""

    values: npt.NDArray[np.float64]

    @property
    def logarithmic(self) -> bool:
        """Whether a logarithmic scale shows them best: they span a factor of `TEN` above 0, and
        their logarithms are less skewed than they are."""
        known = self.values[np.isfinite(self.values)]
        if not len(known) or known.min() <= 0 or known.max() < TEN * known.min():
            return False
        return _skewness(np.log(known)) < _skewness(known)


def _skewness(values: npt.NDArray[np.float64]) -> float:
    """How skewed values are to either side."""
    centred = values - values.mean()
    spread = float(np.sqrt((centred**2).mean()))
    return abs(float((centred**3).mean())) / spread**3 if spread else 0.0


def as_texts(column: pd.Series) -> pd.Series:
    """Values as text that can be written: half a surrogate pair becomes a question mark."""
    plain = [str(value).encode("utf-8", "replace").decode() for value in column]
    return pd.Series(plain, index=column.index, dtype=object)


def colour_of(column: pd.Series, name: str) -> Groups | Amounts:
    """A column as a colour: numbers are amounts; text is labels, several with | between them.

    The most frequent labels are shown, at most `SHOWN`; a point has the colour of the rarest of its
    own among these, which says more than that half of all films are dramas. Raises DataError for a
    column of anything else.
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
    pieces = pieces[~pieces.str.lower().isin(NOTHING)]
    codes, names = pd.factorize(pieces, sort=True)
    cells = np.ones(len(codes), dtype=np.int64), (pieces.index.to_numpy(dtype=np.int64), codes)
    labels = sp.csr_matrix(cells, shape=(len(column), len(names)))  # which adds repetitions up
    labels.sort_indices()  # which not every scipy does by itself
    labels.data[:] = 1
    return grouped(labels, [str(name) for name in names])


def grouped(labels: sp.csr_matrix, names: list[str]) -> Groups:
    """Labels with the choice of those that are shown."""
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


LIGHT = ("#2001ff", "#dd7705", "#01b77e", "#aa4871", "#485700", "#4388ff", "#851e88", "#d41844")
DARK = ("#5d86ff", "#ff9fab", "#10a465", "#c51200", "#93cf10", "#31d0ff", "#7505f3", "#9f3357")
OTHER_LIGHT, OTHER_DARK = "#a3abb3", "#77818c"
MARKS = ("o", "s", "^", "D", "v", "P", "X", "p")
"""As matplotlib calls them; `draw.js` draws the same."""

SCALE = (
    "#440154",
    "#482878",
    "#3e4989",
    "#31688e",
    "#26828e",
    "#1f9e89",
    "#35b779",
    "#6ece58",
    "#b5de2b",
)
"""Of amounts, from dark to light: viridis (van der Walt & Smith, 2015) without its last ninth."""
SKIPPED_IN_THE_DARK = 2
"""The first colours of SCALE are no lighter than a dark page."""
