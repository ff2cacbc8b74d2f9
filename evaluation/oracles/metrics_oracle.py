"""Checks the metrics on random lists against trec_eval and against arithmetic in plain Python.

    python -m evaluation metrics_oracle

Every case is one user with a random catalogue, target (some empty), list (some short or empty) and
several cut-offs, measured in one pass. There are four comparisons: given lists against pytrec_eval,
whose ranks come from distinct scores; the same lists against the formulas written as loops; and
lists ranked by `top_k` from scores of few values, with excluded items, against pytrec_eval on the
tied scores and against `sorted` and the same loops. trec_eval breaks ties by name, the greater
first. The names of the items are chosen so that this is the order of their columns.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytrec_eval
import scipy.sparse as sp
import torch

from recae.metrics import MetricAccumulator
from recae.ranking.top_k import TopK, top_k
from recae.rng import numpy_generator

TREC_EVAL = {  # calibrated recall is not in trec_eval
    "ndcg": "ndcg_cut.{k}",
    "recall": "recall.{k}",
    "precision": "P.{k}",
    "hit_rate": "success.{k}",
    "mrr": "recip_rank",
    "map": "map_cut.{k}",
}
NAMES = ("ndcg", "recall", "calibrated_recall", "precision", "hit_rate", "mrr", "map")
CUTOFFS = 4
TOLERANCE = 1e-12
Values = dict[str, float]


@dataclass(frozen=True)
class Case:
    """One user: a ranking without repetition, a target, tied scores, and excluded items."""

    n_items: int
    cutoffs: list[int]
    ranking: list[int]
    target: set[int]
    scores: list[float]
    excluded: set[int]

    def tied_ranking(self) -> list[int]:
        """The items that are not excluded by (score descending, column ascending)."""
        left = [item for item in range(self.n_items) if item not in self.excluded]
        return sorted(left, key=lambda item: (-self.scores[item], item))[: max(self.cutoffs)]


def random_cases(count: int, seed: int) -> Iterator[Case]:
    """More than one target in ten is empty; about half of the lists are shorter than k."""
    generator = numpy_generator(seed)
    for _ in range(count):
        n_items = int(generator.integers(1, 61))
        cutoffs = sorted(set(generator.integers(1, 31, size=CUTOFFS).tolist()))
        k = cutoffs[-1]
        order = generator.permutation(n_items).tolist()
        wanted = int(generator.integers(0, n_items + 1)) * int(generator.random() > 0.1)
        yield Case(
            n_items=n_items,
            cutoffs=cutoffs,
            ranking=order[: min(k, int(generator.integers(0, 2 * k + 1)))],
            target=set(generator.permutation(n_items)[:wanted].tolist()),
            scores=generator.integers(-1, 3, size=n_items).astype(float).tolist(),
            excluded=set(np.flatnonzero(generator.random(n_items) < 0.2).tolist()),
        )


def ours(case: Case, top: TopK) -> Values:
    """The metrics of recae for one list, at all cut-offs."""
    columns = sorted(case.target)
    cells = (np.ones(len(columns)), (np.zeros(len(columns), dtype=int), columns))
    asked = [f"{name}@{k}" for name in NAMES for k in case.cutoffs]
    accumulator = MetricAccumulator(asked, case.n_items)
    accumulator.update(top, sp.csr_array(cells, shape=(1, case.n_items)))
    return {name: float(v[0]) for name, v in accumulator.per_user().items()}


def at_all(case: Case, measure: Callable[[int], Values]) -> Values:
    """The value of a measure at each cut-off, under recae's names."""
    return {f"{name}@{k}": value for k in case.cutoffs for name, value in measure(k).items()}


def written_out(ranking: list[int], target: set[int], k: int) -> Values:
    """The formulas as loops; NaN without a target."""
    if not target:
        return dict.fromkeys(NAMES, math.nan)
    hits, gain, precisions, reciprocal = 0, 0.0, 0.0, 0.0
    for rank, item in enumerate(ranking[:k], start=1):
        if item in target:
            hits += 1
            gain += 1 / math.log2(rank + 1)
            precisions += hits / rank
            reciprocal = reciprocal or 1 / rank
    ideal = 0.0
    for rank in range(1, min(len(target), k) + 1):
        ideal += 1 / math.log2(rank + 1)
    return {
        "ndcg": gain / ideal,
        "recall": hits / len(target),
        "calibrated_recall": hits / min(k, len(target)),
        "precision": hits / k,
        "hit_rate": float(hits > 0),
        "mrr": reciprocal,
        "map": precisions / len(target),
    }


def trec_eval(target: set[int], scores: dict[int, float], k: int) -> Values:
    """The measures of trec_eval for the items with a score; NaN without a target or without a list.

    recip_rank has no cut-off, so it gets the first k items only.
    """
    if not target:
        return dict.fromkeys(TREC_EVAL, math.nan)
    names = {item: f"{10_000 - item:05}" for item in target | set(scores)}
    judged = {"user": {names[item]: 1 for item in target}}
    first = sorted(scores, key=lambda item: (-scores[item], item))[:k]
    found = {}
    for items, asked in ((scores, {*TREC_EVAL} - {"mrr"}), (first, {"mrr"})):
        measures = {name: TREC_EVAL[name].format(k=k) for name in asked}
        evaluator = pytrec_eval.RelevanceEvaluator(judged, set(measures.values()))
        said = evaluator.evaluate({"user": {names[item]: scores[item] for item in items}})["user"]
        found |= {name: said[measure.replace(".", "_")] for name, measure in measures.items()}
    return found


def difference(found: Values, expected: Values) -> Values:
    """Absolute differences; 0 where both are NaN, infinity where one is."""

    def apart(one: float, other: float) -> float:
        if math.isnan(one) or math.isnan(other):
            return 0.0 if math.isnan(one) and math.isnan(other) else math.inf
        return abs(one - other)

    return {name: apart(found[name], value) for name, value in expected.items()}


def compare(case: Case) -> dict[str, Values]:
    """The differences of one case under each of the four comparisons."""
    k, target, tied = max(case.cutoffs), case.target, case.tied_ranking()
    padded = case.ranking + [-1] * (k - len(case.ranking))
    given = ours(case, TopK(np.array([padded]), np.zeros((1, k), dtype=np.float32)))
    scores = torch.tensor([case.scores], dtype=torch.float32)
    excluded = sorted(case.excluded)
    ranked = ours(case, top_k(scores, k, exclude=([0] * len(excluded), excluded)))
    distinct = {item: float(-rank) for rank, item in enumerate(case.ranking)}
    left = {item: case.scores[item] for item in range(case.n_items) if item not in case.excluded}
    expected = {
        "trec_eval": (given, lambda k: trec_eval(target, distinct, k)),
        "loops": (given, lambda k: written_out(case.ranking, target, k)),
        "ties trec_eval": (ranked, lambda k: trec_eval(target, left, k)),
        "ties loops": (ranked, lambda k: written_out(tied, target, k)),
    }
    return {
        kind: difference(found, at_all(case, measure))
        for kind, (found, measure) in expected.items()
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the largest differences; 0 if all are within 1e-12, else 1."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    cases = list(random_cases(options.cases, options.seed))
    largest: dict[str, Values] = {}
    for case in cases:
        for kind, found in compare(case).items():
            worst_of = largest.setdefault(kind, {})
            for name, value in found.items():
                metric = name.split("@")[0]
                worst_of[metric] = max(value, worst_of.get(metric, 0.0))
    empty = sum(not case.target for case in cases)
    short = sum(len(case.ranking) < max(case.cutoffs) for case in cases)
    cutoffs = sum(len(case.cutoffs) for case in cases)
    print(f"{len(cases)} cases: {empty} with an empty target, {short} with a short list")
    print(f"{cutoffs} cut-offs")
    print(f"largest difference{'':6}" + "".join(f"{kind:>16}" for kind in largest))
    for name in NAMES:
        cells = [f"{found[name]:.1e}" if name in found else "-" for found in largest.values()]
        print(f"{name:24}" + "".join(f"{cell:>16}" for cell in cells))
    worst = max(value for found in largest.values() for value in found.values())
    return 0 if worst <= TOLERANCE else 1


if __name__ == "__main__":
    raise SystemExit(main())
