"""Evaluation end to end on 100,000 users x 20,000 items, compared with RecBole and LensKit.

    python -m evaluation.speed evaluate --rounds 5

Uses the synthetic histories, targets and factors of `evaluation/kit/synthetic.py`: about 50 items
per user, at most 10 targets, a PureSVD of 64 factors. A round goes from factors to the means of
NDCG@100, Recall@20 and Recall@50. recae also computes intervals and the rest of a report. Data and
models are in memory before a round, and so is RecBole's loader with its set of items for every
user.

- recae: `recae.evaluate`, all users.
- recbole: its Trainer's `evaluate` on the same users, with recae's batch size. recbole-default has
  RecBole's default batch, which is one user at a time.
- lenskit: `batch.recommend` and `RunAnalysis` in one process, which was faster than two, for the
  first --lenskit-users. recae-few evaluates the same users, for the comparison with lenskit.

All metrics must agree to 1e-3 (LensKit knows no items without interactions).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

import recae
from evaluation.kit import venvs, worker
from evaluation.kit.harness import Rounds, alternate, arguments
from evaluation.kit.provenance import keep
from evaluation.kit.synthetic import histories_and_targets
from recae.ranking.batches import BATCH_CELLS

PEERS = Path(__file__).parent / "peers"
METRICS = ("ndcg@100", "recall@20", "recall@50")
TOLERANCE = 1e-3
AGAINST = {"recae-few": "recae-few", "lenskit": "recae-few"}
SIDES = ("recae", "recbole", "recbole-default", "recae-few", "lenskit")


def main(argv: Sequence[str] | None = None) -> int:
    """Prints and stores the cost of evaluation. Returns 1 if metrics of the libraries differ."""
    parser = arguments(__doc__)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--latent", type=int, default=64)
    parser.add_argument("--lenskit-users", type=int, default=5_000)
    parser.add_argument("--lenskit-jobs", type=int, default=1, help="processes of LensKit")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    venvs.add_arguments(parser, ["recbole", "lenskit"])
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.serve:
        serve(options)
        return 0
    few = min(options.lenskit_users, options.users)
    with tempfile.TemporaryDirectory() as name:
        data = prepare(Path(name), options.users, options.items, options.latent)
        print(data, flush=True)
        commands = {side: command_of(side, options, Path(name), few) for side in options.sides}
        rounds = alternate(commands, options.rounds, threads=options.threads, against=AGAINST)
    print(rounds.summary())
    if {"lenskit", "recae-few"} <= rounds.answers.keys():
        print(f"(lenskit and recae-few: {few:,} users)")
    result = {"suite": "evaluation end to end", "data": data, "latent": options.latent}
    result |= {"threads": options.threads, "lenskit_users": few} | rounds.as_dict()
    differ = disagreements(rounds)
    print("\n".join(differ) or "the metrics agree")
    if (options.users, options.items) == (100_000, 20_000):
        print(f"kept in {keep('speed-evaluate', result)}")
    return int(bool(differ))


def prepare(folder: Path, n_users: int, n_items: int, latent: int) -> str:
    """Writes histories, targets, the fitted model and its factors; returns the repr of the fold."""
    history, target = histories_and_targets(n_users, n_items)
    sp.save_npz(folder / "history.npz", history)
    sp.save_npz(folder / "target.npz", target)
    data = recae.Interactions.from_csr(history)
    model = recae.PureSVD(latent=latent).fit(data)
    model.save(folder / "model")
    np.savez(folder / "factors.npz", users=model.embed_users(data), items=model.item_embeddings_)
    return repr(recae.Fold(data, recae.Interactions.from_csr(target)))


def command_of(side: str, options: argparse.Namespace, folder: Path, few: int) -> list[str]:
    """The command of a side."""
    users = few if side in ("recae-few", "lenskit") else options.users
    some = [f"--users={users}", f"--threads={options.threads}"]
    if side.startswith("recae"):
        return [sys.executable, "-m", "evaluation.speed.evaluate", "--serve", str(folder), *some]
    peer = side.partition("-")[0]
    command = [venvs.python_of(peer, options), str(PEERS / f"{peer}_evaluate.py"), str(folder)]
    if side == "lenskit":
        return [*command, *some, f"--jobs={options.lenskit_jobs}"]
    cells = 4096 if side == "recbole-default" else BATCH_CELLS
    return [*command, *some, f"--eval-batch-size={cells}"]


def serve(options: argparse.Namespace) -> None:
    """The side of recae: evaluates on each request."""
    bare = worker.peak_gb()
    torch.set_num_threads(options.threads)
    parts = (
        sp.load_npz(options.serve / f"{p}.npz")[: options.users] for p in ("history", "target")
    )
    fold = recae.Fold(*map(recae.Interactions.from_csr, parts))
    model = recae.load(options.serve / "model")

    def run() -> dict[str, Any]:
        report = recae.evaluate(model, fold, METRICS, progress=False)
        share = report.provenance["metric_seconds"] / report.provenance["scoring_seconds"]
        metrics = {name: float(report[name]) for name in METRICS}
        return {"metrics": metrics, "metric_seconds_of_scoring": share}

    worker.serve(run, bare)


def disagreements(rounds: Rounds) -> list[str]:
    """Describes the metrics that differ between two sides with the same users."""
    metrics: dict[str, Mapping[str, float]] = {
        side: answers[0]["metrics"] for side, answers in rounds.answers.items()
    }
    found = []
    for side, theirs in metrics.items():
        to = AGAINST.get(side, "recae")
        for name in METRICS:
            if not side.startswith("recae") and to in metrics:
                mine, other = metrics[to][name], theirs[name]
                if abs(mine - other) > TOLERANCE:
                    found.append(f"{name} is {other:.6f} by {side}, {mine:.6f} by {to}")
    return found


if __name__ == "__main__":
    raise SystemExit(main())
