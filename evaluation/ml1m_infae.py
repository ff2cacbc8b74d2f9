"""MovieLens 1M, the split of infinity-AE: every model tuned on `valid`, then tested once.

    python -m evaluation ml1m_infae DATA

DATA holds train.parquet, valid.parquet and test.parquet with the columns user and item. Models are
fitted on train and chosen by NDCG@10 on valid (history and mask: train). At the test, history and
mask are train and valid together, without refitting, as in Sachdeva et al. (2022).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import recae
from evaluation.grid import Grid, choose
from evaluation.provenance import keep, peak_gb

METRIC = "ndcg@10"

# Sachdeva et al., "Infinite Recommendation Networks", NeurIPS 2022, table 1, as fractions.
PUBLISHED = {"popularity": 0.1384, "mult-vae": 0.2214, "ease": 0.2988}

VAE = {"metric": METRIC, "epochs": 80, "patience": 6, "batch_size": 200}
SEARCH: dict[str, tuple[recae.Recommender, Grid]] = {
    "popularity": (recae.Popularity(), {}),
    "als": (
        recae.ALS(),
        {"latent": (32, 64, 128), "l2": (10.0, 50.0), "alpha": (2.0, 8.0, 20.0)},
    ),
    "ease": (recae.EASE(), {"l2": (200.0, 500.0, 1000.0, 2000.0)}),
    "mult-dae": (recae.MultDAE(**VAE), {"l2": (0.0, 1e-5)}),
    "mult-vae": (recae.MultVAE(**VAE), {"beta": (0.1, 0.3)}),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Tunes, tests and prints NDCG@10 beside the published figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder with train, valid and test.parquet")
    parser.add_argument("--models", default=",".join(SEARCH), help="names, by commas")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    train, valid, test = (
        recae.read_parquet(options.data / f"{part}.parquet", user="user", item="item", weight=None)
        for part in ("train", "valid", "test")
    )
    split = recae.fixed_split(train, validation=valid, test=test, history="train+validation")
    assert split.validation is not None and split.test is not None
    print(split, flush=True)
    results: dict[str, Any] = {}
    for name in options.models.split(","):
        started = time.perf_counter()
        best, trials = choose(*SEARCH[name], split, METRIC, options.seed)
        report = recae.evaluate(best, split.test, [METRIC, "recall@20"])
        low, high = report.interval[METRIC]
        seconds = time.perf_counter() - started
        print(
            f"{name:<11} test {METRIC} {report[METRIC]:.4f} [{low:.4f}, {high:.4f}]   "
            f"published {PUBLISHED.get(name, '-')}   {seconds:.0f} s   {best}",
            flush=True,
        )
        results[name] = {
            "model": repr(best),
            "test": report.mean,
            "interval": report.interval[METRIC],
            "published": PUBLISHED.get(name),
            "trials": trials,
            "seconds": round(seconds, 1),
        }
    suite = "ml-1m, split of infinity-AE; history and mask at the test: train and valid"
    kept = keep("ml1m-infae", {"suite": suite, "seed": options.seed, "models": results})
    print(f"peak memory {peak_gb():.2f} GB; kept in {kept}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
