"""Seconds and memory of truncated singular vectors, and of the models that are made of them.

    python -m evaluation.speed spectral DATA --latent 1194
    python -m evaluation.speed spectral DATA --part filter --users 250000 1000000

DATA holds train.parquet and test.parquet (user, item).

--part svd: SVD-AE fitted with the singular vectors of the normalised interactions of each side:

- recae: `recae.data.svd.truncated_svd`, Chebyshev-filtered subspace iteration in float32.
- arpack: `scipy.sparse.linalg.svds`, exact, in float64, as recae had it before.
- randomised: `sklearn.utils.extmath.randomized_svd` with its defaults.

"error" is the largest relative error of the singular values, compared with ARPACK, or with the
first of --sides without it. The figures are
those of the fitted model on the test.

--part filter: `GraphFilter(latent=...)` on DATA, and on synthetic histories of 80 items with as
many items as users: seconds of `fit`, peak memory, and users a second in `recommend_array`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg
import torch

import recae
from evaluation.kit import worker
from evaluation.kit.harness import alternate, arguments
from evaluation.kit.provenance import keep
from evaluation.kit.synthetic import histories
from evaluation.speed import given
from recae.data.splits import Fold
from recae.models.factors import svd as models

ALL = (("DATA/gowalla",), ("DATA/gowalla", "--part=filter"))
METRICS = ["recall@20", "ndcg@20"]
RANKED = 2000
"""Users that lists are timed for."""


def by_arpack(rows: Any, k: int, **_: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """U, s and V as `truncated_svd` gives them."""
    matrix = sp.csr_matrix(sp.vstack(list(rows)), dtype=np.float64)
    u, s, vt = scipy.sparse.linalg.svds(matrix, k=k, random_state=np.random.default_rng(0))
    order = np.argsort(-s)
    return u[:, order], s[order], vt[order].T


def by_sampling(rows: Any, k: int, **_: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same of scikit-learn."""
    from sklearn.utils.extmath import randomized_svd

    matrix = sp.csr_matrix(sp.vstack(list(rows)), dtype=np.float32)
    u, s, vt = randomized_svd(matrix, k, random_state=0)
    return u, s, vt.T


SIDES: dict[str, Any] = {
    "recae": models.truncated_svd,
    "arpack": by_arpack,
    "randomised": by_sampling,
}


def serve(options: argparse.Namespace) -> None:
    """One side: SVD-AE by its vectors, or a filter."""
    bare = worker.peak_gb()
    torch.set_num_threads(options.threads)
    side = options.serve
    if side == "filter":
        worker.serve(lambda: filtered(options), bare)
        return
    data = given.read(options.data)
    test = recae.read_parquet(options.data / "test.parquet", user="user", item="item")
    held, _ = test.with_items(data.items)
    fold = Fold(data.select_users(held.users.ids), held)
    kept: dict[str, np.ndarray] = {}

    def vectors(rows: Any, k: int, **asked: Any) -> Any:
        found = SIDES[side](rows, k, **asked)
        kept["s"] = found[1]
        return found

    models.truncated_svd = vectors  # type: ignore[assignment]

    def run() -> dict[str, Any]:
        started = time.perf_counter()
        model = recae.SVDAE(latent=options.latent).fit(data, progress=False)
        seconds = time.perf_counter() - started
        report = recae.evaluate(model, fold, METRICS, progress=False)
        values = {metric: float(report[metric]) for metric in METRICS}
        return {"seconds": seconds, "s": [float(x) for x in kept["s"]], **values}

    worker.serve(run, bare)


def filtered(options: argparse.Namespace) -> dict[str, Any]:
    """A fitted filter: its seconds, and users a second."""
    if options.users:
        (users,) = options.users
        data = recae.Interactions.from_csr(histories(users, users))
    else:
        data = given.read(options.data)
    started = time.perf_counter()
    model = recae.GraphFilter(latent=options.latent).fit(data, progress=False)
    seconds = time.perf_counter() - started
    some = data.matrix[: min(RANKED, data.n_users)]
    started = time.perf_counter()
    model.recommend_array(k=100, history=some)
    rate = some.shape[0] / (time.perf_counter() - started)
    return {"seconds": seconds, "users_a_second": rate, "shape": list(data.matrix.shape)}


def of_vectors(options: argparse.Namespace, command: list[str]) -> dict[str, Any]:
    """Prints and returns the comparison of the sides."""
    sides = {side: [*command, side] for side in options.sides}
    rounds = alternate(sides, options.rounds, warm=0, threads=options.threads)
    print(rounds.summary())
    found = rounds.as_dict()
    first = "arpack" if "arpack" in options.sides else options.sides[0]
    exact = np.array(rounds.answers[first][0]["s"])
    for side, about in found["sides"].items():
        for answer in about["rounds"]:
            del answer["s"]
        s = np.array(rounds.answers[side][0]["s"])
        about["largest_error"] = float(np.abs(s / exact - 1).max())
        values = {metric: rounds.answers[side][0][metric] for metric in METRICS}
        print(
            f"{side:<10} largest error of s {about['largest_error']:.1e}; "
            + ", ".join(f"{metric} {value:.5f}" for metric, value in values.items())
        )
    return found


def of_filters(options: argparse.Namespace, command: list[str]) -> dict[str, Any]:
    """Prints and returns what a filter costs on the data, and on each number of synthetic users."""
    found = {}
    for users in (0, *options.users):
        more = [f"--users={users}"] if users else []
        name = f"{users:,} users and items" if users else str(options.data.name)
        rounds = alternate(
            {name: [*command, "filter", *more]}, options.rounds, warm=0, threads=options.threads
        )
        print(rounds.summary())
        rates = [answer["users_a_second"] for answer in rounds.answers[name]]
        print(f"{name}: {median(rates):,.0f} users a second, top 100")
        found |= rounds.as_dict()["sides"]
    return {"sides": found}


def main(argv: Sequence[str] | None = None) -> int:
    """Prints and stores the results of a part."""
    parser = arguments(__doc__, rounds=1)
    parser.add_argument("data", type=Path)
    parser.add_argument("--part", choices=("svd", "filter"), default="svd")
    parser.add_argument("--latent", type=int, default=1194)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--users", nargs="*", type=int, default=[], help="of synthetic data")
    parser.add_argument("--dry", action="store_true", help="keep nothing")
    parser.add_argument("--serve", choices=(*SIDES, "filter"), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.serve:
        serve(options)
        return 0
    command = [sys.executable, "-m", "evaluation.speed.spectral", str(options.data)]
    command += [f"--threads={options.threads}", f"--latent={options.latent}", "--serve"]
    found = (of_vectors if options.part == "svd" else of_filters)(options, command)
    about = {"suite": f"spectral models: {options.part}", "latent": options.latent}
    if not options.dry:
        name = f"speed-spectral-{options.part}-{options.data.name}"
        print(f"kept in {keep(name, about | {'threads': options.threads} | found)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
