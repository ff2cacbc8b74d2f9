"""What measuring costs beside scoring: seconds and memory of `recae.evaluate`, and of RecBole.

    python -m evaluation evaluation_cost
    python -m evaluation evaluation_cost --recbole-python PYTHON

Users have about 50 items in their history and 10 targets, drawn from a power law over the items;
the model is a `PureSVD`, about as cheap a scorer as there is, so that the share of the metrics is
about as high as it gets. NDCG@100, Recall@20 and Recall@50, with everything else that a report
holds. Every round is a process of its own, which loads data and model; the peak is that of the
evaluation, above what the process held before. Medians of the rounds.

With the interpreter of an environment with RecBole (`evaluation/peers/recbole_evaluation.py` says
how to set it up), RecBole evaluates the same users with the same factors in every round, once at
its default size of a batch and once with as many users at a time as recae takes; its metrics must
agree with those of recae.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

import recae
from evaluation.provenance import keep, peak_gb
from recae.ranking.batches import BATCH_CELLS
from recae.ranking.products import Products

PEER = Path(__file__).parent / "peers" / "recbole_evaluation.py"
ALIKE = {"recall@20": "recall@20", "recall@50": "recall@50", "ndcg@100": "ndcg@100"}
TOLERANCE = 1e-4
"""Of means: RecBole computes in float32, and breaks ties as torch does."""


def synthetic(n_users: int, n_items: int, seed: int = 0) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Histories of about 50 and targets of at most 10 items, (n_users, n_items) of ones each.

    The chance of an item of rank r is proportional to (r + 20)^-0.8; a user draws a lognormal
    number of items, and those drawn twice count once.
    """
    rng = np.random.default_rng(seed)
    draws = np.clip(rng.lognormal(np.log(52), 0.55, n_users).astype(np.int64), 15, n_items // 2)
    chance = np.cumsum((np.arange(n_items) + 20.0) ** -0.8)
    items = np.searchsorted(chance, rng.random(int(draws.sum())) * chance[-1])
    cells = np.unique(np.repeat(np.arange(n_users), draws) * n_items + items)
    users, items = cells // n_items, cells % n_items
    order = np.lexsort((rng.random(len(cells)), users))  # a user's items in random order
    first = np.searchsorted(users, users)
    hidden = np.zeros(len(cells), dtype=bool)
    hidden[order] = np.arange(len(cells)) - first < np.minimum(10, draws[users] // 2)
    parts = []
    for some in (~hidden, hidden):
        ones = np.ones(int(some.sum()), dtype=np.float32)
        parts.append(sp.csr_matrix((ones, (users[some], items[some])), shape=(n_users, n_items)))
    return parts[0], parts[1]


def prepare(folder: Path, n_users: int, n_items: int, latent: int) -> str:
    """Writes histories, targets, the fitted model and its factors; returns the repr of the fold."""
    history, target = synthetic(n_users, n_items)
    sp.save_npz(folder / "history.npz", history)
    sp.save_npz(folder / "target.npz", target)
    data = recae.Interactions.from_csr(history)
    model = recae.PureSVD(latent=latent).fit(data)
    model.save(folder / "model")
    np.savez(folder / "factors.npz", users=model.embed_users(data), items=model.item_embeddings_)
    return repr(recae.Fold(data, recae.Interactions.from_csr(target)))


def measured(folder: Path, threads: int, users: int | None) -> dict[str, Any]:
    """Evaluates in this process, and says what it took."""
    torch.set_num_threads(threads)
    parts = (sp.load_npz(folder / f"{name}.npz")[:users] for name in ("history", "target"))
    fold = recae.Fold(*map(recae.Interactions.from_csr, parts))
    model = recae.load(folder / "model")
    spent = [0.0]

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any) -> Any:
            started = time.perf_counter()
            result = function(*args)
            spent[0] += time.perf_counter() - started
            return result

        return wrapper

    model._scores = timed(model._scores)  # type: ignore[method-assign]
    Products.write = timed(Products.write)  # type: ignore[method-assign]
    before, started = peak_gb(), time.perf_counter()
    report = recae.evaluate(model, fold, progress=False)
    whole = time.perf_counter() - started
    names = ("seconds", "scoring_seconds", "metric_seconds", "interval_seconds")
    return {
        "whole_seconds": whole,
        **{name: report.provenance[name] for name in names},
        "scores_seconds": spent[0],
        "above_start_gb": peak_gb() - before,
        "metrics": report.mean,
    }


def alone(command: Sequence[str]) -> dict[str, Any]:
    """The JSON that ends the output of a process. Raises CalledProcessError if it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def middle(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The median of each number; the metrics are those of the first round."""
    numbers = [name for name, value in rounds[0].items() if isinstance(value, int | float)]
    found: dict[str, Any] = {n: round(median(r[n] for r in rounds), 4) for n in numbers}
    return found | {"metrics": rounds[0]["metrics"]}


def main(argv: Sequence[str] | None = None) -> int:
    """Prints and keeps the costs; 1 if the libraries do not agree on the metrics."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--latent", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--recbole-python", metavar="PYTHON")
    parser.add_argument(
        "--recbole-users", type=int, help="let both evaluate the first so many when side by side"
    )
    parser.add_argument("--only", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.only:
        print(json.dumps(measured(options.only, options.threads, options.recbole_users)))
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = prepare(folder, options.users, options.items, options.latent)
        print(data, flush=True)
        threads = ["--threads", str(options.threads)]
        ours = [sys.executable, "-m", "evaluation.evaluation_cost", "--only", name, *threads]
        commands = {"recae": ours}
        if options.recbole_python:
            some = [] if options.recbole_users is None else [str(options.recbole_users)]
            theirs = [options.recbole_python, str(PEER), name, *threads]
            theirs += [part for count in some for part in ("--users", count)]
            if some:
                commands["recae, as many users as RecBole"] = [*ours, "--recbole-users", *some]
            commands["RecBole"] = theirs
            commands["RecBole, large batches"] = [*theirs, "--eval-batch-size", str(BATCH_CELLS)]
        rounds: dict[str, list[dict[str, Any]]] = {who: [] for who in commands}
        for _ in range(options.rounds):
            for who, command in commands.items():
                rounds[who].append(alone(command))
                print(f"{who}: {rounds[who][-1]}", flush=True)
    costs = {who: middle(some) for who, some in rounds.items()}
    result = {"suite": "cost of evaluating", "data": data, "costs": costs}
    result |= {"latent": options.latent, "threads": options.threads, "rounds": options.rounds}
    result["metric_share"] = median(
        r["metric_seconds"] / r["scoring_seconds"] for r in rounds["recae"]
    )
    result["ratios"] = ratios(rounds)
    print(summary(result))
    print(f"kept in {keep('evaluation-cost', result)}")
    return 0 if agree(costs) else 1


def ratios(rounds: dict[str, list[dict[str, Any]]]) -> dict[str, float]:
    """How many times as long RecBole takes as the whole of `recae.evaluate`, intervals and counts
    included; with forming the scores and without. Medians of pairs."""
    ours = rounds.get("recae, as many users as RecBole", rounds["recae"])
    found = {}
    for who, theirs in rounds.items():
        if who.startswith("RecBole"):
            pairs = list(zip(theirs, ours, strict=True))
            found[who] = median(a["seconds"] / b["whole_seconds"] for a, b in pairs)
            found[f"{who}, without forming scores"] = median(
                (a["seconds"] - a["scores_seconds"]) / (b["whole_seconds"] - b["scores_seconds"])
                for a, b in pairs
            )
    return found


def agree(costs: dict[str, dict[str, Any]]) -> bool:
    """Whether RecBole's means are those of recae."""
    ours = costs.get("recae, as many users as RecBole", costs["recae"])["metrics"]
    return all(
        abs(cost["metrics"][theirs] - ours[name]) <= TOLERANCE
        for who, cost in costs.items()
        if who.startswith("RecBole")
        for name, theirs in ALIKE.items()
    )


def summary(result: dict[str, Any]) -> str:
    """The costs in words."""
    cost = result["costs"]["recae"]
    lines = [
        f"scoring {cost['scoring_seconds']:.2f} s (of which scores {cost['scores_seconds']:.2f} s, "
        f"the rest masking and top-k), metrics {cost['metric_seconds']:.2f} s: "
        f"{result['metric_share']:.1%} of scoring; intervals {cost['interval_seconds']:.2f} s; "
        f"{cost['above_start_gb']:.3f} GB above the start",
        *(f"{who}: {ratio:.2f} times as long as recae" for who, ratio in result["ratios"].items()),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
