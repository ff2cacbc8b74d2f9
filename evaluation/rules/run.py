"""Rules: laws of 100,000 random lists, their time, and what MMR and calibration cost in NDCG.

    python -m evaluation rules --data ml-1m

First, random sets of rules rank random users of small planted worlds, until there are so many
lists. No list may have a blocked, seen, repeated or not allowed item, or break another law of
`recae.Rules`; each is checked by plain Python (evaluation/rules/laws.py). Returns 1 if any is
broken.

Then each rule is timed in `recommend_ids` over --items items, on one thread.

Last, with --data, the folder of MovieLens 1M (ratings.parquet, movies.parquet): ALS and EASE are
fitted on the training users, and their lists for the test users are ranked again with MMR by
genres, MMR by what the model knows of items (embeddings of ALS, weights of EASE), and calibration,
each at several weights. The table has NDCG@20 and the share of it that is lost, diversity (1 - the
mean cosine of the genres of two movies of a list), coverage, miscalibration (KL, nats) and novelty
(bits).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import recae
from evaluation.kit.provenance import RESULTS, keep
from evaluation.rules.cost import measured as measured_times
from evaluation.rules.laws import make_world
from evaluation.rules.requests import ask
from evaluation.rules.trade import as_text, measured, read
from recae.system.progress import bar


def main(argv: Sequence[str] | None = None) -> int:
    """Asks, measures, prints and keeps the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=100_000, help="lists; 0 for none")
    parser.add_argument("--items", type=int, default=20_000, help="of the times; 0 for none")
    parser.add_argument("--data", type=Path, help="the folder of MovieLens 1M; without it no table")
    parser.add_argument("--pool", type=int, default=100, help="candidates that are ranked again")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the kept result")
    options = parser.parse_args(argv)
    result: dict[str, Any] = {"seed": options.seed}
    code = 0
    if options.requests:
        worlds = [
            make_world(recae.PureSVD(latent=8), seed=options.seed),
            make_world(recae.EASE(l2=10.0), seed=options.seed + 1),
        ]
        started = time.perf_counter()
        with bar(options.requests, "asking", "list", None) as shown:
            found = ask(worlds, options.requests, options.seed, shown)
        result["laws"] = found | {"seconds": round(time.perf_counter() - started, 1)}
        for name, value in result["laws"].items():
            print(f"{name:<18}{value}", flush=True)
        code = 1 if found["laws broken"] else 0
    if options.items:
        torch.set_num_threads(1)
        times = measured_times(options.items)
        print(f"\none user, {options.items:,} items, milliseconds\n{as_text(times)}", flush=True)
        result |= {"items": options.items, "times": times}
    if options.data:
        data, movies = read(options.data)
        split = recae.StrongGeneralization().split(data, seed=options.seed)
        models = [recae.ALS(latent=64), recae.EASE()]
        rows: list[dict[str, Any]] = []
        for model in models:
            model.fit(split.train, seed=options.seed, progress=False)
            rows += measured(model, split, movies, pool=options.pool)
        print(f"\n{data}, pool {options.pool}\n{as_text(rows)}")
        about = {"data": repr(data), "models": [repr(model) for model in models]}
        result |= about | {"pool": options.pool, "table": rows}
    print(f"\nkept in {keep('rules', result, options.out)}")
    return code
