"""Explains histories in batches: scores, parts, and the frames of an `Explanation`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from torch import Tensor

from recae.data import IdMap, as_ids
from recae.data.ids import show
from recae.data.tables.sources import is_table
from recae.errors import DataError, check_integer
from recae.ranking.batches import Request, dense, rank_batches
from recae.ranking.top_k import TopK
from recae.recommend.explain.explanation import Explanation
from recae.recommend.explain.parts import Padded, Parts
from recae.recommend.requests import id_column

Columns = dict[str, np.ndarray]

BEST = 10
"""Items that are explained without `items`."""

CELLS = 1 << 19
"""Contributions held at a time, about; a history alone may have more."""

SCORES = 1 << 24
"""Scores held at a time."""


@torch.inference_mode(False)  # of a caller: what is made in it has no gradients ever
@torch.no_grad()
def explained(model: Any, history: Any, items: Any, top: Any) -> Explanation:
    """The result of `Recommender.explain`."""
    model._check_fitted()
    top = check_integer("top", top)
    columns = None if items is None else item_columns(model, items)
    request = _known_list(model.items_, history)
    if request is None:
        request = model._rows(None, history, "popular")
        _check_known(request)
    contributions, totals, how = [], [], ""
    for rows in batches(request, BEST if columns is None else len(columns), len(model.items_)):
        part = request.part(rows)
        asked, scores = _asked(model, part, columns)
        parts = model._explain_rows(part.matrix, asked.clamp_min(0))
        how = parts.how
        numbers = _numbers(part, asked, scores, parts, top)
        contributions.append(numbers[0])
        totals.append(numbers[1])
    return Explanation(_frame(model, contributions), _frame(model, totals), how)


def _known_list(known: IdMap, history: Any) -> Request | None:
    """The one row of a plain list of known ids: what a service asks for; None for all else."""
    if not isinstance(history, list) or {type(item) for item in history} not in ({int}, {str}):
        return None
    codes = np.unique(known.lookup(as_ids(history, "item")))
    if codes[0] < 0:
        return None
    cells = np.ones(len(codes), dtype=np.float32), codes.astype(np.int32), [0, len(codes)]
    row = sp.csr_matrix(cells, shape=(1, len(known)))
    return Request(np.zeros(1, dtype=np.int64), row, np.ones(1, dtype=bool))


def _check_known(request: Request) -> None:
    """Raises DataError if there is nothing in a history that could explain a score."""
    cold = np.flatnonzero(~request.known)
    if len(cold):
        raise DataError(
            f"{len(cold):,} of {len(request):,} histories have no item that the model knows (the "
            f"first is of user {show(request.users[cold[0]])}), so that nothing explains a score: "
            "leave them out",
            parameter="history",
        )


def item_columns(model: Any, items: Any) -> np.ndarray:
    """The columns of item ids, (asked,) int64, each once. Raises DataError for unknown ones."""
    if is_table(items) or isinstance(items, Mapping):
        raise DataError(
            f"items must be a list of item ids, the same for all histories, not "
            f"{type(items).__name__}",
            parameter="items",
            value=items,
        )
    ids = as_ids([items] if np.isscalar(items) else items, "item")
    codes: np.ndarray = model.items_.encode(ids)
    return codes[np.sort(np.unique(codes, return_index=True)[1])]


def batches(request: Request, asked: int, n_items: int) -> Iterator[slice]:
    """Slices of the rows in which few contributions and scores are held; one row at least."""
    lengths = np.maximum(np.diff(request.matrix.indptr), 1)
    most = max(SCORES // max(n_items, 1), 1)
    start, n = 0, len(request)
    while start < n or start == 0:
        some = np.maximum.accumulate(lengths[start : start + most])
        cells = some * np.arange(1, len(some) + 1) * max(asked, 1)
        stop = start + max(int(np.searchsorted(cells, CELLS, side="right")), 1)
        yield slice(start, min(stop, n))
        start = max(min(stop, n), 1)


def _asked(model: Any, part: Request, columns: np.ndarray | None) -> tuple[Tensor, Tensor]:
    """The items to explain, (rows, asked) int64, -1 for none, and their scores, float64."""
    if columns is not None:
        asked = torch.from_numpy(columns.astype(np.int64))
        scores = dense(model._score_rows(part.matrix))
        return asked.expand(len(part), -1), scores[:, asked.to(scores.device)].double().cpu()
    unseen = replace(part, exclude=part.matrix)
    most = min(BEST, len(model.items_))
    tops = [
        top
        for _, top in rank_batches(model._score_rows, unseen, most, batch_size=max(len(part), 1))
    ]
    best = TopK.concatenate(tops)
    return torch.from_numpy(best.items.astype(np.int64)), torch.from_numpy(best.scores).double()


def _numbers(
    part: Request, asked: Tensor, scores: Tensor, parts: Parts, top: int
) -> tuple[Columns, Columns]:
    """The columns of both frames, with codes of items, for some histories."""
    filled = Padded.of(part.matrix)
    order = filled.items.numpy()  # (rows, longest)
    values = parts.contributions.numpy().transpose(0, 2, 1)  # (rows, asked, longest)
    there = (order >= 0)[:, None, :]
    ranked = np.argsort(np.where(there, -values, np.inf), axis=2, kind="stable")[:, :, :top]
    shown = np.take_along_axis(values, ranked, 2)
    codes = np.take_along_axis(np.broadcast_to(order[:, None, :], values.shape), ranked, 2)
    kept = (codes >= 0) & (asked.numpy() >= 0)[:, :, None]
    rows, items, places = np.nonzero(kept)
    contributions = {
        "user_id": part.users[rows],
        "item_id": asked.numpy()[rows, items],
        "history_item_id": codes[kept],
        "contribution": shown[kept],
        "rank": places + 1,
    }
    total, of_shown = values.sum(2), np.where(codes >= 0, shown, 0).sum(2)
    listed = asked.numpy() >= 0
    rows, items = np.nonzero(listed)
    score, baseline = scores.numpy()[listed], parts.baseline.numpy()[listed]
    rest = np.where(np.diff(part.matrix.indptr)[:, None] > top, total - of_shown, 0)[listed]
    of_shown = of_shown[listed]
    off = np.isfinite(score)
    baseline = np.where(off, baseline, score)  # nothing in the history leads to such an item
    error = np.zeros(len(score))
    error[off] = score[off] - baseline[off] - of_shown[off] - rest[off]
    totals = {
        "user_id": part.users[rows],
        "item_id": asked.numpy()[rows, items],
        "score": score,
        "baseline": baseline,
        "explained": of_shown,
        "rest": rest,
        "error": error,
    }
    return contributions, totals


def _frame(model: Any, blocks: list[Columns]) -> pd.DataFrame:
    """The blocks one below the other, with the ids of users and items."""
    frame = {}
    for name in blocks[0]:
        values = np.concatenate([block[name] for block in blocks])
        if name.endswith("item_id"):
            values = model.items_.decode(values)
        frame[name] = id_column(values) if values.dtype == object else values
    return pd.DataFrame(frame)
