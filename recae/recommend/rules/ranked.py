"""Ranks histories under rules, batch by batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recae.data import IdMap
from recae.ranking.batches import (
    RankedLists,
    Request,
    ScoreRows,
    dense,
    rank_batches,
    rows_per_batch,
)
from recae.ranking.top_k import TopK, top_k
from recae.recommend.rules.bound import Bound, Notes
from recae.recommend.rules.choose import (
    Categories,
    CategorySimilarity,
    Forced,
    Miscalibration,
    Pool,
    VectorSimilarity,
    choose,
)
from recae.recommend.rules.declared import Rules
from recae.rng import Stream, uniforms
from recae.system.digests import sha256_of_arrays

ROWS = 256
"""Rows whose places are chosen together."""

GROWTH = 4
"""How many times larger a pool becomes that was too small for `at_most`."""


@dataclass(frozen=True)
class Ruled:
    """Ranks rows under rules. Its `notes` are complete when all batches are out."""

    score_rows: ScoreRows
    request: Request
    bound: Bound | None
    only: tuple[np.ndarray, Any] | None = None  # see `Bound.allowed_cells`

    @classmethod
    def of(
        cls,
        score_rows: ScoreRows,
        request: Request,
        rules: Rules | None,
        items: IdMap,
        vectors: Callable[[], Tensor],
    ) -> Ruled:
        """rules: None for none. items: those of the model; vectors: its item embeddings."""
        if rules is None:
            return cls(score_rows, request, None)
        bound = Bound(rules, items, vectors)
        only = bound.allowed_cells(request.users)
        return cls(score_rows, bound.narrowed(request), bound, only)

    @property
    def notes(self) -> tuple[dict[str, Any], ...]:
        """What the rules did, so far."""
        return () if self.bound is None else self.bound.notes.listed()

    def identity(self) -> Any:
        """What lists depend on beside `request`, ready for JSON; None without rules."""
        if self.bound is None:
            return None
        rules, found = self.bound.rules, self.bound.rules.to_json(ids=False)
        codes, places = self.bound.included(len(self.bound.items))
        arrays = [codes, places]
        if self.bound.factors is not None:
            arrays.append(self.bound.factors)
        if self.only is not None:
            arrays += [self.only[0], self.only[1].indptr, self.only[1].indices]
        if rules.category is not None and (rules.at_most is not None or rules.diversity > 0):
            arrays.append(self.bound.categories[0])
        return found | {"arrays": sha256_of_arrays(*arrays)}

    def batches(self, k: int, batch_size: int | str = "auto", first: int = 0) -> RankedLists:
        """Yields the top k of each batch of rows, in order, from a row on."""
        request, size = self.request, len(self.request)
        rest = request.part(slice(first, None)) if first else request
        if self.bound is None:
            yield from rank_batches(self.score_rows, rest, k, batch_size=batch_size)
            return
        rules, notes = self.bound.rules, self.bound.notes
        changes = rules.reorders or rules.scales or rules.min_score is not None
        if not changes and self.only is None:
            for rows, top in rank_batches(self.score_rows, rest, k, batch_size=batch_size):
                notes.add("allowed", "short", int(((top.items >= 0).sum(axis=1) < k).sum()))
                yield rows, top
            return
        forced = self.bound.included(k)
        step, start = rows_per_batch(batch_size, request.matrix.shape[1]), first
        while start < size or start == first:
            rows = slice(start, min(start + step, size))
            lists = _Batch(self, rows, k, *forced).lists()
            yield slice(rows.start - first, rows.stop - first), lists
            start = max(rows.stop, first + 1)


class _Batch:
    """Some rows of a request: their scores under the rules, and their lists."""

    def __init__(
        self, ruled: Ruled, rows: slice, k: int, codes: np.ndarray, places: np.ndarray
    ) -> None:
        assert ruled.bound is not None
        self.bound, self.part, self.k = ruled.bound, ruled.request.part(rows), k
        self.rules: Rules = self.bound.rules
        self.notes: Notes = self.bound.notes
        self.codes, self.places = codes, places
        self.only = None if ruled.only is None else (ruled.only[0][rows], ruled.only[1][rows])
        self.scores = self._scores(ruled.score_rows)
        self.may = self._may_be_included()
        self.own = self._own_scores()
        self._leave_out()
        self.left = self._left()

    def _scores(self, score_rows: ScoreRows) -> Tensor:
        """All scores of the rows with boosts and freshness, a fresh (rows, n_items) float32."""
        scores = dense(score_rows(self.part.matrix))
        strangers = np.flatnonzero(~self.part.known)
        if self.part.popularity is not None and len(strangers):
            counts = torch.from_numpy(np.asarray(self.part.popularity)).to(scores)
            scores[torch.from_numpy(strangers).to(scores.device)] = counts
        factors = self.bound.factors
        if factors is None:
            return scores
        real = scores.isfinite()
        lowest = torch.where(real, scores, torch.inf).amin(dim=1, keepdim=True)
        scaled = lowest + (scores - lowest) * torch.from_numpy(factors).to(scores)
        return torch.where(real, scaled, scores)

    def _may_be_included(self) -> np.ndarray:
        """Which rows may be given which included items, (rows, included)."""
        may = np.ones((len(self.part), len(self.codes)), dtype=bool)
        if len(self.codes):
            if self.part.allowed is not None:
                may &= np.asarray(self.part.allowed)[self.codes]
            if self.part.exclude is not None:
                may &= self.part.exclude[:, self.codes].toarray() == 0
            if self.only is not None:
                limited, cells = self.only
                may &= ~limited[:, None] | (cells[:, self.codes].toarray() != 0)
            self.notes.add("include", "refused", int((~may).sum()))
        return may

    def _own_scores(self) -> np.ndarray:
        """The scores of included items, (rows, included); the lowest one where there is none."""
        if not len(self.codes):
            return np.zeros((len(self.part), 0), dtype=np.float32)
        own = self.scores[:, torch.from_numpy(self.codes).to(self.scores.device)]
        real = torch.where(self.scores.isfinite(), self.scores, torch.inf).amin(1, keepdim=True)
        real = torch.where(real.isfinite(), real, 0)
        found: np.ndarray = torch.where(own.isfinite(), own, real).cpu().numpy()
        return found

    def _leave_out(self) -> None:
        """Makes the scores of what may not be chosen -inf, and counts who is left with too few."""
        scores, part = self.scores, self.part
        hidden = torch.zeros(scores.shape, dtype=torch.bool)
        if part.exclude is not None:
            cells = part.exclude.tocoo()
            some = cells.data != 0
            hidden[cells.row[some].astype(np.int64), cells.col[some].astype(np.int64)] = True
        if part.allowed is not None:
            hidden |= ~torch.from_numpy(np.asarray(part.allowed))
        if self.only is not None:
            rows = np.flatnonzero(self.only[0])
            hidden[rows] |= torch.from_numpy(self.only[1][rows].toarray() == 0)
        scores.masked_fill_(hidden.to(scores.device), -torch.inf)
        before = self._left()
        self.notes.add("allowed", "short", int((before < self.k).sum()))
        if self.rules.min_score is not None:
            scores.masked_fill_(scores < self.rules.min_score, -torch.inf)
            after = self._left()
            short = (after < self.k) & (before >= self.k)
            self.notes.add("min_score", "short", int(short.sum()))
        if len(self.codes):  # they have places of their own
            scores[:, torch.from_numpy(self.codes).to(scores.device)] = torch.where(
                torch.from_numpy(self.may).to(scores.device),
                -torch.inf,
                scores[:, torch.from_numpy(self.codes).to(scores.device)],
            )

    def _left(self) -> np.ndarray:
        """How many items each row may be given, included ones not counted twice."""
        counted: np.ndarray = (self.scores > -torch.inf).sum(dim=1).cpu().numpy()
        if len(self.codes):
            own = self.scores[:, torch.from_numpy(self.codes).to(self.scores.device)]
            counted = counted + (self.may & (own == -torch.inf).cpu().numpy()).sum(axis=1)
        return counted

    def lists(self) -> TopK:
        """The lists of all rows."""
        n_items = self.scores.shape[1]
        if not self.rules.reorders:
            return top_k(self.scores, self.k, overwrite=True)
        width = max(self.k, self.rules.pool) if self.rules.chooses else self.k
        items = np.full((len(self.part), self.k), -1, dtype=np.int64)
        scores = np.full(items.shape, -np.inf, dtype=np.float32)
        rows = np.arange(len(items))
        while len(rows):
            width = min(width, n_items)
            for start in range(0, len(rows), ROWS):
                some = rows[start : start + ROWS]
                items[some], scores[some] = self._chosen(some, width)
            if self.rules.at_most is None:
                break
            short = rows[(items[rows] >= 0).sum(axis=1) < np.minimum(self.k, self.left[rows])]
            rows = short[self.left[short] > width]  # the rest of them have seen all there is
            full = self.left[short] >= self.k
            self.notes.add("at_most", "short", int((full & (self.left[short] <= width)).sum()))
            width *= GROWTH
        return TopK(items, scores)

    def _chosen(self, rows: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
        """The lists of some rows, from pools of so many items."""
        best = top_k(self.scores[torch.from_numpy(rows).to(self.scores.device)], width)
        mine = np.where(self.may[rows], self.codes, -1)
        items = np.concatenate([best.items.astype(np.int64), mine], axis=1)
        scores = np.concatenate([best.scores, self.own[rows]], axis=1)
        free = items >= 0
        free[:, best.items.shape[1] :] = False
        pool = Pool(items, scores, free)
        columns = choose(pool, self.k, self._forced(rows, width), *self._choice(rows, items))
        found = np.take_along_axis(items, columns, axis=1)
        own = np.take_along_axis(scores, columns, axis=1)
        return np.where(columns < 0, -1, found), np.where(columns < 0, -np.inf, own)

    def _forced(self, rows: np.ndarray, width: int) -> Forced | None:
        if not len(self.codes):
            return None
        columns = np.full((len(rows), self.k), -1)
        mine = width + np.arange(len(self.codes))
        columns[:, self.places] = np.where(self.may[rows], mine, -1)
        return Forced(columns)

    def _choice(self, rows: np.ndarray, items: np.ndarray) -> tuple[Any, ...]:
        """Categories, at_most, variety, diversity and draws of `choose`."""
        rules, categories = self.rules, None
        variety: Miscalibration | CategorySimilarity | VectorSimilarity | None = None
        if rules.category is not None and (rules.at_most is not None or rules.diversity > 0):
            padded, count = self.bound.categories
            categories = Categories(padded, count, items)
        if rules.diversity > 0:
            if rules.method == "calibrated":
                assert categories is not None
                variety = Miscalibration(categories, self._wanted(rows, categories.count))
            elif categories is not None:
                variety = CategorySimilarity(categories)
            else:
                variety = VectorSimilarity(self.bound.embeddings, items)
        return categories, rules.at_most, variety, rules.diversity, self._draws(rows)

    def _wanted(self, rows: np.ndarray, count: int) -> np.ndarray:
        """The categories of the histories, (rows, categories), each a distribution or zeros."""
        padded, _ = self.bound.categories
        histories = self.part.matrix[rows]
        at = np.repeat(np.arange(len(rows)), np.diff(histories.indptr))
        chosen = padded[histories.indices]
        sizes = np.maximum((chosen < count).sum(axis=1), 1)
        wanted = np.zeros((len(rows), count + 1))
        shares = np.broadcast_to(1 / sizes[:, None], chosen.shape)
        np.add.at(wanted, (np.broadcast_to(at[:, None], chosen.shape), chosen), shares)
        wanted = wanted[:, :count]
        total = wanted.sum(axis=1, keepdims=True)
        found: np.ndarray = wanted / np.where(total > 0, total, 1)
        return found

    def _draws(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """For `choose`. A user is a history: its items, in any order, and the seed decide."""
        if not self.rules.explore:
            return None
        histories = self.part.matrix[rows]
        items = uniforms(0, Stream.EXPLORED, histories.indices, 1)[:, 0] * 2.0**53
        sums = np.append(np.uint64(0), np.cumsum(items.astype(np.uint64)))  # modulo 2^64
        keys = sums[histories.indptr[1:]] - sums[histories.indptr[:-1]]
        numbers = uniforms(self.rules.seed, Stream.EXPLORED, keys, 2 * self.k)
        return numbers[:, : self.k] < self.rules.explore, numbers[:, self.k :]


def _short(top: TopK, k: int) -> int:
    return int(((top.items >= 0).sum(axis=1) < k).sum())
