"""Accuracy metrics by name: top-k lists against held-out targets with binary relevance.

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

trec_eval calls them ndcg_cut, recall, -, P, success, recip_rank (of a list cut at k) and map_cut.
The metrics that do not look at targets, such as novelty and coverage, are in `beyond_accuracy`.
Your own function of hits can be a metric too, see `Metric.of`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from recae.data.csr import added_up
from recae.errors import ConfigError, DataError, check_integer, unknown_option
from recae.metrics.beyond_accuracy import CATALOGUE, LESS_IS_BETTER, OF_LISTS, FloatArray
from recae.ranking.top_k import TopK

IntArray = npt.NDArray[np.int64]
HitTable = npt.NDArray[np.bool_]


def match(topk: TopK, targets: Any, metric: str, k: int) -> tuple[HitTable, IntArray]:
    """Hits (rows, k) and the number of targets (rows,), after checking the shapes.

    metric: whose k it is, for messages. Raises DataError if the two do not fit.
    """
    target: Any = targets  # scipy has two csr classes without a common type
    if not sp.issparse(targets) or target.format != "csr":
        raise DataError(f"the target must be a scipy csr matrix, not {type(targets).__name__}")
    rows, n_items = target.shape
    if len(topk) != rows:
        raise DataError(f"there are {len(topk)} lists but {rows} rows of targets")
    if topk.items.shape[1] < k:
        raise DataError(f"{metric} needs lists of {k} items, not {topk.items.shape[1]}")
    items = topk.items[:, :k].astype(np.int64)
    if items.size and not (-1 <= items.min() and items.max() < n_items):
        span = f"{items.min()}..{items.max()}"
        raise DataError(f"lists hold items {span}, not within 0..{n_items - 1} or -1 for none")
    target = canonical(target)
    relevant = np.diff(target.indptr).astype(np.int64)
    row = np.arange(rows, dtype=np.int64)
    # One int64 key for each cell, ascending because the csr is sorted; the -1 at the end keeps a
    # look-up beyond the last cell inside the array, and -2 stands for an empty place.
    cells = np.append(np.repeat(row, relevant) * n_items + target.indices, np.int64(-1))
    asked = np.where(items >= 0, row[:, None] * n_items + items, -2).ravel()
    found = np.searchsorted(cells[:-1], asked)
    places = np.flatnonzero(cells[found] == asked)
    # An item listed twice finds the same cell twice; np.unique keeps the first, at the better rank.
    _, first = np.unique(found[places], return_index=True)
    hits = np.zeros(items.size, dtype=np.bool_)
    hits[places[first]] = True
    return hits.reshape(items.shape), relevant


def canonical(matrix: Any) -> Any:
    """A csr matrix with every cell once, in order, and no stored zeros; a copy if need be."""
    if not matrix.has_canonical_format or not np.all(matrix.data):
        matrix = added_up(matrix)  # a copy: the caller's matrix stays as it is
        matrix.eliminate_zeros()
    return matrix


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


OF_HITS: dict[str, Callable[[HitTable, IntArray], FloatArray]] = {
    "ndcg": _ndcg,
    "recall": lambda hits, relevant: _sum(hits) / relevant,
    "calibrated_recall": lambda hits, relevant: _sum(hits) / np.minimum(relevant, hits.shape[1]),
    "precision": lambda hits, relevant: _sum(hits) / hits.shape[1],
    "hit_rate": lambda hits, relevant: np.any(hits, axis=1).astype(np.float64),
    "mrr": _mrr,
    "map": _map,
}


MetricFunction = Callable[[HitTable, IntArray], npt.ArrayLike]
"""A metric of the caller's: from hits (rows, k) and the number of targets (rows,) to (rows,)."""


@dataclass(frozen=True)
class Metric:
    """A metric at a cut-off; `parse_metric("ndcg@100")` makes one and `str` gives the name back.

    Called with a TopK of at least k columns and a scipy csr target (rows, n_items), non-zero =
    relevant, it returns (rows,) float64, NaN where a row has no target. Raises ConfigError for the
    metrics that do not measure hits, which need more (see MetricAccumulator), DataError if the two
    do not fit.
    """

    name: str
    k: int
    function: MetricFunction | None = None

    @classmethod
    def of(cls, function: MetricFunction, k: int, name: str | None = None) -> Metric:
        """A metric of your own, at a cut-off k.

        function: called with hits, (rows, k) bool, column r - 1 for rank r, and relevant, (rows,)
        int64, the number of targets, for rows with at least one target. It returns (rows,) finite
        numbers, the higher the better. Rows may come in batches of any size. name: what reports
        call it, a Python identifier, `function.__name__` by default.

        Raises ConfigError for an invalid name, for the name of one of recae's metrics, and for a
        bad k. During evaluation, a result of another shape or with NaN or infinite numbers raises
        DataError with the name of the metric.

        >>> from recae.metrics import Metric
        >>> def first_hit(hits, relevant):
        ...     return hits[:, 0]
        >>> split = recae.data.splits.holdout_pairs(data, 0.5)
        >>> model = recae.EASE().fit(split.train)
        >>> recae.evaluate(model, split.validation, ["recall@4", Metric.of(first_hit, k=1)]).metrics
        ['recall@4', 'first_hit@1']
        """
        return cls(str(name or getattr(function, "__name__", "")), k, function)

    def __post_init__(self) -> None:
        known = [*OF_HITS, *OF_LISTS, *CATALOGUE]
        if self.function is None and self.name not in known:
            raise unknown_option("metric", self.name, known)
        if self.function is not None and (not self.name.isidentifier() or self.name in known):
            reason = "recae has a metric of that name" if self.name in known else "not a name"
            raise ConfigError(
                f"a metric of your own cannot be called {self.name!r} ({reason}): use "
                'Metric.of(function, k, name="my_metric")',
                parameter="name",
                value=self.name,
            )
        check_integer(f"the k of {self}", self.k)

    def __str__(self) -> str:
        return f"{self.name}@{self.k}"

    @property
    def per_user(self) -> bool:
        """Whether every user has a value; coverage and gini have one for the whole catalogue."""
        return self.name not in CATALOGUE

    @property
    def of_hits(self) -> bool:
        """Whether it measures hits; the others do not look at the targets."""
        return self.function is not None or self.name in OF_HITS

    @property
    def needs(self) -> frozenset[str]:
        """The inputs it needs in addition to lists and targets: some of counts, vectors, categories
        (see ItemFacts) and history."""
        return OF_LISTS[self.name][1] if self.name in OF_LISTS else frozenset()

    def __call__(self, topk: TopK, target: Any) -> FloatArray:
        if not self.per_user:
            raise ConfigError(f"{self} is one number, not one per user; use a MetricAccumulator")
        if not self.of_hits:
            raise ConfigError(f"{self} needs more than lists and targets; use a MetricAccumulator")
        return self.from_hits(*match(topk, target, str(self), self.k))

    def from_hits(self, hits: HitTable, relevant: IntArray) -> FloatArray:
        """From hits (rows, k or more) and the number of targets (rows,)."""
        values = np.full(len(relevant), np.nan)
        some = relevant > 0
        hits, relevant = hits[some, : self.k], relevant[some]
        if self.function is None:
            values[some] = OF_HITS[self.name](hits, relevant)
        elif len(hits):
            values[some] = self._checked(self.function(hits, relevant), len(hits))
        return values

    def _checked(self, given: npt.ArrayLike, rows: int) -> FloatArray:
        """The result of the caller's function, as (rows,) finite float64."""
        values = np.asarray(given)
        if values.dtype.kind not in "bfiu" or values.shape != (rows,):
            found = f"{values.dtype} of shape {values.shape}"
            raise DataError(
                f"the metric {self} must return ({rows},) numbers, one for each row of hits, not "
                f"{found}",
                parameter="metrics",
                value=str(self),
            )
        bad = ~np.isfinite(values)
        if bad.any():
            raise DataError(
                f"the metric {self} returned {values[bad][0]} in {int(bad.sum()):,} of {rows:,} "
                "rows: it must be finite for every user with a target",
                parameter="metrics",
                value=str(self),
            )
        return values.astype(np.float64)


AnyMetric = str | Metric | MetricFunction
"""A name such as "ndcg@100", a Metric, or a function (hits, relevant)."""


def parse_metric(text: str) -> Metric:
    """The metric called `name@k`, such as "ndcg@100". Raises ConfigError for anything else."""
    match = re.fullmatch("([^@]+)@([1-9][0-9]*)", str(text), re.ASCII)
    if match is None:
        raise _bad(f'a metric is name@k with an integer k >= 1, as "ndcg@100"; not {text!r}', text)
    return Metric(match[1], int(match[2]))


def parse_metrics(metrics: AnyMetric | Sequence[AnyMetric]) -> list[Metric]:
    """The metrics in their order, each once.

    A function is measured at the largest k of the others; `Metric.of` sets another k. Raises
    ConfigError for no metric, a bad one, a function without a k, or two metrics of one name.
    """
    if isinstance(metrics, str | Metric) or callable(metrics):
        metrics = [metrics]
    if not isinstance(metrics, Iterable):
        raise _bad(f'metrics are names such as "ndcg@100", not {metrics!r}', metrics)
    given = [
        item if isinstance(item, Metric) or callable(item) else parse_metric(item)
        for item in metrics
    ]
    if not given:
        raise _bad('no metric given; name at least one, as "ndcg@100"', metrics)
    longest = max((item.k for item in given if isinstance(item, Metric)), default=None)
    parsed: dict[str, Metric] = {}
    for item in given:
        if not isinstance(item, Metric):
            if longest is None:
                raise _bad(
                    f"the metric {item!r} has no k: use Metric.of(function, k), or name another "
                    'metric, such as "ndcg@100", beside it',
                    item,
                )
            item = Metric.of(item, longest)
        if parsed.setdefault(str(item), item) != item:
            raise _bad(f"two metrics are called {item}", item)
    return list(parsed.values())


def _bad(message: str, value: object) -> ConfigError:
    return ConfigError(message, parameter="metrics", value=value)


def less_is_better(metric: str) -> bool:
    """Whether the lower value of a metric called `name@k` is the better one.

    >>> from recae.metrics import less_is_better
    >>> less_is_better("miscalibration@10"), less_is_better("ndcg@10")
    (True, False)
    """
    return metric.partition("@")[0] in LESS_IS_BETTER
