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
    novelty, popularity, popularity_lift, coverage, gini: what is recommended, hit or not; see
    `exposure`
    diversity, miscalibration: how varied it is, and how far from the user's tastes; see `variety`

trec_eval calls them ndcg_cut, recall, -, P, success, recip_rank (of a list cut at k) and map_cut.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recae.errors import ConfigError, unknown_option
from recae.metrics.about import ItemFacts
from recae.metrics.exposure import CATALOGUE, novelty, popularity, popularity_lift
from recae.metrics.hits import OF_HITS, FloatArray, HitTable, IntArray, match
from recae.metrics.variety import diversity, miscalibration
from recae.ranking.top_k import TopK

OfLists = Callable[[npt.NDArray[np.integer[Any]], Any, ItemFacts], FloatArray]

OF_LISTS: dict[str, tuple[OfLists, frozenset[str]]] = {
    "novelty": (novelty, frozenset({"counts"})),
    "popularity": (popularity, frozenset({"counts"})),
    "popularity_lift": (popularity_lift, frozenset({"counts", "history"})),
    "diversity": (diversity, frozenset({"vectors"})),
    "miscalibration": (miscalibration, frozenset({"categories", "history"})),
}
"""What does not look at targets: the function, and what it needs beside the lists."""


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

    def __post_init__(self) -> None:
        known = [*OF_HITS, *OF_LISTS, *CATALOGUE]
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
    def of_hits(self) -> bool:
        """Whether it measures hits; the others do not look at the targets."""
        return self.name in OF_HITS

    @property
    def needs(self) -> frozenset[str]:
        """What it depends on beside the lists and targets: some of counts, vectors, categories (see
        ItemFacts) and history."""
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
        values[some] = OF_HITS[self.name](hits[some, : self.k], relevant[some])
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


LESS_IS_BETTER = ("gini", "popularity", "popularity_lift", "miscalibration")
"""Lists that show more than the head of the catalogue, and what their user is used to."""


def less_is_better(metric: str) -> bool:
    """Whether the lower value of a metric called `name@k` is the better one.

    >>> from recae.metrics import less_is_better
    >>> less_is_better("miscalibration@10"), less_is_better("ndcg@10")
    (True, False)
    """
    return metric.partition("@")[0] in LESS_IS_BETTER
