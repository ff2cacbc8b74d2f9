"""Measures the false alarms of the tests on thousands of comparisons of models that do not differ.

    python -m evaluation significance

The differences of users have several shapes, all with a true mean of 0. The script counts how often
the signed-rank test, the t test, the bootstrap interval and the column `better` of `recae.compare`
find a difference at 0.05. It also counts how often Holm's correction finds any false difference
among ten comparisons, how often seed variance is taken for a better model, and how often a true
difference of the size `detectable` is found. Each rate is printed with its 99 % interval (Clopper &
Pearson 1934) and the nominal rate.

The shapes "normal", "ndcg, signs flipped" and "zeros and ties" are symmetric, like the differences
of two exchangeable models. "ndcg, centred" and "skewed" are not: their mean is 0, but their median
is not. The signed-rank test rejects symmetry there, because it is not a test of the mean. In these
cases `better` depends on the t test and the interval. The ndcg values are those of EASE and ItemKNN
on the bundled MovieLens.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from scipy import stats

import recae
from evaluation.kit.provenance import keep
from recae.evaluation.comparison.significance import (
    POWER,
    Spread,
    detectable,
    holm,
    intervals,
    mean_test,
    signed_rank,
)
from recae.metrics import percentile_interval, resampled_means
from recae.rng import numpy_generator

LEVEL, RESAMPLES, BATCH = 0.95, 1000, 100
ALPHA = 1 - LEVEL
SYMMETRIC = ("normal", "ndcg, signs flipped", "zeros and ties")
Draw = Callable[[np.random.Generator, int], np.ndarray]
Row = dict[str, Any]


def main(argv: Sequence[str] | None = None) -> int:
    """Simulates, prints and stores the rates. Returns 1 if a symmetric null is rejected more often
    than stated."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repetitions", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    started, rows = time.perf_counter(), []
    print(f"{'':<68} found  99 % interval   stated")
    for row in simulate(real_differences(), options.repetitions, options.seed):
        rows.append(row)
        low, high = row["interval"]
        stated = "" if row["nominal"] is None else f"{row['nominal']:.2f}  {row['verdict']}"
        where = f"{row['case']}, {row['users']} users: {row['test']}"
        print(f"{where:<67}{row['rate']:.4f} [{low:.4f}, {high:.4f}]  {stated}", flush=True)
    seconds = round(time.perf_counter() - started, 1)
    print(f"{seconds} s")
    options_kept = {"repetitions": options.repetitions, "seed": options.seed, "level": LEVEL}
    keep("significance", options_kept | {"seconds": seconds, "rates": rows})
    wrong = [r for r in rows if r["case"] in SYMMETRIC and r["test"] in ("signed rank", "better")]
    wrong += [r for r in rows if "Holm" in r["test"]]
    return int(any(row["verdict"] == "more than stated" for row in wrong))


def simulate(real: np.ndarray, repetitions: int, seed: int) -> Iterator[Row]:
    """All rates. real: (users,) differences of two models, to draw from."""
    for number, (case, draw) in enumerate(shapes(real).items()):
        for users in (30, 1000):
            yield from false_alarms(case, draw, users, repetitions, numpy_generator(seed, number))
    for number, better in enumerate((0.0, 1.0)):
        yield from families(better, repetitions // 2, numpy_generator(seed, 10, number))
    draw = shapes(real)["ndcg, centred"]
    yield from skewed_families(draw, repetitions // 4, numpy_generator(seed, 11))
    for number, (case, luck) in enumerate({"luck is small": 0.005, "luck is large": 0.05}.items()):
        for seeds in (2, 3, 5, 10):
            generator = numpy_generator(seed, 20, number, seeds)
            yield from lucky(f"{seeds} seeds, {case}", seeds, luck, repetitions // 4, generator)
    for number, case in enumerate(("normal", "ndcg, signs flipped")):
        for users in (30, 1000):
            generator = numpy_generator(seed, 30, number)
            yield from power(case, shapes(real)[case], users, repetitions, generator)


def shapes(real: np.ndarray) -> Mapping[str, Draw]:
    """Maps a name to a function that draws (size,) differences of users with a true mean of 0."""
    return {
        "normal": lambda g, size: g.normal(size=size),
        "ndcg, signs flipped": lambda g, size: g.choice(real, size) * g.choice([-1.0, 1.0], size),
        "zeros and ties": lambda g, size: (
            (g.random(size) < 0.2) * (g.integers(0, 11, size) - 5) / 5
        ),
        "ndcg, centred": lambda g, size: g.choice(real - real.mean(), size),
        "skewed": lambda g, size: g.lognormal(size=size) - np.exp(0.5),
    }


def false_alarms(
    case: str, draw: Draw, users: int, repetitions: int, generator: np.random.Generator
) -> Iterator[Row]:
    """Rates of the signed-rank test, the interval and both, for users without a true difference."""
    columns = np.stack([draw(generator, users) for _ in range(repetitions)])
    for name, found in decisions(columns).items():
        yield rate(case, users, name, found, ALPHA)


def decisions(columns: np.ndarray) -> dict[str, np.ndarray]:
    """The results of each test on (repetitions, users) differences: name -> (repetitions,)
    booleans."""
    ranks, means, outside = p_values(columns), mean_p_values(columns), []
    for start in range(0, len(columns), BATCH):  # as the rows of a frame, which share their draws
        for resampled in resampled_means(list(columns[start : start + BATCH]), RESAMPLES, start):
            low, high = percentile_interval(resampled, LEVEL)
            outside.append(low > 0 or high < 0)
    return {
        "signed rank": ranks < ALPHA,
        "t test": means < ALPHA,
        "interval": np.array(outside),
        "better": (ranks < ALPHA) & (means < ALPHA) & outside,
    }


def p_values(columns: np.ndarray) -> np.ndarray:
    """The signed-rank p of each row of (repetitions, users)."""
    nothing = np.zeros(columns.shape[1])
    return np.array([signed_rank(column, nothing) for column in columns])


def mean_p_values(columns: np.ndarray) -> np.ndarray:
    """The p of the mean of each row of (repetitions, users)."""
    return np.array([mean_test(c.mean(), Spread.of(c), len(c)) for c in columns])


def families(better: float, repetitions: int, generator: np.random.Generator) -> Iterator[Row]:
    """Rate of any false alarm among the ten pairs of five models, of which one may be better."""
    users, pairs = 200, list(combinations(range(5), 2))
    equal = np.array([0 not in pair or not better for pair in pairs])
    found: dict[str, list[bool]] = {"any p, uncorrected": [], "any p after Holm": []}
    for _ in range(repetitions):
        models = generator.normal(size=users) + 0.5 * generator.normal(size=(5, users))
        models[0] += better
        p = p_values(np.stack([models[a] - models[b] for a, b in pairs]))
        found["any p, uncorrected"].append((p[equal] < ALPHA).any())
        found["any p after Holm"].append((holm(p)[equal] < ALPHA).any())
    for name, alarms in found.items():
        nominal = ALPHA if "Holm" in name else None
        case = f"{equal.sum()} of 10 pairs without a difference"
        yield rate(case, users, name, np.array(alarms), nominal)


def skewed_families(draw: Draw, repetitions: int, generator: np.random.Generator) -> Iterator[Row]:
    """Rate of any false alarm among ten independent comparisons, of mean 0 but not symmetric."""
    users, ranks, means = 1000, [], []
    for _ in range(repetitions):
        columns = np.stack([draw(generator, users) for _ in range(10)])
        ranks.append(holm(p_values(columns)) < ALPHA)
        means.append(holm(mean_p_values(columns)) < ALPHA)
    case, both = "10 comparisons, ndcg, centred", np.array(ranks) & np.array(means)
    yield rate(case, users, "any signed rank", np.array(ranks).any(axis=1), None)
    yield rate(case, users, "any t test after Holm", np.array(means).any(axis=1), ALPHA)
    yield rate(case, users, "any of both after Holm", both.any(axis=1), ALPHA)


def lucky(
    case: str, seeds: int, luck: float, repetitions: int, generator: np.random.Generator
) -> Iterator[Row]:
    """Rates for two models with the same mean and seed variance; the standard error over users is
    0.01."""
    users, ranks, means, outside = 400, [], [], []
    for repetition in range(repetitions):
        base = generator.normal(size=users)
        values = {
            name: base
            + 0.14 * generator.normal(size=users)
            + luck * generator.normal(size=(seeds, 1))
            + 0.14 * generator.normal(size=(seeds, users))
            for name in "ab"
        }
        pair = [("a", "b")]
        ((low, high),) = intervals(values, pair, level=LEVEL, resamples=RESAMPLES, seed=repetition)
        outside.append(low > 0 or high < 0)
        one, other = (values[name].mean(axis=0) for name in "ab")
        ranks.append(signed_rank(one, other) < ALPHA)
        spread = Spread.of(one - other, values["a"], values["b"])
        means.append(mean_test((one - other).mean(), spread, users) < ALPHA)
    both = np.array(ranks) & np.array(means) & np.array(outside)
    yield rate(case, users, "signed rank, of these fits", np.array(ranks), None)
    yield rate(case, users, "t test", np.array(means), ALPHA)
    yield rate(case, users, "interval", np.array(outside), ALPHA)
    yield rate(case, users, "better", both, ALPHA)


def power(
    case: str, draw: Draw, users: int, repetitions: int, generator: np.random.Generator
) -> Iterator[Row]:
    """The rate at which a true difference equal to `detectable` is found."""
    spread = float(draw(generator, 1_000_000).var())
    true = detectable(Spread(spread / users, float("inf")), LEVEL, POWER)
    columns = np.stack([draw(generator, users) for _ in range(repetitions)]) + true
    standardised = columns.mean(axis=1) / columns.std(axis=1, ddof=1) * np.sqrt(users)
    found = {"z test": abs(standardised) > stats.norm.ppf((1 + LEVEL) / 2)} | decisions(columns)
    for name, shown in found.items():
        nominal = POWER if name in ("z test", "t test") else None
        yield rate(f"true difference, {case}", users, name, shown, nominal)


def rate(case: str, users: int, test: str, found: np.ndarray, nominal: float | None) -> Row:
    """The rate with its 99 % interval, and the position of the nominal rate."""
    hits, tests = int(found.sum()), len(found)
    interval = stats.binomtest(hits, tests).proportion_ci(0.99, method="exact")
    low, high = float(interval.low), float(interval.high)
    verdict = None
    if nominal is not None:
        verdict = "more than stated" if low > nominal else "less" if high < nominal else "as stated"
    return {
        "case": case,
        "users": users,
        "test": test,
        "rate": hits / tests,
        "interval": [low, high],
        "nominal": None if nominal is None else round(nominal, 10),
        "verdict": verdict,
        "tests": tests,
    }


def real_differences() -> np.ndarray:
    """NDCG@10 of EASE minus that of ItemKNN for the users of the bundled MovieLens."""
    data = recae.load_dataset("ml-latest-small").interactions
    split = recae.data.splits.holdout_pairs(
        data.filter(min_weight=4, min_per_user=5, binarise=True), 0.2
    )
    values = [
        recae.evaluate(model.fit(split.train), split.validation, "ndcg@10", progress=False)
        .per_user["ndcg@10"]
        .dropna()
        .to_numpy()
        for model in (recae.EASE(), recae.ItemKNN())
    ]
    return values[0] - values[1]


if __name__ == "__main__":
    raise SystemExit(main())
