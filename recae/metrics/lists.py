"""How good top-k lists are, measured against held-out targets with binary relevance.

For one user, h(r) is 1 if the item at rank r = 1..k is a target and else 0, and n is the number of
targets. A rank whose item is -1 (none left) never hits, so a short list is scored as if it were
filled up with misses. An item listed twice hits once, at its better rank.

    ndcg                sum of h(r) / log2(r + 1), over its value for min(n, k) hits at the top
    recall              hits / n
    calibrated_recall   hits / min(k, n), Liang et al.: Variational autoencoders for collaborative
                        filtering, WWW 2018
    precision           hits / k, for short lists too
    hit_rate            1 if there is a hit, else 0
    mrr                 1 / rank of the first hit, 0 without one within k
    map                 sum over the hits of (hits up to r) / r, over n
    novelty, popularity, coverage, gini: what is recommended, hit or not; see `exposure`

trec_eval calls them ndcg_cut, recall, -, P, success, recip_rank (of a list cut at k) and map_cut.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from recae.errors import ConfigError, DataError, unknown_option
from recae.metrics.exposure import CATALOGUE, PER_LIST
from recae.metrics.items import ItemCounts
from recae.ranking import TopK

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
HitTable = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Metric:
    """A metric at a cut-off; `parse_metric("ndcg@100")` makes one and `str` gives the name back.

    Called with a TopK of at least k columns and a scipy csr target (rows, n_items), non-zero =
    relevant, it returns (rows,) float64, NaN where a row has no target. Raises ConfigError for
    coverage and gini, which have no value per user, and for novelty and popularity, which need the
    training users of the items (see MetricAccumulator); DataError if the two do not fit.
    """

    name: str
    k: int

    def __post_init__(self) -> None:
        known = [*_PER_USER, *PER_LIST, *CATALOGUE]
        if self.name not in known:
            raise unknown_option("metric", self.name, known)
        if isinstance(self.k, bool) or not isinstance(self.k, int | np.integer) or self.k < 1:
            raise ConfigError(f"the k of {self} must be an integer of at least 1")

    def __str__(self) -> str:
        return f"{self.name}@{self.k}"

    @property
    def per_user(self) -> bool:
        """Whether every user has a value; coverage and gini have one for the whole catalogue."""
        return self.name not in CATALOGUE

    @property
    def needs_counts(self) -> bool:
        """Whether it depends on the training users of the items."""
        return self.name in PER_LIST

    def __call__(self, topk: TopK, target: Any) -> FloatArray:
        if not self.per_user:
            raise ConfigError(f"{self} is one number, not one per user; use a MetricAccumulator")
        if self.needs_counts:
            raise ConfigError(f"{self} needs the items' training users; use a MetricAccumulator")
        return self._from_hits(*_match(topk, target, self))

    def _from_hits(self, hits: HitTable, relevant: IntArray) -> FloatArray:
        """From hits (rows, k or more) and the number of targets (rows,)."""
        values = np.full(len(relevant), np.nan)
        some = relevant > 0
        values[some] = _PER_USER[self.name](hits[some, : self.k], relevant[some])
        return values


def parse_metric(text: str) -> Metric:
    """The metric called `name@k`, such as "ndcg@100". Raises ConfigError for anything else."""
    match = re.fullmatch("([^@]+)@([1-9][0-9]*)", str(text), re.ASCII)
    if match is None:
        raise ConfigError(f'a metric is name@k with an integer k >= 1, as "ndcg@100"; not {text!r}')
    return Metric(match[1], int(match[2]))


def parse_metrics(metrics: str | Sequence[str | Metric]) -> list[Metric]:
    """The metrics named, in their order, each once. Raises ConfigError for none or a bad one."""
    if not isinstance(metrics, Iterable):
        raise ConfigError(f'metrics are names such as "ndcg@100", not {metrics!r}')
    given = [metrics] if isinstance(metrics, str) else list(metrics)
    if not given:
        raise ConfigError('no metric given; name at least one, as "ndcg@100"')
    parsed = (item if isinstance(item, Metric) else parse_metric(item) for item in given)
    return list(dict.fromkeys(parsed))


class MetricAccumulator:
    """Measures batch after batch; the lists are matched with the targets once for all metrics.

    metrics: names or Metrics. n_items: width of the targets, >= 1. item_counts: (n_items,) training
    users of each item, for novelty and popularity; ConfigError if they are asked for without.
    Memory is one float64 for each user and metric plus two counts for each item and cut-off.
    `seconds` is the time that updates have taken.
    """

    def __init__(
        self,
        metrics: str | Sequence[str | Metric],
        n_items: int,
        item_counts: npt.ArrayLike | None = None,
    ) -> None:
        if n_items < 1:
            raise ConfigError(f"n_items must be at least 1, not {n_items}")
        self.metrics = parse_metrics(metrics)
        self.n_items = n_items
        needy = [metric for metric in self.metrics if metric.needs_counts]
        if needy and item_counts is None:
            raise ConfigError(f"{needy[0]} needs the items' training users: pass item_counts")
        self._counts = None
        if item_counts is not None:
            self._counts = np.asarray(item_counts, dtype=np.float64)
            if self._counts.shape != (n_items,) or not (self._counts >= 0).all():
                raise DataError(f"item_counts must be {n_items} numbers >= 0, one for each item")
        self._longest = max(self.metrics, key=lambda metric: metric.k)
        self._values: dict[Metric, list[FloatArray]] = {m: [] for m in self.metrics if m.per_user}
        self._counted = ItemCounts({metric.k for metric in self.metrics}, n_items)
        self.seconds = 0.0

    @property
    def max_k(self) -> int:
        """The list length that the metrics need: the largest of their k."""
        return self._longest.k

    def update(self, topk: TopK, target: Any) -> None:
        """Adds a batch: lists of at least `max_k` columns and their csr target (rows, n_items).

        Raises DataError if they do not fit each other or n_items.
        """
        started = time.perf_counter()
        hits, relevant = _match(topk, target, self._longest)
        if target.shape[1] != self.n_items:
            raise DataError(f"target has {target.shape[1]} items; expected {self.n_items}")
        for metric, parts in self._values.items():
            if metric.needs_counts:
                assert self._counts is not None  # checked at the start
                parts.append(PER_LIST[metric.name](topk.items[:, : metric.k], self._counts))
            else:
                parts.append(metric._from_hits(hits, relevant))
        self._counted.add(topk.items, hits)
        self.seconds += time.perf_counter() - started

    def per_user(self) -> dict[str, FloatArray]:
        """Metric name -> (users,) float64 in the order of the updates, NaN if undefined."""
        none = np.empty(0)
        return {str(metric): np.concatenate([none, *v]) for metric, v in self._values.items()}

    def catalogue(self) -> dict[str, float]:
        """Metric name -> value, for coverage and gini; users without a target count too."""
        some = [metric for metric in self.metrics if not metric.per_user]
        return {str(m): CATALOGUE[m.name](self._counted.listed[m.k]) for m in some}

    def per_item(self) -> dict[str, IntArray]:
        """`hits@k` and `listed@k` for each cut-off, ascending -> (n_items,) int64.

        hits: users who have the item as a target and in their first k; listed: users who have it in
        their first k, whether they have a target or not.
        """
        return self._counted.named()


def _match(topk: TopK, targets: Any, metric: Metric) -> tuple[HitTable, IntArray]:
    """Hits (rows, metric.k) and the number of targets (rows,), after checking the shapes."""
    target: Any = targets  # scipy has two csr classes without a common type
    if not sp.issparse(targets) or target.format != "csr":
        raise DataError(f"the target must be a scipy csr matrix, not {type(targets).__name__}")
    rows, n_items = target.shape
    if len(topk) != rows:
        raise DataError(f"there are {len(topk)} lists but {rows} rows of targets")
    if topk.items.shape[1] < metric.k:
        raise DataError(f"{metric} needs lists of {metric.k} items, not {topk.items.shape[1]}")
    items = topk.items[:, : metric.k].astype(np.int64)
    if items.size and not (-1 <= items.min() and items.max() < n_items):
        span = f"{items.min()}..{items.max()}"
        raise DataError(f"lists hold items {span}, not within 0..{n_items - 1} or -1 for none")
    if not target.has_canonical_format or not np.all(target.data):
        target = target.copy()  # the caller's matrix stays as it is
        target.sum_duplicates()
        target.eliminate_zeros()
    relevant = np.diff(target.indptr).astype(np.int64)
    row = np.arange(rows, dtype=np.int64)
    # One int64 key for each cell, ascending because the csr is sorted; the -1 at the end keeps a
    # look-up beyond the last cell inside the array.
    cells = np.append(np.repeat(row, relevant) * n_items + target.indices, np.int64(-1))
    asked = row[:, None] * n_items + items
    found = np.searchsorted(cells[:-1], asked)
    hits = (cells[found] == asked) & (items >= 0)
    # An item listed twice finds the same cell twice; np.unique keeps the first, at the better rank.
    places = np.flatnonzero(hits)
    _, first = np.unique(found.ravel()[places], return_index=True)
    once = np.zeros(hits.size, dtype=np.bool_)
    once[places[first]] = True
    return once.reshape(hits.shape), relevant


# Each takes hits (rows, k) and targets (rows,) >= 1, and returns (rows,). Sums run along the rows
# one by one (no matrix product), so that a row's value does not depend on its batch.


def _sum(table: npt.NDArray[Any]) -> FloatArray:
    total: FloatArray = np.sum(table, axis=1, dtype=np.float64)
    return total


def _ndcg(hits: HitTable, relevant: IntArray) -> FloatArray:
    k = hits.shape[1]
    discount = 1 / np.log2(np.arange(2, k + 2))
    ideal: FloatArray = np.cumsum(discount)[np.minimum(relevant, k) - 1]
    return _sum(hits * discount) / ideal


def _mrr(hits: HitTable, relevant: IntArray) -> FloatArray:
    first = np.argmax(hits, axis=1) + 1
    return np.where(np.any(hits, axis=1), 1 / first, 0.0)


def _map(hits: HitTable, relevant: IntArray) -> FloatArray:
    precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    return _sum(hits * precision) / relevant


_PER_USER: dict[str, Callable[[HitTable, IntArray], FloatArray]] = {
    "ndcg": _ndcg,
    "recall": lambda hits, relevant: _sum(hits) / relevant,
    "calibrated_recall": lambda hits, relevant: _sum(hits) / np.minimum(relevant, hits.shape[1]),
    "precision": lambda hits, relevant: _sum(hits) / hits.shape[1],
    "hit_rate": lambda hits, relevant: np.any(hits, axis=1).astype(np.float64),
    "mrr": _mrr,
    "map": _map,
}
