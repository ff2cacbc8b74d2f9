"""Are the metrics right? Random lists against trec_eval and against arithmetic in plain Python.

    python -m evaluation.metrics_oracle

Every case is one user with a random catalogue, target (some empty), cut-off and list (some short or
empty). Three comparisons: given lists against pytrec_eval, whose ranks come from distinct scores;
the same lists against the formulas written as loops; and lists ranked by `top_k` from scores of few
values, with items excluded, against `sorted` and the same loops.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytrec_eval
import scipy.sparse as sp
import torch

from recae.metrics import MetricAccumulator
from recae.ranking import TopK, top_k
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
TOLERANCE = 1e-12
Values = dict[str, float]


@dataclass(frozen=True)
class Case:
    """One user: a ranking without repetition, a target, tied scores, and what is excluded."""

    n_items: int
    k: int
    ranking: list[int]
    target: set[int]
    scores: list[float]
    excluded: set[int]

    def tied_ranking(self) -> list[int]:
        """The first k items by (score descending, column ascending) that are not excluded."""
        left = [item for item in range(self.n_items) if item not in self.excluded]
        return sorted(left, key=lambda item: (-self.scores[item], item))[: self.k]


def random_cases(count: int, seed: int) -> Iterator[Case]:
    """More than one target in ten is empty; about half of the lists are shorter than k."""
    generator = numpy_generator(seed)
    for _ in range(count):
        n_items, k = int(generator.integers(1, 61)), int(generator.integers(1, 31))
        order = generator.permutation(n_items).tolist()
        wanted = int(generator.integers(0, n_items + 1)) * int(generator.random() > 0.1)
        yield Case(
            n_items=n_items,
            k=k,
            ranking=order[: min(k, int(generator.integers(0, 2 * k + 1)))],
            target=set(generator.permutation(n_items)[:wanted].tolist()),
            scores=generator.integers(-1, 3, size=n_items).astype(float).tolist(),
            excluded=set(np.flatnonzero(generator.random(n_items) < 0.2).tolist()),
        )


def ours(case: Case, top: TopK) -> Values:
    """The metrics of recae for one list."""
    columns = sorted(case.target)
    cells = (np.ones(len(columns)), (np.zeros(len(columns), dtype=int), columns))
    accumulator = MetricAccumulator([f"{name}@{case.k}" for name in NAMES], case.n_items)
    accumulator.update(top, sp.csr_array(cells, shape=(1, case.n_items)))
    return {name.split("@")[0]: float(v[0]) for name, v in accumulator.per_user().items()}


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


def trec_eval(case: Case) -> Values:
    """What trec_eval says; NaN without a target, where it has no opinion."""
    if not case.target:
        return dict.fromkeys(TREC_EVAL, math.nan)
    judged = {"user": {str(item): 1 for item in case.target}}
    scored = {str(item): float(-rank) for rank, item in enumerate(case.ranking)}
    asked = {name: measure.format(k=case.k) for name, measure in TREC_EVAL.items()}
    evaluator = pytrec_eval.RelevanceEvaluator(judged, set(asked.values()))
    found = evaluator.evaluate({"user": scored})["user"]
    return {name: found[measure.replace(".", "_")] for name, measure in asked.items()}


def difference(found: Values, expected: Values) -> Values:
    """Absolute differences; 0 where both are NaN, infinity where one is."""

    def apart(one: float, other: float) -> float:
        if math.isnan(one) or math.isnan(other):
            return 0.0 if math.isnan(one) and math.isnan(other) else math.inf
        return abs(one - other)

    return {name: apart(found[name], value) for name, value in expected.items()}


def compare(case: Case) -> dict[str, Values]:
    """The differences of one case under each of the three comparisons."""
    padded = case.ranking + [-1] * (case.k - len(case.ranking))
    given = ours(case, TopK(np.array([padded]), np.zeros((1, case.k), dtype=np.float32)))
    scores = torch.tensor([case.scores], dtype=torch.float32)
    excluded = sorted(case.excluded)
    tied = ours(case, top_k(scores, case.k, exclude=([0] * len(excluded), excluded)))
    return {
        "trec_eval": difference(given, trec_eval(case)),
        "loops": difference(given, written_out(case.ranking, case.target, case.k)),
        "ties": difference(tied, written_out(case.tied_ranking(), case.target, case.k)),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the largest differences; 0 if all are within 1e-12, else 1."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    cases = list(random_cases(options.cases, options.seed))
    largest: dict[str, Values] = {"trec_eval": {}, "loops": {}, "ties": {}}
    for case in cases:
        for kind, found in compare(case).items():
            for name, value in found.items():
                largest[kind][name] = max(value, largest[kind].get(name, 0.0))
    empty = sum(not case.target for case in cases)
    short = sum(len(case.ranking) < case.k for case in cases)
    print(f"{len(cases)} cases: {empty} with an empty target, {short} with a short list")
    print(f"largest difference  {'trec_eval':>12}{'loops':>12}{'ties':>12}")
    for name in NAMES:
        cells = [f"{found[name]:.1e}" if name in found else "-" for found in largest.values()]
        print(f"{name:20}" + "".join(f"{cell:>12}" for cell in cells))
    worst = max(value for found in largest.values() for value in found.values())
    return 0 if worst <= TOLERANCE else 1


if __name__ == "__main__":
    raise SystemExit(main())
