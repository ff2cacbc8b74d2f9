"""Seconds, memory and the largest catalogue of the linear models on one data set.

    python -m evaluation closed_forms DATA --models ease,elsa

DATA holds a train.parquet with the columns user and item. If it also holds a test.parquet, each
model is measured on it. The settings are those of the suite `gowalla`, in float32. Each model is
fitted in its own process, so the peak memory is that of one fit. The number of items that a model
can take in 24 GiB follows from a formula in bytes, printed with the result:

- EASE and its family: 4 items^2 in 0.85 of the memory, their own rule for one matrix in float32;
- ELSA: 4 items (10 latent + batch). This counts the weights, the gradient, two moments of the
  optimiser, the normalised rows of encoder and decoder with their gradients, temporary arrays, and
  the scores of a batch. (A fit on 150,000 items with latent 256 added 9.6 times items x latent
  numbers, and the scores.);
- SparseEASE: its own bound, 28 bytes for each pair of items of a user in half of the memory. The
  number of pairs per item is that of these data;
- SVDAE: 10 (users + items) latent, with the users and the latent of these data.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from math import isqrt
from pathlib import Path
from typing import Any

import recae
from evaluation.kit.provenance import RESULTS, commit, keep, peak_gb
from evaluation.suites.read import read_suite
from recae.models.linear import _solve
from recae.models.linear._base import LinearRecommender
from recae.models.linear.sparse_ease import SPARE, cooccurrence_bytes

MEMORY = 24 * 2**30

METRICS = ["recall@20", "ndcg@20", "recall@50", "ndcg@50", "hit_rate@20"]

MODELS: dict[str, recae.Recommender] = {
    name.removesuffix("-published"): candidate.template.clone()
    for name, candidate in read_suite("gowalla").models.items()
    if candidate.search is None
    and isinstance(
        candidate.template,
        LinearRecommender | recae.SparseEASE | recae.SVDAE | recae.ELSA,
    )
}
for _model in MODELS.values():
    if isinstance(_model, LinearRecommender):
        _model.set_params(precision="float32")


def largest(model: Any, data: recae.Interactions, total: int = MEMORY) -> tuple[int, str]:
    """The largest number of items a model can take in `total` bytes, and the formula for it."""
    if isinstance(model, LinearRecommender):
        return isqrt(int(_solve.SPARE * total) // 4), "4 items^2 <= 0.85 memory"
    if isinstance(model, recae.ELSA):
        an_item = 4 * (10 * model.latent + model.batch_size)
        return total // an_item, f"4 items (10 x {model.latent} + {model.batch_size}) <= memory"
    if isinstance(model, recae.SparseEASE):
        an_item = cooccurrence_bytes(data.matrix) / data.n_items
        return int(SPARE * total / an_item), f"{an_item:,.0f} items <= {SPARE} memory"
    an_item = 10 * model.latent
    formula = f"10 ({data.n_users:,} + items) {model.latent} <= memory"
    return max(total // an_item - data.n_users, 0), formula


def fit(model: recae.Recommender, data: recae.Interactions, folder: Path) -> dict[str, Any]:
    """Fits a model and returns seconds, peak GB of this process, GB added by the fit, GB of the
    fitted model, and the metrics on the test data if there are any."""
    before = peak_gb()
    started = time.perf_counter()
    model.fit(data)
    seconds = time.perf_counter() - started
    size = sum(array.numel() * array.element_size() for array in model._arrays().values())
    items, formula = largest(model, data)
    found = {
        "model": repr(model),
        "seconds": round(seconds, 1),
        "peak_gb": round(peak_gb(), 3),
        "above_data_gb": round(peak_gb() - before, 3),
        "model_gb": round(size / 1e9, 3),
        "largest_catalogue": items,
        "formula": formula,
    }
    if (folder / "test.parquet").is_file():
        test = recae.read_parquet(folder / "test.parquet", user="user", item="item")
        fold = recae.fixed_split(data, test=test).test
        assert fold is not None
        found["metrics"] = recae.evaluate(model, fold, METRICS, progress=False).mean
    return found


def alone(name: str, data: Path) -> dict[str, Any]:
    """The result of `fit` in a fresh process, or {"error": the end of its output}."""
    command = [sys.executable, "-m", "evaluation.suites.closed_forms", str(data), "--only", name]
    done = subprocess.run(command, capture_output=True, text=True)
    sys.stderr.write(done.stderr)
    if done.returncode:
        return {"error": (done.stderr.splitlines() or [f"ended with {done.returncode}"])[-1]}
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Prints a line for each model. Returns 1 if one of them failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder with train.parquet")
    parser.add_argument("--models", default=",".join(MODELS), help="model names, comma-separated")
    parser.add_argument("--only", choices=MODELS, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    names = options.models.split(",")
    if unknown := [name for name in names if name not in MODELS]:
        parser.error(f"unknown model {unknown[0]!r}; known: {', '.join(MODELS)}")
    train = recae.read_parquet(options.data / "train.parquet", user="user", item="item")
    if options.only:
        print(json.dumps(fit(MODELS[options.only], train, options.data)))
        return 0
    print(f"{train}\n{'':<12} seconds  peak GB  above data  model GB  items in 24 GiB", flush=True)
    kept = RESULTS / "closed-forms.json"  # results of other models stay unchanged
    results = json.loads(kept.read_text())["models"] if kept.is_file() else {}
    about = {"suite": "closed forms and ELSA", "data": repr(train), "memory": MEMORY}
    failed = False
    for name in names:
        found = alone(name, options.data) | {"commit": commit()}
        if "error" in found:
            failed = True
            print(f"{name:<12} {found['error']}", flush=True)
            continue
        results[name] = found
        keep(
            "closed-forms", about | {"models": results}
        )  # written now: the next model may take an hour
        print(
            f"{name:<12} {found['seconds']:>7.1f}  {found['peak_gb']:>7.2f}  "
            f"{found['above_data_gb']:>10.2f}  {found['model_gb']:>8.3f}  "
            f"{found['largest_catalogue']:>15,}  {found['formula']}",
            *(f"{metric} {value:.6f}" for metric, value in found.get("metrics", {}).items()),
            sep="  ",
            flush=True,
        )
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
