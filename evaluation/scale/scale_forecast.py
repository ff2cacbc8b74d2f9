"""Compares the forecast of `export(dry_run=True)` with the export itself: seconds, bytes, memory.

    python -m evaluation scale_forecast [--quick]

Four models (EASE, ALS, Mult-VAE and ItemKNN) and two sizes. EASE, ALS and Mult-VAE have random
weights, which costs the same; ItemKNN is fitted. The forecast and the export run in processes of
their own, one after the other, on the same saved model and histories, and both export to a folder.
The seconds are those of the call, after the model is loaded and the histories are read; memory is
the peak of the process. A ratio is forecast / truth, of one forecast and the export after it; the
median of the rounds within 0.75 and 1.25 is the aim. (Two exports may differ by a fifth: the speed
of a rented machine changes.)
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import scipy.sparse as sp

import recae
from evaluation.kit.provenance import keep
from evaluation.kit.synthetic import factor_model, histories, item_factors, random_ease, vae

SIZES = {"100,000 users x 3,000 items, k=50": (100_000, 3_000, 50)}
SIZES |= {"200,000 users x 10,000 items, k=100": (200_000, 10_000, 100)}
QUICK = {"4,000 users x 500 items, k=20": (4_000, 500, 20)}
QUICK |= {"20,000 users x 1,000 items, k=20": (20_000, 1_000, 20)}
FITTED = 20_000
"""Users that ItemKNN is fitted on."""
ROUNDS = 3
KINDS = ("seconds", "bytes", "memory")
AIM = 0.25

CODE = """
import json, sys, time, warnings
from pathlib import Path
import scipy.sparse as sp
import recae
from recae.system.machine import peak_gb
folder, out, k, dry = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "dry"
model = recae.load(folder / "model")
data = recae.Interactions.from_csr(sp.load_npz(folder / "histories.npz"), items=model.items_)
started = time.perf_counter()
found = model.export(out, data, k=k, progress=False, dry_run=dry)
took = time.perf_counter() - started
if dry:
    told = {name: getattr(found, name) for name in ("seconds", "bytes", "memory", "sampled")}
    told["took"] = took
else:
    told = {"seconds": took, "bytes": sum(file.stat().st_size for file in out.iterdir())}
    told["memory"] = round(peak_gb() * 1e9)
print(json.dumps(told))
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table and keeps the result. Returns 1 for a ratio outside the aim."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, not kept")
    quick: bool = parser.parse_args(argv).quick
    rows = []
    print(f"{'model':<10}{'size':<38}{'kind':<9}{'forecast':>14}{'truth':>14}  ratios")
    for size, (users, items, k) in (QUICK if quick else SIZES).items():
        data = recae.Interactions.from_csr(histories(users, items))
        for name in ("ease", "als", "mult-vae", "item-knn"):
            with tempfile.TemporaryDirectory() as folder:
                found = compared(Path(folder), name, data, k, 1 if quick else ROUNDS)
            rows.append({"model": name, "size": size} | found)
            for kind in KINDS:
                told, truth = (found["rounds"][-1][what][kind] for what in ("forecast", "truth"))
                ratios = " ".join(f"{one['ratio'][kind]:.2f}" for one in found["rounds"])
                line = f"{told:>14,.1f}{truth:>14,.1f}  {ratios}"
                print(f"{name:<10}{size:<38}{kind:<9}{line}", flush=True)
    missed = [row for row in rows if any(abs(row["ratio"][kind] - 1) > AIM for kind in KINDS)]
    print(f"{len(rows) - len(missed)} of {len(rows)} within {AIM:.0%}")
    if not quick:
        print(f"kept in {keep('scale-forecast', {'rows': rows, 'missed': len(missed)})}")
    return int(bool(missed) and not quick)


def compared(
    folder: Path, name: str, data: recae.Interactions, k: int, rounds: int
) -> dict[str, Any]:
    """The forecasts and the truth for one model and size, and the medians of their ratios."""
    made(name, data).save(folder / "model")
    sp.save_npz(folder / "histories.npz", data.matrix, compressed=False)
    done: list[dict[str, Any]] = []
    for _ in range(rounds):
        told, truth = (run(folder, folder / "lists", k, how) for how in ("dry", "real"))
        shutil.rmtree(folder / "lists")
        ratio = {kind: round(told[kind] / truth[kind], 3) for kind in KINDS}
        done.append({"forecast": told, "truth": truth, "ratio": ratio})
    medians = {kind: statistics.median(one["ratio"][kind] for one in done) for kind in KINDS}
    return {"rounds": done, "ratio": medians}


def run(folder: Path, out: Path, k: int, how: str) -> dict[str, Any]:
    """What a process of its own says."""
    command = [sys.executable, "-c", CODE, str(folder), str(out), str(k), how]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    if how == "dry" and out.exists():
        raise RuntimeError(f"the dry run has written {out}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def made(name: str, data: recae.Interactions) -> recae.Recommender:
    """A model of these items."""
    if name == "ease":
        return random_ease(data)
    if name == "als":
        return factor_model(recae.ALS(latent=64), data, item_factors(data.n_items, 64))
    if name == "mult-vae":
        return vae(data, 100)
    some = data.select_users(range(min(FITTED, data.n_users)))
    return recae.ItemKNN(neighbours=50).fit(some, progress=False)
