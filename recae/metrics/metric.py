"""Metrics by name, and the formulas of those that look at targets.

For one user, h(r) is 1 if the item at rank r = 1..k is a target and else 0, and n is the number of
targets. A rank whose item is -1 (none left) never hits, so a short list is scored as if it were
filled up with misses. An item listed twice hits once, at its better rank.

    ndcg                sum of h(r) / log2(r + 1), over its value for min(n, k) hits at the top
    recall              hits / n
    calibrated_recall   hits / min(k, n), Liang et al.: Variational autoencoders for collaborative
                        filtering, WWW 2018
    precision           hits / k, for short lists too
    f1                  2 hits / (k + n), the harmonic mean of precision and recall
    hit_rate            1 if there is a hit, else 0
    mrr                 1 / rank of the first hit, 0 without one within k
    map                 sum over the hits of (hits up to r) / r, over n
    truncated_map       the same sum over min(k, n): the MAP@k of RecBole, implicit and RecTools
    r_precision         hits within the first min(n, k), over n: k should be the largest n at least
    rbp                 (1 - p) times the sum of h(r) p^(r - 1), p = 0.8: rank-biased precision,
                        Moffat & Zobel 2008 (ACM TOIS 27). rbp.95@k has p = 0.95, as in ranx

trec_eval calls them ndcg_cut, recall, -, P, -, success, recip_rank (of a list cut at k), map_cut, -
and Rprec.

With w(r) the weight of the target at rank r, 0 for a miss:

    dcg                 sum of w(r) / log2(r + 1): the ratings or counts are linear gains
    graded_ndcg         dcg over that of the best list of k: ndcg_cut of trec_eval, ndcg of ranx
    exponential_dcg     sum of (2^w(r) - 1) / log2(r + 1): the ndcg_burges of ranx
    exponential_ndcg    exponential_dcg over that of the best list of k

`auc` and `percentile_rank` are about the ranks of the targets among all items and have no k: see
`ranks`. The metrics that do not look at targets, such as novelty and coverage, are in
`beyond_accuracy`. Your own function of hits can be a metric too, see `Metric.of`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recae.errors import ConfigError, DataError, check_integer, folded, nearest, unknown_option
from recae.metrics.beyond_accuracy import CATALOGUE, LESS_IS_BETTER, OF_LISTS, FloatArray
from recae.metrics.graded import GRADED, graded
from recae.metrics.hits import OF_HITS, HitTable, IntArray, Matched, match, of_hits
from recae.metrics.ranks import OF_RANKS
from recae.ranking.top_k import TopK

MetricFunction = Callable[[HitTable, IntArray], npt.ArrayLike]
"""A metric of the caller's: from hits (rows, k) and the number of targets (rows,) to (rows,)."""


@dataclass(frozen=True)
class Metric:
    """A metric at a cut-off; `parse_metric("ndcg@100")` makes one and `str` gives the name back.

    k is 0 for the metrics of the ranks among all items, `auc` and `percentile_rank`.

    Called with a TopK of at least k columns and a scipy csr target (rows, n_items), non-zero =
    relevant, it returns (rows,) float64, NaN where a row has no target. Raises ConfigError for the
    metrics that do not measure hits, which need more (see MetricAccumulator), DataError if the two
    do not fit.

    >>> top = recae.ranking.TopK(np.array([[2, 0]]), np.array([[0.9, 0.4]], dtype=np.float32))
    >>> target = scipy.sparse.csr_matrix([[1, 1, 0]])
    >>> recae.metrics.Metric("precision", 2)(top, target).tolist()
    [0.5]
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
        known = [*OF_HITS, *GRADED, *OF_RANKS, *OF_LISTS, *CATALOGUE]
        if self.function is None and self.name not in known and of_hits(self.name) is None:
            raise unknown_option("metric", self.name, known)
        if self.function is not None and (not self.name.isidentifier() or self.name in known):
            reason = "recae has a metric of that name" if self.name in known else "not a name"
            raise ConfigError(
                f"a metric of your own cannot be called {self.name!r} ({reason}): use "
                'Metric.of(function, k, name="my_metric")',
                parameter="name",
                value=self.name,
            )
        if self.of_ranks:
            if self.k:
                raise _bad(
                    f"{self.name} is about all items and has no k: write {self.name!r}", str(self)
                )
        else:
            check_integer(f"the k of {self}", self.k)

    def __str__(self) -> str:
        return self.name if self.of_ranks else f"{self.name}@{self.k}"

    @property
    def per_user(self) -> bool:
        """Whether every user has a value; coverage and gini have one for the whole catalogue."""
        return self.name not in CATALOGUE

    @property
    def of_hits(self) -> bool:
        """Whether it measures hits in the first k; the others do not look at the targets, or look
        at the ranks among all items."""
        return self.function is not None or self.name in GRADED or of_hits(self.name) is not None

    @property
    def of_ranks(self) -> bool:
        """Whether it measures the ranks of the targets among all items."""
        return self.function is None and self.name in OF_RANKS

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
        return self._from_matched(match(topk, target, str(self), self.k))

    def _from_matched(self, matched: Matched) -> FloatArray:
        """From the matched places of lists of k or more: (rows,)."""
        if self.function is None and self.name in GRADED:
            return graded(self.name, matched, self.k)
        hits, relevant = matched.hits, matched.relevant
        values = np.full(len(relevant), np.nan)
        some = relevant > 0
        hits, relevant = hits[some, : self.k], relevant[some]
        known = None if self.function is not None else of_hits(self.name)
        if known is not None:
            values[some] = known(hits, relevant)
        elif len(hits):
            assert self.function is not None  # as for every other metric of hits
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


SAME = {"hr": "hit_rate", "hit": "hit_rate", "hits": "hit_rate"}
"""Folded names that mean the same metric everywhere."""

AnyMetric = str | Metric | MetricFunction
"""A name such as "ndcg@100", a Metric, or a function (hits, relevant)."""


def parse_metric(text: str) -> Metric:
    """The metric called `name@k`, such as "ndcg@100", or `auc` and `percentile_rank`, which have no
    k. Case does not count: "NDCG@100" is "ndcg@100"; `hr`, `hit` and `hits` are `hit_rate`.

    Raises ConfigError for anything else, with the nearest name.
    """
    given = str(text)
    known = [*OF_HITS, *GRADED, *OF_LISTS, *CATALOGUE]
    spellings = {folded(name): name for name in (*known, *OF_RANKS)} | SAME
    if isinstance(text, str) and spellings.get(folded(given)) in OF_RANKS:
        return Metric(spellings[folded(given)], 0)
    found = re.fullmatch("([^@]+)@([1-9][0-9]*)", given, re.ASCII)
    if found is None:
        loose = re.fullmatch("(.*?[^@ _0-9-])[@ _-]*([1-9][0-9]*)", given, re.ASCII)
        name, k = given.partition("@")[0], "10"
        if loose is not None and folded(name) not in spellings:
            name, k = loose.groups()
        near = spellings.get(folded(name)) or nearest(name, known)
        hint = "" if near is None else f" Did you mean '{near}@{k}'?"
        raise _bad(
            f'a metric is name@k with an integer k >= 1, as "ndcg@100"; not {text!r}.{hint}', text
        )
    plain = of_hits(found[1]) is None and "." not in found[1]  # rbp.5 is not rbp5
    name = spellings.get(folded(found[1]), found[1]) if plain else found[1]
    return Metric(name, int(found[2]))


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
    cuts = [item.k for item in given if isinstance(item, Metric) and not item.of_ranks]
    longest = max(cuts, default=None)
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


def uses_weights(metric: str) -> bool:
    """Whether a metric called `name@k` uses the weights of the targets.

    >>> from recae.metrics import uses_weights
    >>> uses_weights("graded_ndcg@10"), uses_weights("ndcg@10")
    (True, False)
    """
    return metric.partition("@")[0] in GRADED
