"""Users per second of `recommend`, compared with the bare matrix product and `implicit`'s ALS.

    python -m evaluation.speed ranking --curves

Top lists of all users from given factors, without the items of the history:

- recae: `PureSVD.recommend_array`, which also computes the users' factors from their histories.
- elsa, als, mult-vae: the same for these models, with products of the same width (Mult-VAE with one
  hidden layer). ALS solves a linear system for every user, as implicit-new does.
- frame: `PureSVD.recommend`, the same as a frame.
- product: torch.mm of the factors of users and items, in batches of 256 users into one buffer.
- implicit: `AlternatingLeastSquares.recommend(..., filter_already_liked_items=True)` with the same
  factors of users and items, on the same number of threads; BLAS with one thread, as its
  authors advise.
- implicit-new: the same with `recalculate_user=True`, which solves a linear system for every user.

Sides alternate. The lists of some users are compared with a full sort of `score`: by score
descending, then by column. Factors have a long tail (`synthetic.py`). --curves also measures recae
and the product against the numbers of users, items and list places, and plots them.
"""

from __future__ import annotations

import argparse
import json
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
from evaluation.kit import synthetic, worker
from evaluation.kit.harness import Rounds, alternate, arguments
from evaluation.kit.provenance import RESULTS, keep

ALL = (("--curves",),)
SIDES = ("recae", "frame", "elsa", "als", "mult-vae", "product", "implicit", "implicit-new")
BATCH = 256
CURVES: dict[str, list[int]] = {
    "users": [1_250, 2_500, 5_000, 10_000, 20_000],
    "items": [5_000, 20_000, 50_000, 200_000, 500_000, 1_000_000],
    "k": [1, 10, 100, 1_000],
}
"""The varied sizes; the others are 5,000 users (500 against items), 20,000 items and k=100."""


def main(argv: Sequence[str] | None = None) -> int:
    """Prints and stores the results; plots the curves on request."""
    parser = arguments(__doc__)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--items", type=int, nargs="+", default=[20_000, 200_000])
    parser.add_argument("--latent", type=int, default=200)
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--checked", type=int, default=1000, help="users checked by a full sort")
    parser.add_argument("--curves", action="store_true", help="also against users, items and k")
    parser.add_argument("--largest", type=int, help="largest value of the curves, for a dry run")
    parser.add_argument("--dry", action="store_true", help="keep nothing")
    parser.add_argument("--serve", choices=[*SIDES, "curves"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.serve:
        torch.set_num_threads(options.threads)
        serve_curves(options) if options.serve == "curves" else serve(options)
        return 0
    names = ("users", "latent", "k", "checked", "threads")
    result: dict[str, Any] = {"suite": "ranking"} | {n: getattr(options, n) for n in names}
    result["items"] = {str(n): measured(n, options) for n in options.items}
    if options.curves:
        command = _command(options, "curves", Path())
        curves = alternate({"curves": command}, 1, warm=0, threads=options.threads)
        result["curves"] = curves.answers["curves"][0]["points"]
        picture = (Path(tempfile.gettempdir()) if options.dry else RESULTS) / "speed-ranking.png"
        draw(result["curves"], options, picture)
        print(f"drawn in {picture}")
    if not options.dry:
        print(f"kept in {keep('speed-ranking', result)}")
    return 0


def measured(n_items: int, options: argparse.Namespace) -> dict[str, Any]:
    """The rounds for a catalogue, and whether the lists equal those of a full sort."""
    print(f"{options.users:,} users x {n_items:,} items, k={options.k}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        history = synthetic.histories(options.users, n_items)
        sp.save_npz(folder / "history.npz", history, compressed=False)
        np.save(folder / "items.npy", synthetic.item_factors(n_items, options.latent))
        sides = {side: _command(options, side, folder) for side in options.sides}
        rounds = alternate(sides, options.rounds, threads=options.threads)
    print(rounds.summary())
    first, *others = options.sides
    for side in others:
        print(f"users a second, {first} / {side}: {rounds.ratios(side, first)['median']:.2f}")
    checks = {side: answers[-1].get("check") for side, answers in rounds.answers.items()}
    print(f"lists: {json.dumps(checks)}", flush=True)
    return rounds.as_dict() | {"users_a_second": _rates(rounds, options.users)}


def _rates(rounds: Rounds, users: int) -> dict[str, float]:
    return {side: round(users / median(rounds.seconds(side)), 1) for side in rounds.answers}


def _command(options: argparse.Namespace, side: str, folder: Path) -> list[str]:
    numbers = ("users", "latent", "k", "checked", "threads", "largest")
    given = [f"--{n}={getattr(options, n)}" for n in numbers if getattr(options, n) is not None]
    module = [sys.executable, "-m", "evaluation.speed.ranking", *given]
    return [*module, f"--folder={folder}", f"--serve={side}"]


def serve(options: argparse.Namespace) -> None:
    """One side: the lists of all users per request."""
    bare = worker.peak_gb()
    history = sp.load_npz(options.folder / "history.npz")
    model = ranker(history, np.load(options.folder / "items.npy"))
    users, items = model.embed_users(history), model.item_embeddings_
    lists: dict[str, Callable[[], Any]] = {
        "recae": lambda: model.recommend_array(history, options.k),
        "frame": lambda: model.recommend(k=options.k),
        "product": lambda: product(torch.from_numpy(users), torch.from_numpy(items)),
    }
    work = None
    if options.serve.startswith("implicit"):
        work = implicit_lists(users, items, history, options)
    if options.serve in ("elsa", "als", "mult-vae"):
        other = neighbour(options.serve, history, items, options.latent)
        work = lambda: other.recommend_array(history, options.k)  # noqa: E731
    work = work or lists[options.serve]
    checked: dict[str, Any] = {}

    def run() -> dict[str, Any]:
        started = time.perf_counter()
        found = work()
        seconds = time.perf_counter() - started
        if not checked and options.serve in ("recae", "implicit"):
            ids = found.items if options.serve == "recae" else found[0]
            checked["check"] = alike(model, history, ids, options.checked)
        return {"seconds": seconds, **checked}

    worker.serve(run, bare)


def ranker(history: sp.csr_matrix, factors: np.ndarray) -> recae.Recommender:
    """A PureSVD with these factors."""
    data = recae.Interactions.from_csr(history)
    return synthetic.factor_model(recae.PureSVD(latent=factors.shape[1]), data, factors)


def neighbour(name: str, history: sp.csr_matrix, factors: np.ndarray, latent: int) -> Any:
    """Another model of the same width; network weights are random and untrained."""
    data = recae.Interactions.from_csr(history)
    if name == "als":
        return synthetic.factor_model(recae.ALS(latent=latent), data, factors)
    model: Any = recae.ELSA(latent=latent)
    if name == "mult-vae":
        model = recae.MultVAE(latent=latent, hidden=(latent,))
    model._own(data)
    model.network_ = model._network(data.n_items, data.n_users).eval()
    model.network_.initialise(torch.Generator().manual_seed(2))
    return model


def product(users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
    """All scores; each batch of users overwrites the previous one."""
    buffer = torch.empty(min(BATCH, len(users)), len(items))
    for part in users.split(BATCH):
        torch.mm(part, items.t(), out=buffer[: len(part)])
    return buffer


def implicit_lists(
    users: np.ndarray, items: np.ndarray, history: sp.csr_matrix, options: argparse.Namespace
) -> Callable[[], Any]:
    """The call of `implicit` with the same factors."""
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        model = AlternatingLeastSquares(factors=users.shape[1], num_threads=options.threads)
    model.user_factors, model.item_factors = np.array(users), np.array(items)  # to be written into
    new = options.serve == "implicit-new"

    def lists() -> Any:
        with threadpool_limits(1, user_api="blas"):
            return model.recommend(
                np.arange(len(users)),
                history,
                N=options.k,
                filter_already_liked_items=True,
                recalculate_user=new,
            )

    return lists


def alike(
    model: recae.Recommender, history: sp.csr_matrix, ids: np.ndarray, users: int
) -> dict[str, float]:
    """Shares of lists and of places with the same ids as a full sort of `score`, over evenly spaced
    users."""
    rows = np.unique(np.linspace(0, history.shape[0] - 1, users).astype(np.int64))
    same = []
    for row in rows:
        scores = model.score(history[[row]])[0]
        scores[history[[row]].indices] = -np.inf
        order = np.lexsort((np.arange(len(scores)), -scores))[: ids.shape[1]]
        order[np.isneginf(scores[order])] = -1
        same.append(order == ids[row])
    places = np.array(same)
    return {"lists": float(places.all(axis=1).mean()), "places": float(places.mean())}


def serve_curves(options: argparse.Namespace) -> None:
    """Seconds of recae and of the product, the faster of two runs each, while one number varies."""
    bare = worker.peak_gb()
    most = options.largest or max(max(sizes) for sizes in CURVES.values())

    def run() -> dict[str, Any]:
        points = []
        for varied, sizes in CURVES.items():
            for size in (size for size in sizes if size <= most):
                at = {"users": 500 if varied == "items" else 5_000, "items": 20_000, "k": 100}
                at = {name: min(value, most) for name, value in at.items()} | {varied: size}
                history = synthetic.histories(at["users"], at["items"])
                model = ranker(history, synthetic.item_factors(at["items"], options.latent))
                users = torch.from_numpy(model.embed_users(history))
                items = torch.from_numpy(model.item_embeddings_)
                seconds = {
                    "recae": quickest(lambda: model.recommend_array(history, at["k"])),  # noqa: B023
                    "product": quickest(lambda: product(users, items)),  # noqa: B023
                }
                points.append({"varied": varied, **at, **seconds})
                print(points[-1], file=sys.stderr, flush=True)
        return {"points": points}

    worker.serve(run, bare)


def quickest(work: Callable[[], Any]) -> float:
    """Seconds of the faster of two runs, after one that is not counted."""
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds[1:])


def draw(points: Sequence[dict[str, Any]], options: argparse.Namespace, path: Path) -> None:
    """A panel for each varied number: seconds of recae and of the product."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    figure = Figure(figsize=(11, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    titles = {
        "users": "20,000 items, k = 100",
        "items": "500 users, k = 100",
        "k": "5,000 users, 20,000 items",
    }
    for axes, (varied, title) in zip(figure.subplots(1, 3), titles.items(), strict=True):
        some = [point for point in points if point["varied"] == varied]
        for side, look in {"recae": "o-", "product": "s--"}.items():
            label = {"recae": "recommend_array", "product": "bare product"}[side]
            axes.loglog([p[varied] for p in some], [p[side] for p in some], look, label=label)
        axes.set(title=title, xlabel=varied, ylabel="seconds")
        axes.grid(alpha=0.3)
        for axis in (axes.xaxis, axes.yaxis):  # labels of a narrow range would overlap
            axis.set_minor_formatter(NullFormatter())
    figure.axes[0].legend()
    threads = f"{options.threads} thread{'s' * (options.threads > 1)}"
    figure.suptitle(f"Top lists from {options.latent} factors, {threads}")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    raise SystemExit(main())
