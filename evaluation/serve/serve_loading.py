"""Seconds until a saved model is open, with and without its checks, in processes of their own.

    python -m evaluation serve_loading [--quick]

EASE, PureSVD, ALS and Mult-VAE with 200 dimensions and random weights, which take as long as
trained ones. Their files are in the page cache. A process imports recae and its models, and opens
one model: once first, then five times (median), then five times with `verify=False`. Private
memory is what the process has written by then: no other process can share it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import recae
from evaluation.kit import synthetic
from evaluation.kit.provenance import keep

WORKER = """
import json, sys, time, recae
recae.MODELS

def private():
    with open("/proc/self/smaps_rollup") as lines:
        return sum(int(line.split()[1]) for line in lines if line.startswith("Private_D")) / 1024

def seconds(**options):
    started = time.perf_counter()
    recae.load(sys.argv[1], **options)
    return time.perf_counter() - started

before = private()
first = seconds()
more = private() - before
print(json.dumps({
    "first": first, "private MB": more,
    "again": [seconds() for _ in range(5)],
    "unverified": [seconds(verify=False) for _ in range(5)],
}))
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Prints and keeps the seconds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="300 items, and nothing is kept")
    parser.add_argument("--items", type=int, default=20_000, help="(default: %(default)s)")
    options = parser.parse_args(argv)
    items = 300 if options.quick else options.items
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, model in models(items, 8 if options.quick else 200).items():
            path = model.save(Path(folder) / "model", overwrite=True)
            size = sum(file.stat().st_size for file in path.iterdir()) / 1e6
            done = subprocess.run(
                [sys.executable, "-c", WORKER, path], check=True, capture_output=True, text=True
            )
            about = json.loads(done.stdout)
            for times in ("again", "unverified"):
                about[times] = statistics.median(about[times])
            found[name] = {"MB": size, **about}
            print(name, {key: round(value, 3) for key, value in found[name].items()}, flush=True)
    if not options.quick:
        keep("serve-loading", {"items": items, "models": found})
    return 0


def models(items: int, latent: int) -> dict[str, recae.Recommender]:
    """Models with random weights, by name."""
    data = recae.Interactions.from_csr(synthetic.histories(100, items, seed=3))
    factors = synthetic.item_factors(items, latent)
    return {
        "EASE": synthetic.random_ease(data),
        "PureSVD": synthetic.factor_model(recae.PureSVD(latent=latent), data, factors),
        "ALS": synthetic.factor_model(recae.ALS(latent=latent), data, factors),
        "Mult-VAE": synthetic.vae(data, latent),
    }


if __name__ == "__main__":
    raise SystemExit(main())
