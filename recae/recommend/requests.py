"""Whose recommendations are asked for: histories become rows in the model's item order."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from recae.data import IdMap, Interactions, as_ids, as_interactions
from recae.data.ids import show
from recae.data.splits.folds import Fold
from recae.errors import DataError, unknown_option, warn
from recae.ranking.batches import Request
from recae.ranking.top_k import TopK

UNKNOWN = ("raise", "skip", "popular")


def align(history: Interactions, items: IdMap) -> Interactions:
    """The same histories in the item order of `items`, matched by id.

    Interactions with items that are not in `items` are left out, with a RecaeWarning that counts
    them: a catalogue grows between one fit and the next.
    """
    if history.items == items:
        return history
    aligned, left_out = history.with_items(items)
    if left_out:
        used = history.items.decode(np.unique(history.matrix.indices))
        unknown = used[items.lookup(used) < 0]
        warn(
            f"{left_out:,} of {history.nnz:,} interactions are left out: the model does not know "
            f"their {len(unknown):,} items, the first {show(unknown[0])}"
        )
    return aligned


def resolve(
    items: IdMap, fitted: Interactions | None, users: Any, history: Any, on_unknown: str
) -> Request:
    """The rows asked for. `fitted` are the interactions the model was fitted on, if it has them.

    Raises DataError for unknown users and for users of whom nothing is known, unless `on_unknown`
    says to "skip" them or to answer with the "popular" items.
    """
    if on_unknown not in UNKNOWN:
        raise unknown_option("on_unknown", on_unknown, UNKNOWN)
    if history is None:
        if fitted is None:
            raise DataError(
                "this model carries no interactions: pass history=..., "
                "or save it with save(..., with_history=True)"
            )
        known_users = fitted
    else:
        known_users = align(as_interactions(history, items), items)
    request = _pick(known_users, users, on_unknown)
    return _without_strangers(request, on_unknown)


def _pick(source: Interactions, users: Any, on_unknown: str) -> Request:
    """The rows of `source` for `users` (None: all of them); strangers get an empty row."""
    if users is None:
        ids, matrix = source.users.ids, source.matrix
    else:
        ids = as_ids([users] if np.isscalar(users) else users, "user")
        ids = ids if len(ids) else source.users.ids[:0]  # of the type that other lists would have
        codes = source.users.encode(ids) if on_unknown == "raise" else source.users.lookup(ids)
        known = source.matrix[codes[codes >= 0]]
        lengths = np.zeros(len(ids), dtype=np.int64)
        lengths[codes >= 0] = np.diff(known.indptr)
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        shape = (len(ids), source.n_items)
        matrix = sp.csr_matrix((known.data, known.indices, indptr), shape=shape)
    return Request(ids, matrix, np.diff(matrix.indptr) > 0)


def _without_strangers(request: Request, on_unknown: str) -> Request:
    strangers = np.flatnonzero(~request.known)
    if not len(strangers) or on_unknown == "popular":
        return request
    message = (
        f"nothing is known of {len(strangers)} of {len(request)} users "
        f"(no interactions with items of the model), the first {show(request.users[strangers[0]])}"
    )
    if on_unknown == "raise":
        raise DataError(
            f"{message}: pass on_unknown='popular' to give them popular items, or 'skip'"
        )
    warn(f"{message}; they are left out")
    keep = np.flatnonzero(request.known)
    return Request(request.users[keep], request.matrix[keep], request.known[keep])


def check_validation(validation: object) -> None:
    """Before training: its first epoch would be lost otherwise."""
    if not isinstance(validation, Fold):
        raise DataError(
            f"validation must be a Fold, such as Split.validation, not {type(validation).__name__}"
        )
    if not validation.target.nnz:
        raise DataError("no user of the validation fold has a target: there is nothing to measure")


def top_k_frame(users: np.ndarray, items: IdMap, top: TopK) -> pd.DataFrame:
    """`user_id, item_id, score, rank` (from 1) of lists, (rows,) user ids beside them; places where
    nothing is left have no row."""
    rows, places = np.nonzero(top.items >= 0)
    return pd.DataFrame(
        {
            "user_id": _column(users[rows]),
            "item_id": _column(items.decode(top.items[rows, places])),
            "score": top.scores[rows, places],
            "rank": places + 1,
        }
    )


def _column(ids: np.ndarray) -> pd.Series[Any]:
    """Ids as a column of a frame, of the same type when there are none."""
    return pd.Series(ids, dtype=_text() if ids.dtype == object else None)


@cache
def _text() -> Any:
    """What pandas keeps text in; 2 and 3 differ in it."""
    return pd.Series(["text"]).dtype
