"""Lists for everybody, written to Parquet: users a second beside `implicit` and LensKit.

    python -m evaluation scale_peers [--lenskit-python PYTHON] [--quick]

The same factors are given to every side, and k = 100 ids and scores come out for each user, without
the items of the history. The sizes are "ml-1m-like" (6,040 users, 3,706 items, ALS fitted on them)
and "large" (200,000 users, 20,000 items, synthetic item factors); both have 64 factors.

- recae: `model.export` to one Parquet file. It computes each user's factors from the history
  within the timed part; the other sides look up the same factors.
- implicit: a loop over batches of 10,000 users: `recommend`, then a row group of a ParquetWriter.
  Its BLAS has one thread, because it has threads of its own.
- lenskit: `lenskit.batch.recommend` in one process, then `save_parquet`.
- lenskit-ray: the same with `n_jobs="ray"`, a process for each core; starting Ray is not counted.

LensKit scores one user at a time, so that its rate does not depend on their number; it gets the
first 2,000 users, of the large size 1,000. Sides run alternately. Times are seconds for 1,000
users, and ratios are those of pairs of rounds. Afterwards the lists are compared: the mean share of
items that two sides have in common (ties and rounding can exchange items at the end of a list).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

import recae
from evaluation.kit import venvs, worker
from evaluation.kit.harness import Rounds, alternate, arguments
from evaluation.kit.provenance import keep
from evaluation.kit.synthetic import factor_model, item_factors, shape

K, LATENT = 100, 64
BATCH = 10_000
"""Users of a call of implicit."""
SIDES = ("recae", "implicit", "lenskit", "lenskit-ray")
SIZES = {
    "ml-1m-like": {"users": 6_040, "items": 3_706, "interactions": 1_000_000, "lenskit": 2_000},
    "large": {"users": 200_000, "items": 20_000, "interactions": 10_000_000, "lenskit": 1_000},
}
QUICK = {"tiny": {"users": 2_000, "items": 1_000, "interactions": 60_000, "lenskit": 200}}


def main(argv: Sequence[str] | None = None) -> int:
    """Prints and keeps the rates. Returns 1 if the lists of the sides differ."""
    parser = arguments(__doc__, rounds=3)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--quick", action="store_true", help="one tiny size, not kept")
    venvs.add_arguments(parser, ["lenskit"])
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.serve:
        serve(*options.serve, threads=options.threads)
        return 0
    sizes = QUICK if options.quick else {name: SIZES[name] for name in options.sizes}
    result: dict[str, Any] = {"k": K, "latent": LATENT, "threads": options.threads, "sizes": {}}
    different = False
    for name, size in sizes.items():
        print(f"\n{name}: {size}", flush=True)
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            prepare(folder, size, fitted=name != "large")
            commands = {side: command_of(side, folder, size, options) for side in options.sides}
            rounds = alternate(commands, options.rounds, threads=options.threads)
            found = report(rounds, size) | {"lists": compared(folder, options.sides)}
        print(json.dumps({"users_a_second": found["users_a_second"], "lists": found["lists"]}))
        different |= any(one["common"] < 0.999 for one in found["lists"].values())
        result["sizes"][name] = found
    result["load_average"] = os.getloadavg()[0]
    if not options.quick and set(options.sides) == set(SIDES) and set(options.sizes) == set(SIZES):
        print(f"kept in {keep('scale-peers', result)}")
    return int(different)


def prepare(folder: Path, size: dict[str, int], fitted: bool) -> None:
    """Writes the histories, the model, and the factors of users and items."""
    matrix = shape(size["users"], size["items"], size["interactions"])
    data, model = recae.Interactions.from_csr(matrix), recae.ALS(latent=LATENT, epochs=3)
    if fitted:
        model.fit(data, seed=0, progress=False)
    else:
        factor_model(model, data, item_factors(size["items"], LATENT))
    model.save(folder / "model")
    sp.save_npz(folder / "history.npz", matrix, compressed=False)
    factors = np.concatenate(
        [
            np.asarray(model.embed_users(data.select_users(np.arange(low, high))))
            for low, high in batches(size["users"])
        ]
    )
    np.savez(folder / "factors.npz", users=factors, items=np.asarray(model.item_factors_))


def batches(n: int) -> list[tuple[int, int]]:
    """The bounds of batches of users."""
    return [(low, min(low + BATCH, n)) for low in range(0, n, BATCH)]


def command_of(
    side: str, folder: Path, size: dict[str, int], options: argparse.Namespace
) -> list[str]:
    """The command of a side."""
    out = str(folder / f"{side}.parquet")
    if not side.startswith("lenskit"):
        ours = ["-m", "evaluation.scale.scale_peers", f"--threads={options.threads}"]
        return [sys.executable, *ours, "--serve", side, str(folder), out]
    script = Path(__file__).parent / "peers" / "lenskit_export.py"
    command = [venvs.python_of("lenskit", options), str(script), str(folder), out]
    command += [f"--users={size['lenskit']}", f"--k={K}"]
    return command + ["--ray"] * (side == "lenskit-ray")


def serve(side: str, folder: str, out: str, threads: int) -> None:
    """A side in recae's environment: exports on each request."""
    import torch

    bare = worker.peak_gb()
    torch.set_num_threads(threads)
    matrix = sp.load_npz(Path(folder) / "history.npz")
    if side == "recae":
        model = recae.load(Path(folder) / "model", recae.Recommender)
        data = recae.Interactions.from_csr(matrix)

        def export() -> None:
            model.export(out, data, K, overwrite=True, progress=False)
    else:
        factors = np.load(Path(folder) / "factors.npz")
        theirs = implicit_model(factors["users"], factors["items"], threads)

        def export() -> None:
            with threadpool_limits(1, "blas"):
                implicit_loop(theirs, matrix, Path(out))

    def run() -> dict[str, Any]:
        started = time.perf_counter()
        export()
        elapsed = time.perf_counter() - started
        users = matrix.shape[0]
        return {"seconds": elapsed / users * 1000, "elapsed": elapsed, "users": users}

    worker.serve(run, bare)


def implicit_model(users: np.ndarray, items: np.ndarray, threads: int) -> Any:
    """ALS of implicit with these factors."""
    from implicit.cpu.als import AlternatingLeastSquares

    with threadpool_limits(1, "blas"):  # it warns otherwise
        model = AlternatingLeastSquares(factors=items.shape[1], num_threads=threads)
    model.user_factors, model.item_factors = users, items
    return model


def implicit_loop(model: Any, matrix: Any, out: Path) -> None:
    """What users of implicit write: recommend in batches, and a row for each recommendation."""
    schema = pa.schema(
        [("user_id", pa.int64()), ("item_id", pa.int64()), ("score", pa.float32()),
         ("rank", pa.int32())]
    )  # fmt: skip
    with pq.ParquetWriter(out, schema, compression="zstd") as writer:
        for low, high in batches(matrix.shape[0]):
            codes = np.arange(low, high)
            items, scores = model.recommend(codes, matrix[low:high], N=K)
            rows, places = np.nonzero(scores > np.finfo(np.float32).min)  # it pads with seen items
            columns = codes[rows], items[rows, places], scores[rows, places], places + 1
            writer.write_table(
                pa.table(list(map(np.ascontiguousarray, columns)), names=schema.names).cast(schema)
            )


def report(rounds: Rounds, size: dict[str, int]) -> dict[str, Any]:
    """Prints the summary; the rates and all times."""
    print(rounds.summary())
    rates = {side: round(1000 / np.median(rounds.seconds(side)), 1) for side in rounds.answers}
    return {**size, "users_a_second": rates, **rounds.as_dict()}


def compared(folder: Path, sides: Sequence[str]) -> dict[str, Any]:
    """For each side but the first, the users compared and the mean share of common items."""
    first = lists_of(folder / f"{sides[0]}.parquet")
    found = {}
    for side in sides[1:]:
        theirs = lists_of(folder / f"{side}.parquet")
        ours = first[np.isin(first[:, 0], theirs[:, 0])]
        places = np.lexsort(ours.T[::-1]), np.lexsort(theirs.T[::-1])
        cells = [
            rows[place] @ [1 << 32, 1] for rows, place in zip((ours, theirs), places, strict=True)
        ]
        common = np.intersect1d(*cells, assume_unique=True)
        users = len(np.unique(theirs[:, 0]))
        share = len(common) / max(len(ours), len(theirs), 1)
        found[side] = {"users": users, "rows": len(theirs), "common": round(share, 6)}
    return found


def lists_of(path: Path) -> np.ndarray:
    """Users and items, (rows, 2) int64, of a file with a row for each item, or a list a user."""
    table = pq.read_table(path, columns=None)
    if "items" in table.column_names:  # LensKit's own layout
        lists = table["items"].combine_chunks()
        users = np.repeat(table["user_id"].to_numpy(), np.diff(lists.offsets.to_numpy()))
        return np.column_stack([users, lists.flatten().field("item_id").to_numpy()])
    return np.column_stack([table["user_id"].to_numpy(), table["item_id"].to_numpy()])


if __name__ == "__main__":
    raise SystemExit(main())
