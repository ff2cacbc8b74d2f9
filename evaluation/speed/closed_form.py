"""Seconds and memory of the inverse in EASE, compared with numpy and scipy, by number of items.

    python -m evaluation.speed closed_form DATA --items 2000 8000 40981

DATA holds train.parquet (user, item). For each n, the n most popular items are used. Every side
makes X'X + l2 I from the sparse X, inverts it in float32 and makes B = I - P / diag(P):

- recae: `EASE(precision="float32").fit`: items^3 operations, multiplications and additions.
- recae-float64: the same in float64, stored in float32.
- numpy: `numpy.linalg.inv`, which solves for the identity, 8/3 items^3, and always works in
  float64.
- scipy: `scipy.linalg.inv`, which may overwrite its argument. Since 1.17 it detects that the matrix
  is positive definite and uses Cholesky: items^3; 2 items^3 before.
- cholesky: `spotrf` and `spotri` of scipy's LAPACK, in place: items^3.

"seconds" are those of the inverse alone, "fit_seconds" those of the full fit. A side that would not
fit in memory is skipped with a message, and so is one that fails. Sizes above 10,000 get one round,
one side after the other; sides of smaller sizes alternate. Errors are those of the weights of a few
items against conjugate gradients in float64. Memory is the peak of a process above its imports, as
a multiple of one matrix of 4 items^2 bytes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse as sp
import torch

import recae
from evaluation.kit import worker
from evaluation.kit.harness import Rounds, alternate, arguments
from evaluation.kit.provenance import RESULTS, keep
from evaluation.speed import given
from evaluation.speed.closed_form_checks import checked, exact, product_rate
from evaluation.speed.closed_form_plot import plot
from recae.errors import RecaeError
from recae.models.linear import _solve
from recae.system.machine import total_memory

ALL = (("DATA/gowalla",),)
ITEMS = (2000, 4000, 8000, 16000, 28000, 40981)
FEW = 10_000
"""Items up to which sides alternate for several rounds."""
MATRICES = {"recae": 1.25, "recae-float64": 2.4, "numpy": 9.2, "scipy": 1.9, "cholesky": 1.9}
"""Number of float32 matrices that a side holds at once; decides whether it is tried."""
OURS = {"recae": "float32", "recae-float64": "float64"}


def numpy_inverse(gram: np.ndarray) -> np.ndarray:
    """Inverts by LU, with the identity as right-hand sides."""
    return np.linalg.inv(gram)


def scipy_inverse(gram: np.ndarray) -> np.ndarray:
    """Inverts by scipy's own choice, in place: the transposed view has the order of LAPACK."""
    found: np.ndarray = scipy.linalg.inv(gram.T, overwrite_a=True, check_finite=False)
    return found


def cholesky_inverse(gram: np.ndarray) -> np.ndarray:
    """Inverts by Cholesky, in place. LAPACK fills one triangle, which is copied to the other."""
    factor, failed = scipy.linalg.lapack.spotrf(gram.T, lower=1, overwrite_a=1)
    half, failed_too = scipy.linalg.lapack.spotri(factor, lower=1, overwrite_c=1)
    if failed or failed_too:
        raise SystemExit("the matrix is not positive definite")
    for start in range(0, len(half), 1024):
        rows = slice(start, start + 1024)
        half[rows, rows] = np.tril(half[rows, rows]) + np.tril(half[rows, rows], -1).T
        half[rows, start + 1024 :] = half[start + 1024 :, rows].T
    return half


INVERSES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "numpy": numpy_inverse,
    "scipy": scipy_inverse,
    "cholesky": cholesky_inverse,
}


def by_lapack(x: Any, l2: float, inverse: Callable[[np.ndarray], np.ndarray]) -> tuple[Any, float]:
    """B and the seconds of the inverse alone."""
    gram = (x.T @ x).toarray()
    gram[np.diag_indices_from(gram)] += l2
    started = time.perf_counter()
    weights = inverse(gram)
    seconds = time.perf_counter() - started
    del gram
    weights /= -weights.diagonal()
    np.fill_diagonal(weights, 0)
    return weights, seconds


def by_ease(x: Any, l2: float, precision: str = "float32") -> tuple[Any, float]:
    """B by `fit`, and the seconds of its inverse, timed from within."""
    inverted = _solve.negative_inverse_
    seconds = []

    def timed(*arguments: Any) -> None:
        started = time.perf_counter()
        inverted(*arguments)
        seconds.append(time.perf_counter() - started)

    _solve.negative_inverse_ = timed  # type: ignore[assignment]
    try:
        model = recae.EASE(l2=l2, precision=precision).fit(x, progress=False)
    finally:
        _solve.negative_inverse_ = inverted
    return model.weights_.numpy(), seconds[0]


def serve(options: argparse.Namespace) -> None:
    """One side, on the matrix in a folder."""
    bare = worker.peak_gb()
    torch.set_num_threads(options.threads)
    x = sp.load_npz(options.data / "x.npz").astype(np.float32)
    rate = product_rate() if options.serve == "recae" else None

    def run() -> dict[str, Any]:
        started = time.perf_counter()
        if options.serve in OURS:
            weights, seconds = by_ease(x, options.l2, OURS[options.serve])
        else:
            weights, seconds = by_lapack(x, options.l2, INVERSES[options.serve])
        found: dict[str, Any] = {"seconds": seconds, "fit_seconds": time.perf_counter() - started}
        columns = weights[:, checked(x.shape[1])]
        expected = np.load(options.data / "exact.npy")
        found["largest_error"] = float(np.abs(columns - expected).max())
        found["gflops"] = x.shape[1] ** 3 / seconds / 1e9
        return found if rate is None else found | {"product_gflops": rate}

    worker.serve(run, bare)


def fits(side: str, n_items: int) -> bool:
    """Whether a side is tried; prints a message if not."""
    needed = MATRICES[side] * 4 * n_items**2
    if needed <= 0.93 * total_memory():
        return True
    print(f"  {side} is skipped at {n_items:,} items: it would need {needed / 1e9:.1f} GB")
    return False


def measure(sides: dict[str, list[str]], n_items: int, options: argparse.Namespace) -> Rounds:
    """Runs the sides alternately up to `FEW` items; above, one after the other, without those that
    fail."""
    if n_items <= FEW:
        return alternate(sides, options.rounds, threads=options.threads)
    found = Rounds({})
    for name, command in sides.items():
        try:
            alone = alternate({name: command}, 1, warm=0, threads=options.threads)
        except RecaeError as error:
            print(f"  {name} is skipped at {n_items:,} items: {error}")
            continue
        found.answers |= alone.answers
        found.memory |= alone.memory
    return found


def report(rounds: Rounds, n_items: int, n_users: int) -> dict[str, Any]:
    """Prints and returns the results for one size."""
    print(rounds.summary())
    found = rounds.as_dict()
    one = 4e-9 * n_items**2
    for side, about in found["sides"].items():
        about["matrices"] = round(rounds.above_bare_gb(side) / one, 3)
        last = rounds.answers[side][-1]
        print(
            f"{side:<13} {about['matrices']:.2f} matrices of {one:.2f} GB above imports, "
            f"fit {last['fit_seconds']:.2f} s, inverse at {last['gflops']:.0f} GFLOP/s if items^3, "
            f"largest error of the weights {last['largest_error']:.1e}"
        )
    if "recae" in found["sides"]:
        plan, _ = _solve.plan_solver("EASE", n_users, n_items, 1.0, "float32")
        last = rounds.answers["recae"][-1]
        found["forecast_gb"] = round(plan.needed / 1e9, 4)
        found["share_of_product_rate"] = round(last["gflops"] / last["product_gflops"], 3)
        print(
            f"forecast {plan.needed / 1e9:.2f} GB for {plan}, measured "
            f"{rounds.above_bare_gb('recae'):.2f} GB; {found['share_of_product_rate']:.2f} of the "
            f"rate of products, {last['product_gflops']:.0f} GFLOP/s"
        )
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Prints, stores and plots the cost of each size on every side."""
    parser = arguments(__doc__, rounds=3)
    parser.add_argument("data", type=Path)
    parser.add_argument("--items", nargs="+", type=int, default=ITEMS, help="sizes")
    parser.add_argument("--sides", nargs="+", choices=MATRICES, default=list(MATRICES))
    parser.add_argument("--l2", type=float, default=80.0)
    parser.add_argument("--dry", action="store_true", help="keep nothing")
    parser.add_argument("--serve", choices=MATRICES, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.serve:
        serve(options)
        return 0
    data = given.read(options.data)
    print(data, flush=True)
    order = np.argsort(-data.matrix.getnnz(axis=0), kind="stable")
    sizes: dict[str, Any] = {}
    for n_items in sorted({min(size, data.n_items) for size in options.items}):
        print(f"\n{n_items:,} items", flush=True)
        x = data.matrix[:, order[:n_items]].tocsr()
        x = x[x.getnnz(axis=1) > 0]
        with tempfile.TemporaryDirectory() as name:
            sp.save_npz(Path(name) / "x.npz", x)
            np.save(Path(name) / "exact.npy", exact(x, options.l2, checked(n_items)))
            command = [sys.executable, "-m", "evaluation.speed.closed_form", name]
            command += [f"--threads={options.threads}", f"--l2={options.l2}", "--serve"]
            sides = {side: [*command, side] for side in options.sides if fits(side, n_items)}
            sizes[str(n_items)] = report(measure(sides, n_items, options), n_items, x.shape[0])
    result = {"suite": "the inverse of EASE", "data": repr(data), "threads": options.threads}
    if not options.dry:
        name = f"speed-closed-form-{options.data.name}"
        print(f"kept in {keep(name, result | {'l2': options.l2, 'items': sizes})}")
        plot(sizes, RESULTS / f"{name}.png")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
