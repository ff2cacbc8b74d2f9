"""Requests: the rows to rank for given users or for a fold, and the metrics of their lists."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from recae.data import IdMap, Interactions, as_ids, as_interactions
from recae.data.csr import is_sparse
from recae.data.ids import show
from recae.data.splits import Fold
from recae.data.tables.sources import is_table, remedy
from recae.errors import ConfigError, DataError, check_option, warn
from recae.metrics import (
    AnyMetric,
    MetricAccumulator,
    TargetRanks,
    parse_metric,
    target_ranks,
)
from recae.ranking.batches import (
    Look,
    RankedLists,
    Request,
    ScoreRows,
    dense,
    rank_batches,
    rows_per_batch,
)
from recae.ranking.top_k import TopK
from recae.recommend.rules.lists import of_users, rows_or_empty
from recae.recommend.selected import Selected, in_columns
from recae.recommend.weights import warn_if_missing

UNKNOWN = ("raise", "skip", "popular")


def align(history: Interactions, items: IdMap) -> Interactions:
    """The same histories in the item order of `items`, matched by id.

    Interactions with items that are not in `items` are left out, with a RecaeWarning that counts
    them: the catalogue may have grown since the fit.
    """
    if history.items == items:
        return history
    aligned, left_out = history.with_items(items)
    if left_out:
        used = np.flatnonzero(np.bincount(history.matrix.indices))
        _warn_of_left_out(history, left_out, used[items.lookup(history.items.decode(used)) < 0])
    return aligned


def _warn_of_left_out(history: Interactions, left_out: int, unknown: np.ndarray) -> None:
    """Counts what the model does not know. unknown: the codes of the items."""
    warn(
        f"{left_out:,} of {history.nnz:,} interactions are left out: the model does not know "
        f"their {len(unknown):,} items, the first {show(history.items.decode(unknown[:1])[0])}"
    )


def as_histories(history: Any, items: IdMap) -> Interactions:
    """Histories in the item order of `items`: Interactions, a table, a scipy matrix in that order
    already, {user: item ids}, or the item ids of one user, who is then user 0.

    Raises DataError for anything else. Unknown items are left out with a warning, see `align`.
    """
    if isinstance(history, Iterable) and (hint := remedy(history)):  # a stream may have no end
        raise DataError(
            f"history must be one table, {{user: items}} or a list of items, not "
            f"{type(history).__name__}{hint}",
            parameter="history",
            value=history,
        )
    if isinstance(history, Mapping):
        return align(of_users("history", history), items)
    if is_list(history):
        history = history if hasattr(history, "to_pandas") else [*history]
        if len(history) and isinstance(history[0], list | tuple | set | np.ndarray):
            raise DataError(
                "history holds several lists of items: give {user: items}, a table or Interactions",
                parameter="history",
                value=history,
            )
        return align(of_users("history", {0: as_ids(history, "item")}), items)
    return align(as_interactions(history, items), items)


def is_list(given: Any) -> bool:
    """Whether this is one list of ids: of any kind, but with one dimension."""
    if type(given).__name__ in ("Series", "ChunkedArray"):  # Arrow streams too, of one column
        return True
    if is_table(given) or is_sparse(given) or isinstance(given, Interactions | str | bytes):
        return False
    return isinstance(given, Iterable) and getattr(given, "ndim", 1) == 1


def histories_of(model: Any, history: Any) -> Interactions:
    """`as_histories` for a model, with a warning where weights are missing that it uses: not for
    lists of ids, which have no place for them."""
    histories = as_histories(history, model.items_)
    if not isinstance(history, Mapping) and not is_list(history):
        warn_if_missing(model, histories.matrix.data)
    return histories


def resolve(
    model: Any, users: Any, history: Any, on_unknown: str, *, lazily: bool = False
) -> Request:
    """The requested rows: of a history, or of the interactions the model was fitted on. lazily: the
    matrix may be a `Selected`, of which slices can be taken, and nothing else.

    Raises DataError for unknown users and for users without items of the model, unless `on_unknown`
    is "skip" (leave them out) or "popular" (give the most popular items).
    """
    check_option("on_unknown", on_unknown, UNKNOWN)
    if is_table(users) or is_sparse(users) or isinstance(users, Interactions):
        raise DataError(
            f"users must be user ids, not {type(users).__name__}: pass histories as history=...",
            parameter="users",
            value=users,
        )
    if history is None:
        if model.history_ is None:
            raise DataError(
                "this model carries no interactions: pass history=..., "
                "or save it with save(..., with_history=True)"
            )
        known_users = model.history_
    elif lazily and isinstance(history, Interactions):
        known_users = history
        warn_if_missing(model, history.matrix.data)
    else:
        known_users = histories_of(model, history)
    try:
        if lazily:
            request = _pick_lazily(known_users, model.items_, users, on_unknown)
        else:
            request = _pick(known_users, users, on_unknown)
    except DataError as error:
        if history is None or not (is_sparse(history) or is_list(history)):
            raise
        raise DataError(
            f"{error}. The rows of this history have no ids: they are the users 0 to "
            f"{known_users.n_users - 1}. Leave users out, or name them: "
            "Interactions.from_csr(history, users=[...], items=model.items_)",
            parameter="users",
            value=users,
        ) from None
    return _without_cold_users(request, on_unknown)


def _pick(source: Interactions, users: Any, on_unknown: str) -> Request:
    """The rows of `source` for `users` (None: all of them); the others get an empty row."""
    ids, rows = _wanted(source, users, on_unknown)
    matrix = source.matrix if rows is None else rows_or_empty(source.matrix, rows)
    return Request(ids, matrix, np.diff(matrix.indptr) > 0)


def _pick_lazily(source: Interactions, items: IdMap, users: Any, on_unknown: str) -> Request:
    """The same in the columns of `items`, without a copy of the histories."""
    ids, rows = _wanted(source, users, on_unknown)
    columns, lengths, left_out, unknown = in_columns(source, items)
    if left_out:
        _warn_of_left_out(source, left_out, unknown)
    lengths = lengths if rows is None else np.where(rows >= 0, lengths[rows], 0)
    selected = Selected(source.matrix, rows, columns, len(items), lengths)
    return Request(ids, selected, lengths > 0)


def _wanted(
    source: Interactions, users: Any, on_unknown: str
) -> tuple[np.ndarray, np.ndarray | None]:
    """The ids of the wanted users and their rows in `source`, -1 for none; rows None for all."""
    if users is None:
        return source.users.ids, None
    ids = as_ids([users] if np.isscalar(users) else users, "user")
    ids = ids if len(ids) else source.users.ids[:0]  # of the type that other lists would have
    known = source.users
    codes = known.lookup(ids)
    if on_unknown == "raise" and (codes < 0).any():
        try:
            known.encode(ids)
        except DataError as error:
            raise DataError(
                f"{error}: correct the id, or pass on_unknown='popular' to recommend popular items"
            ) from None
    return ids, codes


def _without_cold_users(request: Request, on_unknown: str) -> Request:
    """The request without users that have no history: they are an error, are left out with a
    warning, or stay to get popular items."""
    cold_users = np.flatnonzero(~request.known)
    if not len(cold_users) or on_unknown == "popular":
        return request
    skipped = request.users[cold_users]
    message = (
        f"{len(cold_users)} of {len(request)} users have no known history "
        f"(no interactions with items of the model), the first {show(skipped[0])}"
    )
    if on_unknown == "raise":
        message += (
            ": pass on_unknown='popular' to recommend popular items to them, or leave them out"
        )
        if len(cold_users) == len(request):
            message += ". Is this a table of other items, or are its columns of users and items "
            message += "swapped?"
        raise DataError(message)
    warn(f"{message}; they are left out")
    return replace(request.part(np.flatnonzero(request.known)), skipped=skipped)


def check_fold(name: str, fold: object) -> None:
    """Raises DataError unless this is a Fold in which a user has a target."""
    if not isinstance(fold, Fold):
        raise DataError(
            f"{name} must be a Fold, such as Split.test, not {type(fold).__name__}",
            parameter=name,
            value=fold,
        )
    if not fold.target.nnz:
        raise DataError(f"no user of {name} has a target: there is nothing to measure")


def top_k_frame(users: np.ndarray, items: IdMap, top: TopK) -> pd.DataFrame:
    """`user_id, item_id, score, rank` (from 1) of lists, (rows,) user ids beside them; empty places
    have no row."""
    rows, places = np.nonzero(top.items >= 0)
    return pd.DataFrame(
        {
            "user_id": id_column(users[rows]),
            "item_id": id_column(items.decode(top.items[rows, places])),
            "score": top.scores[rows, places],
            "rank": places + 1,
        }
    )


def with_notes(frame: pd.DataFrame, notes: tuple[dict[str, Any], ...]) -> pd.DataFrame:
    """The frame with what rules did in its `attrs`, and a warning of it."""
    if notes:
        frame.attrs["notes"] = list(notes)
        tell_notes(notes)
    return frame


def tell_notes(notes: tuple[dict[str, Any], ...]) -> None:
    """Warns of what rules did, if they did something that may be a mistake."""
    found = []
    for note in notes:
        counts = [f"{what} {n:,}" for what, n in note.items() if what not in ("rule", "refused")]
        found += [f"{note['rule']}: {', '.join(counts)}"] if counts else []
    if found:
        warn(f"rules made lists shorter or were ignored in part ({'; '.join(found)})")


def rows_as_frame(
    values: np.ndarray, users: np.ndarray, columns: Any, named: bool
) -> np.ndarray | pd.DataFrame:
    """The values, or a frame of them with the ids of the users as its index."""
    if not named:
        return values
    index = pd.Index(users, name="user_id", dtype="str" if users.dtype == object else None)
    return pd.DataFrame(values, index=index, columns=columns, copy=False)


def id_column(ids: np.ndarray) -> pd.Series[Any]:
    """Ids as a column of a frame, of the text type of this pandas even when there are none."""
    return pd.Series(ids, dtype="str" if ids.dtype == object else None)


def check_metric(name: str) -> None:
    """Raises ConfigError unless the metric can choose among epochs or weights."""
    metric = parse_metric(name)
    # The values of epochs and trials are found under the name that was given.
    if isinstance(name, str) and str(metric) != name:
        raise ConfigError(f"write {name!r} as {str(metric)!r}", parameter="metric", value=name)
    if not metric.of_hits:
        raise ConfigError(
            f"metric must measure hits and have a value per user, as ndcg@100; not {name!r}",
            parameter="metric",
            value=name,
        )


@dataclass(frozen=True)
class AlignedFold:
    """A fold in the items of a model: the histories, the mask, and the targets.

    history, target: those of the fold; they may have items that the model lacks. to_fold: the
    column of each item of the model in the fold, -1 for none, (n_items + 1,); the last entry maps
    -1, an empty place of a list, to itself. None where both have the same items.
    """

    request: Request
    history: Interactions
    target: Interactions
    items: IdMap
    to_fold: np.ndarray | None

    @classmethod
    def of(cls, fold: Fold, items: IdMap) -> AlignedFold:
        """Matches the fold's items to the model's by id. A target that the model lacks counts as a
        miss; in a history such an item is left out with a warning."""
        history = align(fold.history, items)
        mask = history if fold.mask is None else align(fold.mask, items)
        known = np.ones(history.n_users, dtype=bool)
        request = Request(history.users.ids, history.matrix, known, exclude=mask.matrix)
        same = fold.target.items == items
        to_fold = None if same else np.append(fold.target.items.lookup(items.ids), -1)
        return cls(request, fold.history, fold.target, items, to_fold)

    def counts(self, item_counts: np.ndarray) -> np.ndarray:
        """Counts of the model's items, in the order of the fold's items; 0 for other items."""
        if self.to_fold is None:
            return item_counts
        places = self.items.lookup(self.target.items.ids)  # -1, not found, is the added 0
        return np.append(item_counts, 0)[places]

    def ranked(
        self,
        score_rows: ScoreRows,
        k: int,
        batch_size: int | str = "auto",
        look: Look | None = None,
    ) -> RankedLists:
        """Yields the top k of each batch of the fold's rows, in order, as columns of the fold."""
        batches = rank_batches(score_rows, self.request, k, batch_size=batch_size, look=look)
        for rows, top in batches:
            to_fold = self.to_fold
            yield rows, top if to_fold is None else TopK(to_fold[top.items], top.scores)

    def look_for_ranks(self, found: list[TargetRanks]) -> Look:
        """Appends the ranks of the targets among the model's items, for `rank_batches`."""
        target = self.target if self.to_fold is None else self.target.with_items(self.items)[0]
        lacking = np.diff(self.target.matrix.indptr) - np.diff(target.matrix.indptr)

        def look(rows: slice, scores: torch.Tensor) -> None:
            targets = target.matrix[rows]
            found.append(target_ranks(scores, targets, lacking[rows].astype(np.int64)))

        return look


def measure(
    score_rows: ScoreRows,
    fold: AlignedFold,
    metrics: AnyMetric | Sequence[AnyMetric],
    *,
    batch_size: int | str = "auto",
) -> MetricAccumulator:
    """Ranks the histories of a fold and measures the lists against its targets, batch by batch."""
    accumulator = MetricAccumulator(metrics, fold.target.n_items)
    for rows, top in fold.ranked(score_rows, accumulator.max_k, batch_size):
        accumulator.update(top, fold.target.matrix[rows], fold.history.matrix[rows])
    return accumulator


def rating_error(score_rows: ScoreRows, histories: Any, targets: Any) -> float:
    """sqrt(mean over the entries of `targets` of (score - value)^2); CSR (rows, n_items) both."""
    total, step = 0.0, rows_per_batch("auto", histories.shape[1])
    for start in range(0, histories.shape[0], step):
        target = targets[start : start + step]
        scores = dense(score_rows(histories[start : start + step])).cpu()
        rows = np.repeat(np.arange(target.shape[0]), np.diff(target.indptr))
        cells = torch.from_numpy(rows), torch.from_numpy(target.indices.astype(np.int64))
        off = scores[cells].double() - torch.from_numpy(np.array(target.data))
        total += float(off.square().sum())
    return math.sqrt(total / targets.nnz)
