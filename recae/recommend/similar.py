"""Similar items, similar users, and the scores of single pairs, batch by batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from torch import Tensor

from recae.data import IdMap, Interactions, as_ids, read_columns
from recae.data.ids import show
from recae.errors import check_option, warn
from recae.nn.products import FactoredScores
from recae.ranking.batches import (
    BLOCK_ROWS,
    RankedLists,
    Request,
    ScoreRows,
    dense,
    rows_per_batch,
    top_k_of_blocks,
)
from recae.ranking.top_k import TopK, top_k
from recae.recommend.requests import top_k_frame
from recae.recommend.rules.lists import UNKNOWN_ITEMS, allowed_items, item_codes
from recae.recommend.sparse import sparse_scores, unit_rows


@dataclass(frozen=True)
class Context:
    """A user for whom similar items are found: scores (n_items,), and the seen items, (seen,)."""

    scores: Tensor
    seen: Tensor

    def added(self, found: Tensor, itself: tuple[Any, Any], allowed: np.ndarray | None) -> Tensor:
        """Similarities (rows, n_items) plus the scores, each with mean 0 and deviation 1 over the
        items that may be listed in a row; -inf for the others. itself: cells not to list."""
        listed = found.isfinite() & self.scores.isfinite()
        listed[:, self.seen] = False
        listed[itself] = False
        if allowed is not None:
            listed &= torch.from_numpy(allowed)
        total = standardised(found, listed) + standardised(self.scores.expand_as(found), listed)
        return total.float().masked_fill_(~listed, -torch.inf)


def standardised(values: Tensor, counted: Tensor) -> Tensor:
    """Rows of mean 0 and deviation 1 over the counted cells, float64; zeros for a constant row."""
    values = torch.where(counted, values.double(), 0)
    n = counted.sum(1, keepdim=True).clamp_min(1)
    centred = torch.where(counted, values - values.sum(1, keepdim=True) / n, 0)
    deviation = (centred.square().sum(1, keepdim=True) / n).sqrt()
    flat = deviation <= 1e-7 * values.abs().amax(1, keepdim=True)
    return torch.where(flat, 0, centred / torch.where(flat, 1, deviation))


def similar_items(
    similarities: Callable[[np.ndarray], Tensor],
    known: IdMap,
    counts: np.ndarray,
    of: Any,
    k: int,
    rules: tuple[Any, Any, str],
    on_unknown: str,
    context: Context | None = None,
) -> pd.DataFrame:
    """The frame of `Recommender.similar_items`.

    similarities: of the items of some codes to all, a fresh (len(codes), n_items); counts: the
    training users of each item. rules: `items`, `exclude_items` and `on_unknown_items`. context:
    the user for whom they are similar, if there is one.
    """
    check_option("on_unknown", on_unknown, ("raise", "skip"))
    check_option("on_unknown_items", rules[2], UNKNOWN_ITEMS)
    ids = as_ids([of] if np.isscalar(of) else of, "item")
    codes = known.encode(ids) if on_unknown == "raise" else known.lookup(ids)
    unknown = np.flatnonzero(codes < 0)
    if len(unknown):
        warn(
            f"{len(unknown):,} of {len(codes):,} items are left out: the model does not know them, "
            f"the first {show(ids[unknown[0]])}"
        )
        codes = codes[codes >= 0]
    codes = codes[counts[codes] > 0]  # nothing is known of the others
    allowed = comparable_items(known, counts, rules)
    lists = similar_lists(similarities, codes, len(known), k, allowed, context)
    parts = [top for _, top in lists]
    frame = top_k_frame(known.decode(codes), known, TopK.concatenate(parts))
    return frame.rename(columns={"item_id": "similar_item_id", "user_id": "item_id"})


def comparable_items(known: IdMap, counts: np.ndarray, rules: tuple[Any, Any, str]) -> Any:
    """The items that may be listed, (n_items,) bool, or None for all; see `similar_items`."""
    allowed = allowed_items(known, *rules)
    if counts.all():
        return allowed
    return counts > 0 if allowed is None else allowed & (counts > 0)


def similar_lists(
    similarities: Callable[[np.ndarray], Tensor],
    codes: np.ndarray,
    n_items: int,
    k: int,
    allowed: np.ndarray | None,
    context: Context | None = None,
    step: int | None = None,
) -> RankedLists:
    """The lists of the items of some codes, batch by batch; one empty batch for no codes.

    similarities, context: as in `similar_items`; allowed: as `comparable_items` says. step: items
    of a batch.
    """
    step = rows_per_batch("auto", n_items) if step is None else step
    for start in range(0, max(len(codes), 1), step):
        some = codes[start : start + step]
        itself = (np.arange(len(some)), some)
        found = similarities(some)
        if context is not None:
            found = context.added(found, itself, allowed)
        top = top_k(found, k, exclude=itself, allowed=allowed, overwrite=True)
        yield slice(start, start + len(some)), top


def similar_users(
    rows_of: Callable[[Any], Any], asked: Request, searched: Request, k: int, itself: bool
) -> pd.DataFrame:
    """The frame of `Recommender.similar_users`.

    rows_of: codes (rows, latent) of CSR histories, or histories, CSR; itself: whether a user of
    `asked` is the one of the same id in `searched`, who is left out.
    """
    searched = searched.part(np.flatnonzero(searched.known))
    users = IdMap(searched.users, "user")
    k = min(k, len(users))
    own = users.lookup(asked.users) if itself else np.full(len(asked), -1)
    among = _unit(rows_of, searched.matrix)
    columns: Any = among if isinstance(among, Tensor) else sp.csr_matrix(among.T)
    step = BLOCK_ROWS if isinstance(among, Tensor) else rows_per_batch("auto", len(users))
    parts = []
    for start in range(0, len(asked) if k else 0, step):
        rows = slice(start, start + step)
        unit = _unit(rows_of, asked.matrix[rows])
        places = own[rows]
        with_self = np.flatnonzero(places >= 0)
        cells = np.ones(len(with_self)), (with_self, places[with_self])
        exclude = sp.csr_matrix(cells, shape=(len(places), len(users)))
        if isinstance(unit, Tensor):
            top = top_k_of_blocks(FactoredScores(unit, columns), k, exclude=exclude)
        else:
            top = top_k(sparse_scores(unit, columns), k, exclude=exclude, overwrite=True)
        parts.append(top_k_frame(asked.users[rows], users, top))
    if not parts:
        nothing = TopK(np.empty((0, 1), dtype=np.int32), np.empty((0, 1), dtype=np.float32))
        parts = [top_k_frame(asked.users[:0], users, nothing)]
    frame = pd.concat(parts, ignore_index=True)
    return frame.rename(columns={"item_id": "similar_user_id"})


def _unit(rows_of: Callable[[Any], Any], matrix: Any) -> Any:
    """Rows of Euclidean length 1, so that their products are cosines."""
    parts: list[Any] = []
    for start in range(0, max(matrix.shape[0], 1), BLOCK_ROWS):
        found = rows_of(matrix[start : start + BLOCK_ROWS])
        codes = isinstance(found, Tensor)
        parts.append(torch.nn.functional.normalize(found, dim=1) if codes else unit_rows(found))
    return torch.cat(parts) if codes else sp.csr_matrix(sp.vstack(parts))


def pair_scores(
    score_rows: ScoreRows,
    pairs: Any,
    known: IdMap,
    request_of: Callable[[np.ndarray], Request],
    on_unknown_items: str,
) -> pd.DataFrame:
    """The frame of `Recommender.score_pairs`; request_of: the rows to score for distinct users."""
    check_option("on_unknown_items", on_unknown_items, UNKNOWN_ITEMS)
    if isinstance(pairs, Interactions):
        pairs = pairs.to_frame()
    if isinstance(pairs, pd.DataFrame) and {"user_id", "item_id"} <= {*pairs} and not len(pairs):
        return pairs[["user_id", "item_id"]].assign(score=np.empty(0, dtype=np.float32))
    columns = read_columns(pairs, "user_id", "item_id", ())
    users, of_pairs = IdMap.from_values(columns["user_id"], "user")
    items = item_codes(known, columns["item_id"], "pairs", on_unknown_items)
    request = request_of(users.ids)
    places = IdMap(request.users, "user").lookup(users.ids)[of_pairs]
    out = np.full(len(columns), np.nan, dtype=np.float32)
    order = np.argsort(places, kind="stable")
    order = order[(places[order] >= 0) & (items[order] >= 0)]
    step, popularity = rows_per_batch("auto", len(known)), request.popularity
    for start in range(0, len(request), step):
        rows = slice(start, start + step)
        first, last = np.searchsorted(places[order], [rows.start, rows.stop])
        some = order[first:last]
        if not len(some):
            continue
        scores = dense(score_rows(request.matrix[rows])).cpu().numpy()
        if popularity is not None:
            scores[~request.known[rows]] = popularity
        out[some] = scores[places[some] - start, items[some]]
    index = pairs.index if isinstance(pairs, pd.DataFrame) else None
    named = {"user_id": columns["user_id"], "item_id": columns["item_id"], "score": out}
    frame = pd.DataFrame(named)
    return frame if index is None else frame.set_axis(index, axis=0)
