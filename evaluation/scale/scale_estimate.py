"""Compares `model.estimate(data)` with what fit, evaluation and export then take.

    python -m evaluation scale_estimate FOLDER...

Each FOLDER has a train.parquet with the columns user and item, or is the name of a data set of
recae. Twelve models. The estimate and the truth run in processes of their own, one after the other.
Neural models train for a few epochs, so that the truth takes minutes and not hours; ALS and BPR for
their default ones. The truth of `evaluate` is `recae.evaluate` with recall@20 and NDCG@20 on a
tenth of each user's items, that of `export` the lists of all users, k=100, in one file.
Memory is the peak of the process in that step and before; disk is the saved model and the file. A
ratio is estimate / truth; seconds below 0.5 s and files below 1 MB count as met. The aim is a
factor of two.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evaluation.kit.provenance import keep

MODELS: dict[str, dict[str, Any]] = {
    "popularity": {},
    "ease": {},
    "edlae": {},
    "item-knn": {},
    "user-knn": {},
    "pure-svd": {},
    "als": {},
    "bpr": {},
    "elsa": {"epochs": 8},
    "mult-vae": {"epochs": 8},
    "rec-vae": {"epochs": 4},
    "graph-filter": {},
}
AIM = 2.0
SMALL = {"seconds": 0.5, "disk": 1e6, "memory": 0.0}

CODE = """
import json, sys, tempfile, time, warnings
from pathlib import Path
import recae
from recae.data.splits import holdout_pairs
from recae.system.machine import peak_gb
warnings.simplefilter("ignore")
place, name, params, how = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), sys.argv[4]
if Path(place).is_dir():
    table = Path(place) / "train.parquet"
    data = recae.read_parquet(table, user="user", item="item", weight=None).binarised()
else:
    data = recae.load_dataset(place).interactions.binarised()
model = recae.MODELS[name](**params)
started = time.perf_counter()
if how == "estimate":
    found = model.estimate(data, k=100, progress=False).to_dict()
    found["took"] = time.perf_counter() - started
else:
    found = {}
    def step(name, run):
        started = time.perf_counter()
        run()
        took, memory = time.perf_counter() - started, round(peak_gb() * 1e9)
        found[name] = {"seconds": took, "memory": memory, "disk": 0}
    with tempfile.TemporaryDirectory() as folder:
        saved, lists = Path(folder) / "model", Path(folder) / "lists.parquet"
        step("fit", lambda: model.fit(data, progress=False))
        model.save(saved)
        size = sum(one.stat().st_size for one in saved.rglob("*") if one.is_file())
        found["fit"]["disk"] = size
        fold = holdout_pairs(data, share=0.1, seed=0).validation
        metrics = ["recall@20", "ndcg@20"]
        step("evaluate", lambda: recae.evaluate(model, fold, metrics, progress=False))
        step("export", lambda: model.export(lists, data, k=100, progress=False))
        found["export"]["disk"] = lists.stat().st_size
print(json.dumps(found))
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table and keeps the result. Returns 1 for a ratio outside the aim."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="+", help="folders, or names of data sets")
    parser.add_argument("--models", help="names, separated by commas")
    parser.add_argument("--out", type=Path, help="folder of the kept result")
    options = parser.parse_args(argv)
    names = options.models.split(",") if options.models else [*MODELS]
    rows, missed, kinds = [], 0, 0
    print(f"{'model':<13}{'data':<18}{'step':<9}{'kind':<8}{'estimate':>12}{'truth':>12}  ratio")
    for place in options.data:
        for name in names:
            told, truth = (run(place, name, how) for how in ("estimate", "truth"))
            rows.append({"data": Path(place).name, "model": name, "estimate": told, "truth": truth})
            for step in ("fit", "evaluate", "export"):
                for kind in SMALL:
                    guess, found = told[step][kind], truth[step][kind]
                    if not found:
                        continue
                    small = max(guess, found) < SMALL[kind]
                    bad = not small and not 1 / AIM <= guess / found <= AIM
                    missed, kinds = missed + bad, kinds + 1
                    unit = 1 if kind == "seconds" else 1e6
                    print(
                        f"{name:<13}{Path(place).name:<18}{step:<9}{kind:<8}{guess / unit:>12,.2f}"
                        f"{found / unit:>12,.2f}  {guess / found:.2f}{' missed' if bad else ''}",
                        flush=True,
                    )
    print(f"{kinds - missed} of {kinds} within a factor of {AIM:g}")
    kept = {"rows": rows, "within": kinds - missed, "of": kinds}
    print(f"kept in {keep('scale-estimate', kept, options.out)}")
    return int(missed > 0)


def run(place: str, name: str, how: str) -> dict[str, Any]:
    """What a process of its own says."""
    command = [sys.executable, "-c", CODE, place, name, json.dumps(MODELS[name]), how]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    raise SystemExit(main())
