"""Measures an export that takes over unchanged lists beside a full one.

    python -m evaluation scale_since [--quick]

A PureSVD with 64 factors and an EASE with random weights export 100 items for synthetic users, then
again after 1, 10 and 50 % of the histories have one item more: once for everybody, once with
`since=`. Both are timed in turn, three times; the ratio is that of the medians. All rows of both
are compared: users and ranks must be equal, and items but where scores differ by less than 1e-4.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

import recae
from evaluation.kit.provenance import keep
from evaluation.kit.synthetic import factor_model, histories, item_factors, random_ease

SIZES = {"pure-svd": (150_000, 20_000, 100), "ease": (30_000, 8_000, 100)}
QUICK = {"pure-svd": (8_000, 1_000, 20), "ease": (4_000, 500, 20)}
SHARES = (0.01, 0.1, 0.5)
TIMES = 3


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table and keeps the result. Returns 1 if any row differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, once, not kept")
    quick: bool = parser.parse_args(argv).quick
    rows = []
    print(
        f"{'model':<10}{'users':>9}{'changed':>9}{'full':>9}{'since':>9}{'faster':>8}{'wrong':>7}"
    )
    for name, (users, items, k) in (QUICK if quick else SIZES).items():
        for share in SHARES:
            with tempfile.TemporaryDirectory() as folder:
                row = measured(Path(folder), name, users, items, k, share, 1 if quick else TIMES)
            rows.append(row)
            times = f"{row['full']:>8.2f}s{row['since']:>8.2f}s{row['faster']:>7.2f}x"
            print(f"{name:<10}{users:>9,}{share:>9.0%}{times}{row['wrong']:>7}", flush=True)
    if not quick:
        print(f"kept in {keep('scale-since', {'k': 100, 'rows': rows})}")
    return int(any(row["wrong"] for row in rows))


def measured(
    folder: Path, name: str, users: int, items: int, k: int, share: float, times: int
) -> dict[str, Any]:
    """Seconds of both ways, and how many rows differ."""
    before = recae.Interactions.from_csr(histories(users, items))
    after = recae.Interactions.from_csr(changed(before.matrix, share))
    if name == "ease":
        model: recae.Recommender = random_ease(before)
    else:
        model = factor_model(recae.PureSVD(latent=64), before, item_factors(items, 64))
    model.export(folder / "old", before, k=k, progress=False)
    seconds: dict[str, list[float]] = {"full": [], "since": []}
    for _ in range(times):
        for way, options in (("full", {}), ("since", {"since": folder / "old"})):
            shutil.rmtree(folder / way, ignore_errors=True)
            started = time.perf_counter()
            model.export(folder / way, after, k=k, progress=False, **options)
            seconds[way].append(time.perf_counter() - started)
    full, since = (statistics.median(seconds[way]) for way in ("full", "since"))
    return {
        **{"model": name, "users": users, "items": items, "share": share},
        **{"full": full, "since": since, "faster": full / since, "seconds": seconds},
        "wrong": differences(folder),
    }


def changed(matrix: Any, share: float) -> sp.csr_matrix:
    """The histories with one item more for a share of the users."""
    rng = np.random.default_rng(1)
    users, items = matrix.shape
    some = rng.choice(users, size=round(users * share), replace=False)
    cells = np.ones(len(some), np.float32), (some, rng.integers(0, items, len(some)))
    found = sp.csr_matrix(matrix + sp.csr_matrix(cells, shape=matrix.shape))
    found.data[:] = 1
    return found


def differences(folder: Path) -> int:
    """The rows that differ in users or ranks, or in items whose scores are not nearly equal."""
    wrong = 0
    sides = (recae.open_export(folder / way).dataset().to_table() for way in ("full", "since"))
    full, since = ({name: side[name].to_numpy() for name in side.column_names} for side in sides)
    if len(full["rank"]) != len(since["rank"]):
        return abs(len(full["rank"]) - len(since["rank"]))
    for name in ("user_id", "rank"):
        wrong += int((full[name] != since[name]).sum())
    near = np.isclose(full["score"], since["score"], rtol=1e-4, atol=1e-5)
    return wrong + int((~near).sum()) + int(((full["item_id"] != since["item_id"]) & ~near).sum())
