"""Latency of the top 10 for one new user in milliseconds: median and 99th percentile.

    python -m evaluation.speed latency
    python -m evaluation.speed latency --busy 2

A new user with about 80 items, by `recommend_array` of a CSR, by `recommend_ids` of a list
and by `recommend` of a frame, every call for another user, of models that were saved and loaded.
Weights are random (`synthetic.py`), which costs at least as much as trained ones.
One thread, calls one after the other, the ways in turns of 100; the first turn is not counted.
implicit: `AlternatingLeastSquares.recommend(..., recalculate_user=True)` with the factors of ALS,
and the same of a known user, whose factors are not computed. EASE only up to 20,000 items.
--busy starts this many processes that compute without end at the same time, and stops them
afterwards.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import recae
from evaluation.kit import synthetic, worker
from evaluation.kit.harness import alternate, arguments
from evaluation.kit.provenance import keep

ALL = ((), ("--busy", "2"))
WARM = 100
LARGEST_EASE = 20_000
"""Items up to which EASE is measured: 1.6 GB of weights."""
BUSY = "while True: sum(range(10_000))"


def main(argv: Sequence[str] | None = None) -> int:
    """Prints and stores the percentiles."""
    parser = arguments(__doc__, rounds=1)
    parser.set_defaults(threads=1)
    parser.add_argument("--items", type=int, nargs="+", default=[20_000, 200_000])
    parser.add_argument("--latent", type=int, default=200)
    parser.add_argument("--calls", type=int, default=2_000)
    parser.add_argument(
        "--busy", type=int, default=0, help="number of busy processes at the same time"
    )
    parser.add_argument("--dry", action="store_true", help="keep nothing")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.serve:
        serve(options)
        return 0
    numbers = [f"--{n}={getattr(options, n)}" for n in ("latent", "calls", "threads")]
    command = [sys.executable, "-m", "evaluation.speed.latency", *numbers]
    sides = {f"{n:,} items": [*command, f"--serve={n}"] for n in options.items}
    with busy(options.busy):
        rounds = alternate(sides, options.rounds, warm=0, threads=options.threads)
    for side, answers in rounds.answers.items():
        print(f"\n{side}, {options.calls:,} calls, {options.busy} busy processes")
        print(f"{'':<28}{'p50':>9}{'p99':>9}{'longest':>9}   milliseconds")
        for way, found in answers[-1]["milliseconds"].items():
            print(f"{way:<28}" + "".join(f"{found[n]:>9.2f}" for n in ("p50", "p99", "longest")))
    result = {"suite": "latency of one new user", "k": 10}
    result |= {n: getattr(options, n) for n in ("latent", "calls", "threads", "busy")}
    if not options.dry:
        name = "speed-latency" + (f"-busy-{options.busy}" if options.busy else "")
        print(f"kept in {keep(name, result | rounds.as_dict())}")
    return 0


@contextmanager
def busy(n: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Runs `n` busy processes for the duration of the block."""
    started = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(n)]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()


def serve(options: argparse.Namespace) -> None:
    """Measures one catalogue: every model and call, in turns."""
    bare = worker.peak_gb()
    torch.set_num_threads(options.threads)
    matrix = synthetic.histories(WARM + options.calls, options.serve, seed=3)
    data = recae.Interactions.from_csr(matrix[:WARM])
    users = [matrix[[row]] for row in range(len(matrix.indptr) - 1)]
    frames = [pd.DataFrame({"user_id": "new", "item_id": u.indices.astype(int)}) for u in users]
    lists = [user.indices.tolist() for user in users]
    factors = synthetic.item_factors(options.serve, options.latent)
    models: dict[str, recae.Recommender] = {
        "PureSVD": synthetic.factor_model(recae.PureSVD(latent=options.latent), data, factors),
        "ALS": synthetic.factor_model(recae.ALS(latent=options.latent), data, factors),
        "Mult-VAE": synthetic.vae(data, options.latent),
    }
    if options.serve <= LARGEST_EASE:
        models["EASE"] = synthetic.random_ease(data)
    with tempfile.TemporaryDirectory() as folder:  # mapped files live on without their names
        models = {n: recae.load(m.save(Path(folder) / n)) for n, m in models.items()}

    ways: dict[str, tuple[Callable[[Any], object], Sequence[Any]]] = {}
    for name, model in models.items():
        ways[f"{name}, array"] = (lambda u, m=model: m.recommend_array(u, 10)), users
        ways[f"{name}, lists"] = (lambda u, m=model: m.recommend_ids(u, 10)), lists
        ways[f"{name}, frame"] = (lambda f, m=model: m.recommend(history=f, k=10)), frames
    ways["implicit ALS"] = implicit(factors, options.threads), users
    ways["implicit ALS, known user"] = implicit(factors, options.threads, known=True), users
    worker.serve(lambda: {"milliseconds": percentiles(ways)}, bare)


def implicit(factors: np.ndarray, threads: int, known: bool = False) -> Callable[[Any], Any]:
    """The call of `implicit` for a new user, or for a known one, whose factors it has."""
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    threadpool_limits(1, user_api="blas")  # this process only measures
    model = AlternatingLeastSquares(
        factors=factors.shape[1], regularization=10.0, num_threads=threads
    )
    model.item_factors = factors
    if known:
        model.user_factors = factors[:1].copy()
        return lambda user: model.recommend(0, user, N=10)
    # As the confidences of recae's ALS: its default alpha.
    return lambda user: model.recommend(0, user * 10, N=10, recalculate_user=True)


def percentiles(
    ways: Mapping[str, tuple[Callable[[Any], object], Sequence[Any]]],
) -> dict[str, dict[str, float]]:
    """Milliseconds of a call of each way: median, 99th percentile, longest.

    The ways take turns of WARM calls, so that a slow minute of the machine affects all of them.
    Within a turn the factors stay in the cache. The first turn does not count.
    """
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    calls = len(next(iter(ways.values()))[1])
    for turn in range(0, calls, WARM):
        for way, (ask, given) in ways.items():
            for one in given[turn : turn + WARM]:
                started = time.perf_counter()
                ask(one)
                seconds[way].append(time.perf_counter() - started)
    found = {}
    for way, taken in seconds.items():
        numbers = np.quantile(taken[WARM:], [0.5, 0.99, 1]) * 1e3
        found[way] = dict(zip(("p50", "p99", "longest"), numbers.round(3).tolist(), strict=True))
    return found


if __name__ == "__main__":
    raise SystemExit(main())
