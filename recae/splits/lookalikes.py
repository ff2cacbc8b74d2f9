"""Ids that a reader would take for the same: " 7" and "7", "07" and "7", "Ann" and "ann"."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from recae.data.ids import show
from recae.errors import DataError, warn

Ids = npt.NDArray[np.generic]


def check_lookalikes(train: Ids, held_out: Ids, what: str, name: str) -> int:
    """How many held-out ids are no ids of the training part, but another spelling of one.

    train, held_out: (n,) distinct ids of users or items (`what`) of the training part and of the
    part called `name`. Raises DataError where blanks or the way to write a number make the
    difference; where only the case does, which may be meant, a RecaeWarning counts them.
    """
    if train.dtype != object or held_out.dtype != object:
        return 0  # integers have one spelling
    known: pd.Index = pd.Index(train)
    strange = held_out[known.get_indexer(pd.Index(held_out)) < 0]
    if not len(strange):
        return 0
    for fold_case in (False, True):
        plain = pd.Series(train, index=_plain(train, fold_case))
        plain = plain[~plain.index.duplicated()]
        meant = plain.reindex(_plain(strange, fold_case)).to_numpy()
        alike = pd.notna(meant)
        if alike.any():
            first, second = strange[alike][0], meant[alike][0]
            message = (
                f"{int(alike.sum()):,} {what} ids of the {name} part are not in train, but look "
                f"like one that is: {show(first)} and {show(second)}"
            )
            if not fold_case:
                raise DataError(
                    f"{message}; write both in the same way (strip blanks, drop leading zeros) "
                    "before they become Interactions"
                )
            warn(f"{message}; if they are the same {what}, write them in the same case")
            return int(alike.sum())
    return 0


def _plain(ids: Ids, fold_case: bool) -> pd.Index:
    """The ids without what a reader overlooks, (n,) text."""
    text = pd.Series(ids, dtype=object).str.normalize("NFKC").str.strip()
    text = text.str.replace(r"^\+?0*(\d+)(?:\.0*)?$", r"\1", regex=True)
    return pd.Index(text.str.casefold() if fold_case else text)
