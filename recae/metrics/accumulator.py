"""Measures lists batch by batch, with all metrics at once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from recae.errors import ConfigError, DataError, check_integer
from recae.metrics.beyond_accuracy import CATALOGUE, OF_LISTS, FloatArray, ItemFacts
from recae.metrics.hits import IntArray, canonical, match
from recae.metrics.metric import AnyMetric, Metric, parse_metrics
from recae.metrics.ranks import OF_RANKS, TargetRanks
from recae.ranking.top_k import TopK

_NEEDS = {
    "counts": "the items' training users: pass item_counts",
    "vectors": "vectors of the items: pass item_vectors",
    "categories": "categories of the items: pass item_categories, or item_counts for groups of "
    "popularity",
}


class MetricAccumulator:
    """Measures batch after batch; the lists are matched with the targets once for all metrics.

    metrics: names, Metrics or functions, see `parse_metrics`. n_items: width of the targets, >= 1.
    For metrics that need them: item_counts, (n_items,) training users of each item; item_vectors,
    (n_items, d) numbers; item_categories, csr (n_items, n_categories), groups of popularity if
    None. Memory is one float64 for each user and metric, two counts for each item and cut-off, and
    a float32 copy of the vectors. `seconds` is the time that updates have taken. Raises ConfigError
    if a needed fact is missing, DataError if a needed fact does not fit.
    """

    def __init__(
        self,
        metrics: AnyMetric | Sequence[AnyMetric],
        n_items: int,
        item_counts: npt.ArrayLike | None = None,
        *,
        item_vectors: npt.ArrayLike | None = None,
        item_categories: Any | None = None,
    ) -> None:
        self.metrics = parse_metrics(metrics)
        self.n_items = check_integer("n_items", n_items)
        given: dict[str, Any] = {"counts": item_counts, "vectors": item_vectors}
        given["categories"] = item_counts if item_categories is None else item_categories
        for metric in self.metrics:
            for need in sorted(metric.needs & given.keys()):
                if given[need] is None:
                    raise ConfigError(
                        f"{metric} needs {_NEEDS[need]}", parameter="metrics", value=str(metric)
                    )
        self._facts: Any = None
        if any(metric.needs & given.keys() for metric in self.metrics):
            self._facts = ItemFacts(n_items, item_counts, item_vectors, item_categories)
        self._longest = max(self.metrics, key=lambda metric: metric.k)
        self._values: dict[Metric, list[FloatArray]] = {m: [] for m in self.metrics if m.per_user}
        cutoffs = sorted({metric.k for metric in self.metrics if not metric.of_ranks})
        self._hits: dict[int, IntArray] = {k: np.zeros(n_items, dtype=np.int64) for k in cutoffs}
        self._listed = {k: np.zeros(n_items, dtype=np.int64) for k in cutoffs}
        self.seconds = 0.0

    @property
    def max_k(self) -> int:
        """The list length that the metrics need: the largest of their k, 1 for those without."""
        return max(self._longest.k, 1)

    @property
    def needs_ranks(self) -> bool:
        """Whether a metric is about the ranks of the targets among all items."""
        return any(metric.of_ranks for metric in self.metrics)

    def update(
        self,
        topk: TopK,
        target: Any,
        history: Any | None = None,
        ranks: TargetRanks | None = None,
    ) -> None:
        """Adds a batch: lists of at least `max_k` columns and their csr target (rows, n_items).

        history: csr (rows, n_items), non-zero = in it, for metrics that need it; ranks: the ranks
        of the targets among all items, for `auc` and `percentile_rank`. Raises ConfigError if one
        of them is needed and absent, DataError if these do not fit each other or n_items.
        """
        started = time.perf_counter()
        longest = self._longest
        matched = match(topk, target, str(longest), self.max_k)
        if target.shape[1] != self.n_items:
            raise DataError(f"target has {target.shape[1]} items; expected {self.n_items}")
        ones = self._ones(history, len(topk))
        for metric, parts in self._values.items():
            if metric.of_hits:
                parts.append(metric._from_matched(matched))
            elif metric.of_ranks:
                parts.append(OF_RANKS[metric.name](self._ranks(metric, ranks, len(topk))))
            else:
                of_lists, _ = OF_LISTS[metric.name]
                parts.append(of_lists(topk.items[:, : metric.k], ones, self._facts))
        self._count(self._listed, topk.items, topk.items >= 0)
        self._count(self._hits, topk.items, matched.hits)
        self.seconds += time.perf_counter() - started

    @staticmethod
    def _ranks(metric: Metric, ranks: TargetRanks | None, rows: int) -> TargetRanks:
        """The ranks of the targets, for a metric that needs them. Raises ConfigError without
        them."""
        if ranks is None:
            raise ConfigError(
                f"{metric} needs the scores of all items, which lists do not have: evaluate a "
                "model, or a Scorer",
                parameter="metrics",
                value=str(metric),
            )
        if len(ranks.targets) != rows:
            raise DataError(f"there are ranks of {len(ranks.targets)} rows but {rows} lists")
        return ranks

    def _count(
        self,
        table: dict[int, IntArray],
        items: npt.NDArray[np.integer[Any]],
        counted: npt.NDArray[np.bool_],
    ) -> None:
        """Adds to each cut-off how often each item is at a counted place of the first k."""
        done, so_far = 0, np.zeros(self.n_items, dtype=np.int64)
        for k, counts in table.items():
            places = slice(done, k)  # only the ranks that the previous cut-off has not counted
            some = items[:, places][counted[:, places]]
            so_far += np.bincount(some, minlength=self.n_items)
            counts += so_far
            done = k

    def _ones(self, history: Any, rows: int) -> Any:
        """The history as a canonical csr matrix of ones; None if no metric needs it."""
        needy = [metric for metric in self.metrics if "history" in metric.needs]
        if not needy:
            return None
        if history is None:
            raise ConfigError(
                f"{needy[0]} needs the users' histories: pass history",
                parameter="history",
                value=None,
            )
        sound: Any = history  # scipy has two csr classes without a common type
        if not sp.issparse(history) or sound.format != "csr":
            raise DataError(f"history must be a scipy csr matrix, not {type(history).__name__}")
        if sound.shape != (rows, self.n_items):
            raise DataError(f"history is {sound.shape}; expected {(rows, self.n_items)}")
        sound = canonical(sound)
        return sp.csr_matrix((np.ones(sound.nnz), sound.indices, sound.indptr), shape=sound.shape)

    def per_user(self) -> dict[str, FloatArray]:
        """Metric name -> (users,) float64 in the order of the updates, NaN if undefined."""
        none = np.empty(0)
        return {str(metric): np.concatenate([none, *v]) for metric, v in self._values.items()}

    def catalogue(self) -> dict[str, float]:
        """Metric name -> value, for coverage and gini; users without a target count too."""
        some = [metric for metric in self.metrics if not metric.per_user]
        return {str(m): CATALOGUE[m.name](self._listed[m.k]) for m in some}

    def per_item(self) -> dict[str, IntArray]:
        """`hits@k` and `listed@k` for each cut-off, ascending -> (n_items,) int64.

        hits: users who have the item as a target and in their first k; listed: users who have it in
        their first k, whether they have a target or not.
        """
        return {
            f"{what}@{k}": table[k]
            for k in self._listed
            for what, table in (("hits", self._hits), ("listed", self._listed))
        }
