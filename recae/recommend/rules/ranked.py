"""Ranks histories under rules, batch by batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
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
    rows_at_a_time,
    rows_per_batch,
)
from recae.ranking.one_row import best_of_row
from recae.ranking.top_k import TopK, top_k
from recae.recommend.rules.bound import Bound, Notes
from recae.recommend.rules.choose import (
    Categories,
    CategorySimilarity,
    Miscalibration,
    Pool,
    Variety,
    choose,
)
from recae.recommend.rules.declared import Rules
from recae.rng import Stream, uniforms
from recae.system.digests import sha256_of_arrays

ROWS = 256
"""Rows whose places are chosen together, at most."""

CELLS = 1 << 22
"""Numbers about the candidates of these rows that are held at once: 16 to 32 MiB."""


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
        similarities: Callable[[np.ndarray], Tensor],
    ) -> Ruled:
        """rules: None for none. items: those of the model; vectors: its item embeddings;
        similarities: of some items to all, for a model without embeddings."""
        if rules is None:
            return cls(score_rows, request, None)
        bound = Bound(rules, items, vectors, similarities)
        only = bound.allowed_cells(request.users)
        return cls(score_rows, bound.narrowed(request), bound, only)

    @property
    def notes(self) -> tuple[dict[str, Any], ...]:
        """What the rules did, so far."""
        return () if self.bound is None else self.bound.notes.listed()

    def identity(self) -> Any:
        """What lists depend on beside `request`, ready for JSON; None without rules. "allowed" is
        what it says of single users."""
        if self.bound is None:
            return None
        rules, found = self.bound.rules, self.bound.rules.to_json(ids=False)
        codes, places = self.bound.included(len(self.bound.items))
        arrays = [codes, places]
        if self.bound.factors is not None:
            arrays.append(self.bound.factors)
        if self.only is not None:
            cells = self.only[1]
            found["allowed"] = sha256_of_arrays(self.only[0], cells.indptr, cells.indices)
        if rules.category is not None and (rules.at_most is not None or rules.diversity > 0):
            arrays.append(self.bound.categories[0])
        return found | {"arrays": sha256_of_arrays(*arrays)}

    def part(self, rows: np.ndarray) -> Ruled:
        """Some of the rows; what the rules do is counted in the same notes."""
        only = None if self.only is None else (self.only[0][rows], self.only[1][rows])
        return replace(self, request=self.request.part(rows), only=only)

    def rows_at_a_time(self, batch_size: int | str = "auto") -> int:
        """Users per batch."""
        if self.bound is not None and self._changes:
            return rows_per_batch(batch_size, self.request.matrix.shape[1])
        return rows_at_a_time(self.score_rows, self.request, batch_size)

    def batches(
        self, k: int, batch_size: int | str = "auto", first: int = 0, stop: int | None = None
    ) -> RankedLists:
        """Yields the top k of each batch of rows, in order, from a row on, up to another one."""
        size = len(self.request) if stop is None else stop
        if self.bound is None or not self._changes:
            some = self.request.part(slice(first, size))
            for rows, top in rank_batches(self.score_rows, some, k, batch_size=batch_size):
                if self.bound is not None:
                    short = int(((top.items >= 0).sum(axis=1) < k).sum())
                    self.bound.notes.add("allowed", "short", short)
                yield rows, top
            return
        forced = self.bound.included(k)
        step, start = self.rows_at_a_time(batch_size), first
        while start < size or start == first:
            rows = slice(start, min(start + step, size))
            lists = _Batch(self, rows, k, *forced).lists()
            yield slice(rows.start - first, rows.stop - first), lists
            start = max(rows.stop, first + 1)

    def row(self, scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The columns of the only row's list and their scores. scores: (n_items,), overwritten."""
        assert self.bound is not None
        if self._changes:
            top = _Batch(self, slice(0, 1), k, *self.bound.included(k)).lists()
            filled = top.items[0] >= 0
            return top.items[0][filled], top.scores[0][filled]
        if self.request.allowed is not None:
            scores[~self.request.allowed] = -np.inf
        found, best = best_of_row(scores, k)
        self.bound.notes.add("allowed", "short", int(len(found) < k))
        return found, best

    @property
    def _changes(self) -> bool:
        """Whether the rules do more than to say what everybody may be given."""
        assert self.bound is not None
        rules = self.bound.rules
        ranks = rules.reorders or rules.scales or rules.min_score is not None
        return ranks or self.only is not None


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
        self.left = self._leave_out()

    def _scores(self, score_rows: ScoreRows) -> Tensor:
        """All scores of the rows with boosts and freshness, a fresh (rows, n_items) float32."""
        scores = dense(score_rows(self.part.matrix))
        strangers = np.flatnonzero(~self.part.known)
        if self.part.popularity is not None and len(strangers):
            counts = torch.tensor(self.part.popularity).to(scores)
            scores[torch.from_numpy(strangers).to(scores.device)] = counts
        factors = self.bound.factors
        if factors is None:
            return scores
        real = scores > -torch.inf
        lowest = self._lowest(scores)
        scaled = lowest + (scores - lowest) * torch.from_numpy(factors).to(scores)
        return torch.where(real, scaled, scores)

    @staticmethod
    def _lowest(scores: Tensor) -> Tensor:
        """The lowest score of each row but for -inf, (rows, 1)."""
        return torch.where(scores > -torch.inf, scores, torch.inf).amin(dim=1, keepdim=True)

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
        own, lowest = self._of_codes(), self._lowest(self.scores)
        lowest = torch.where(lowest < torch.inf, lowest, 0)
        found: np.ndarray = torch.where(own > -torch.inf, own, lowest).cpu().numpy()
        return found

    def _of_codes(self) -> Tensor:
        """The scores of included items, a copy, (rows, included)."""
        return self.scores[:, torch.from_numpy(self.codes).to(self.scores.device)]

    def _leave_out(self) -> np.ndarray:
        """Makes the scores of what may not be chosen -inf, and counts who is left with too few.

        Returns how many items each row may be given, (rows,), included ones not counted twice.
        """
        scores, part, device = self.scores, self.part, self.scores.device
        if part.allowed is not None:
            scores.masked_fill_(torch.from_numpy(~np.asarray(part.allowed)).to(device), -torch.inf)
        if part.exclude is not None:
            cells = part.exclude.tocoo()
            some = cells.data != 0
            at = (torch.from_numpy(of[some].astype(np.int64)) for of in (cells.row, cells.col))
            scores[tuple(index.to(device) for index in at)] = -torch.inf
        if self.only is not None:
            rows = np.flatnonzero(self.only[0])
            hidden = torch.zeros(scores.shape, dtype=torch.bool)
            hidden[rows] = torch.from_numpy(self.only[1][rows].toarray() == 0)
            scores.masked_fill_(hidden.to(device), -torch.inf)
        left = self._left()
        self.notes.add("allowed", "short", int((left < self.k).sum()))
        if self.rules.min_score is not None:
            before = left
            scores.masked_fill_(scores < self.rules.min_score, -torch.inf)
            left = self._left()
            self.notes.add("min_score", "short", int(((left < self.k) & (before >= self.k)).sum()))
        if len(self.codes):  # they have places of their own
            hidden = torch.where(
                torch.from_numpy(self.may).to(device), -torch.inf, self._of_codes()
            )
            scores[:, torch.from_numpy(self.codes).to(device)] = hidden
        return left

    def _left(self) -> np.ndarray:
        """How many items are not yet left out, or are included, (rows,)."""
        counted: np.ndarray = (self.scores > -torch.inf).sum(dim=1).cpu().numpy()
        if len(self.codes):
            counted = counted + (self.may & (self._of_codes() == -torch.inf).cpu().numpy()).sum(1)
        return counted

    def lists(self) -> TopK:
        """The lists of all rows."""
        if not self.rules.reorders:
            return _best(self.scores, self.k)
        width = max(self.k, self.rules.pool) if self.rules.chooses else self.k
        width = min(width, self.scores.shape[1])
        items = np.full((len(self.part), self.k), -1, dtype=np.int64)
        scores = np.full(items.shape, -np.inf, dtype=np.float32)
        step = max(min(ROWS, CELLS // max(width * self._numbers(), 1)), 1)
        for start in range(0, len(items), step):
            some = np.arange(start, min(start + step, len(items)))
            items[some], scores[some] = self._chosen(some, width)
        filled = items >= 0
        if self.rules.at_most is not None:
            short = (self.left >= self.k) & (filled.sum(axis=1) < self.k)
            self.notes.add("at_most", "short", int(short.sum()))
        order = np.argsort(~filled, axis=1, kind="stable")  # gaps before an included item close
        at = np.arange(len(items))[:, None], order
        return TopK(items[at], scores[at])

    def _numbers(self) -> int:
        """How many numbers are held of each candidate."""
        if self.rules.diversity > 0 and self.rules.category is None:
            return self.bound.width
        return int(self.bound.categories[0].shape[1])

    def _chosen(self, rows: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
        """The items and scores in the places of some lists, from pools of so many items.

        Where `at_most` leaves places empty, they are filled from the next best items, those in
        categories that are full left out.
        """
        items = np.full((len(rows), self.k), -1, dtype=np.int64)
        scores = np.full(items.shape, -np.inf, dtype=np.float32)
        if len(self.codes):
            items[:, self.places] = np.where(self.may[rows], self.codes, -1)
            scores[:, self.places] = np.where(self.may[rows], self.own[rows], -np.inf)
        todo, wanted = np.arange(len(rows)), np.minimum(self.left[rows], self.k)
        candidates = self._rows(rows)
        while len(todo):
            best, some = _best(candidates, width), rows[todo]
            items[todo], scores[todo] = self._filled(some, best, items[todo], scores[todo])
            if self.rules.at_most is None:
                break
            todo = todo[(items[todo] >= 0).sum(axis=1) < wanted[todo]]
            candidates, some = self._with_room(rows[todo], items[todo])
            todo = todo[some]
        return items, scores

    def _rows(self, rows: np.ndarray) -> Tensor:
        if len(rows) == len(self.scores):
            return self.scores
        return self.scores[torch.from_numpy(rows).to(self.scores.device)]

    def _with_room(self, rows: np.ndarray, items: np.ndarray) -> tuple[Tensor, np.ndarray]:
        """The scores of what may still be added to lists, and the places of those of `rows` that
        anything may be added to. items: the lists, (rows, k)."""
        assert self.rules.at_most is not None
        padded, count = self.bound.categories
        scores = self._rows(rows).clone()
        if not len(rows):
            return scores, rows
        row, place = np.nonzero(items >= 0)
        listed = items[row, place]
        scores[torch.from_numpy(row), torch.from_numpy(listed)] = -torch.inf
        counts = np.zeros((len(rows), count + 1), dtype=np.int64)
        np.add.at(counts, (row[:, None], padded[listed]), 1)
        full = counts >= self.rules.at_most
        full[:, count] = False  # the padding
        step = max(CELLS // padded.size, 1)
        for start in range(0, len(rows), step):
            hidden = torch.from_numpy(full[start : start + step, padded].any(axis=2))
            scores[start : start + step].masked_fill_(hidden.to(scores.device), -torch.inf)
        left = (scores > -torch.inf).any(dim=1)
        return scores[left], np.flatnonzero(left.cpu().numpy())

    def _filled(
        self, rows: np.ndarray, best: TopK, items: np.ndarray, scores: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Lists (rows, k) with empty places filled from the best items, as far as they may be."""
        candidates, worth = best.items.astype(np.int64), best.scores
        width, forced = candidates.shape[1], None
        free = candidates >= 0
        if (items >= 0).any():
            forced = np.where(items >= 0, width + np.arange(self.k), -1)
            candidates = np.concatenate([candidates, items], axis=1)
            worth = np.concatenate([worth, scores], axis=1)
            free = np.concatenate([free, np.zeros(items.shape, dtype=bool)], axis=1)
        pool = Pool(candidates, worth, free)
        columns = choose(pool, self.k, forced, *self._choice(rows, candidates))
        empty = columns < 0
        found = np.where(empty, -1, np.take_along_axis(candidates, columns, axis=1))
        return found, np.where(empty, -np.inf, np.take_along_axis(worth, columns, axis=1))

    def _choice(self, rows: np.ndarray, items: np.ndarray) -> tuple[Any, ...]:
        """Categories, at_most, variety, diversity and draws of `choose`."""
        rules, categories = self.rules, None
        variety: Variety | None = None
        if rules.category is not None and (rules.at_most is not None or rules.diversity > 0):
            categories = Categories(*self.bound.categories, items)
        if rules.diversity > 0:
            if categories is None:
                variety = self.bound.similarity(items)
            elif rules.method == "calibrated":
                variety = Miscalibration(categories, self._wanted(rows, categories.count))
            else:
                variety = CategorySimilarity(categories)
        return categories, rules.at_most, variety, rules.diversity, self._draws(rows)

    def _histories(self, rows: np.ndarray) -> Any:
        return self.part.matrix if len(rows) == len(self.part) else self.part.matrix[rows]

    def _wanted(self, rows: np.ndarray, count: int) -> np.ndarray:
        """The categories of the histories, (rows, categories), each a distribution or zeros."""
        padded, _ = self.bound.categories
        histories = self._histories(rows)
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
        histories = self._histories(rows)
        items = uniforms(0, Stream.EXPLORED, histories.indices, 1)[:, 0] * 2.0**53
        sums = np.append(np.uint64(0), np.cumsum(items.astype(np.uint64)))  # modulo 2^64
        keys = sums[histories.indptr[1:]] - sums[histories.indptr[:-1]]
        numbers = uniforms(self.rules.seed, Stream.EXPLORED, keys, 2 * self.k)
        return numbers[:, : self.k] < self.rules.explore, numbers[:, self.k :]


def _best(scores: Tensor, k: int) -> TopK:
    """As `top_k`, whose parts for many rows take longer than to find the best of one."""
    if len(scores) > 1 or scores.device.type != "cpu":
        return top_k(scores, k)
    found, values = best_of_row(scores.numpy()[0], k)
    items = np.full((1, k), -1, dtype=np.int64)
    listed = np.full(items.shape, -np.inf, dtype=np.float32)
    items[0, : len(found)], listed[0, : len(found)] = found, values
    return TopK(items, listed)
