"""Gowalla, the split of LightGCN: EASE against the public log, the other models beside it.

    python -m evaluation gowalla DATA --model ease
    python -m evaluation gowalla DATA --model mult-vae
    python -m evaluation gowalla DATA --model mult-vae --validate --set epochs=30
    python -m evaluation gowalla DATA --model rlae --validate --top-items 12000 --set xi=0.3

DATA holds train.parquet and test.parquet with the columns user and item. `--validate` never reads
the test file: it fits on nine tenths of each user's training items and measures on the rest, which
is how the settings below were chosen; its trials are kept in one file a model. `--top-items` does
so on the items with most users alone, where a closed form takes seconds. Without `--validate` the
model is fitted on the whole training file for the number of epochs committed here, and measured on
the test file once.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import recae
from evaluation.provenance import RESULTS, commit, keep, peak_gb
from recae.cli import hyperparameters
from recae.recommender import AutoencoderRecommender, LinearRecommender

METRICS = ["recall@20", "ndcg@20", "recall@50", "ndcg@50", "hit_rate@20"]

MODELS: dict[str, recae.Recommender] = {
    "popularity": recae.Popularity(),
    "ease": recae.EASE(l2=80),
    # l2, dropout and xi of EDLAE and RDLAE are those of Moon, Kim & Lee (2023) for this split. On
    # the 10,000 most popular items they reached validation recall@20 0.3308 and 0.3305, RLAE 0.3258
    # with xi=0.1 and 0.3261 with 0.3, EASE 0.3258, and 16 settings of degree powers at most 0.3237.
    "edlae": recae.EDLAE(l2=60, dropout=0.8),
    "rlae": recae.RLAE(l2=80, xi=0.3),
    "rdlae": recae.RDLAE(l2=80, dropout=0.8, xi=0.09),
    "edlae-scaled": recae.EDLAE(l2=3, dropout=0, user_power=0.5, item_power=0.25),
    "sparse-ease": recae.SparseEASE(),
    "svd-ae": recae.SVDAE(latent=1194),
    # Validation recall@20 0.1726 was best after epoch 6.
    "elsa": recae.ELSA(latent=256, epochs=6, batch_size=512, metric="recall@20"),
    # Validation recall@20 0.2088 was best after the last epoch, beta rising over the first nine.
    "macrid-vae": recae.MacridVAE(epochs=12, anneal=0.75, batch_size=500, metric="recall@20"),
    # Still rising a little at the 24th and last epoch tried.
    "mult-dae": recae.MultDAE(latent=200, epochs=24, batch_size=500, metric="recall@20"),
    # Validation recall@20 0.2033 was best after epoch 20 of 30, beta rising over the first 15.
    "mult-vae": recae.MultVAE(
        latent=200,
        hidden=(600,),
        mirror=False,
        epochs=20,
        anneal=0.75,
        batch_size=500,
        metric="recall@20",
    ),
}

# BARS, docs/Matching/leaderboard/gowalla_m1.csv and the log of its EASE run with l2=80.
PUBLISHED = {
    "ease": {
        "recall@20": 0.176493,
        "ndcg@20": 0.146657,
        "recall@50": 0.270126,
        "ndcg@50": 0.175974,
        "hit_rate@20": 0.572677,
    },
    "mult-vae": {"recall@20": 0.1641, "ndcg@20": 0.1335},
    "macrid-vae": {"recall@20": 0.1618, "ndcg@20": 0.1202},
}


def main(argv: Sequence[str] | None = None) -> int:
    """Fits one model and prints its figures beside the published ones."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder with train.parquet and test.parquet")
    parser.add_argument("--model", choices=MODELS, required=True)
    parser.add_argument(
        "--validate", action="store_true", help="measure on pairs held out of train"
    )
    parser.add_argument(
        "--top-items", type=int, default=0, metavar="N", help="with --validate: the N most popular"
    )
    parser.add_argument(
        "--precision", default="auto", help="of closed forms: auto, float64, float32"
    )
    parser.add_argument(
        "--set",
        type=hyperparameters.setting,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a hyperparameter, as in `recae fit`",
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    if not options.validate and (options.set or options.top_items):
        parser.error("--set and --top-items go with --validate: the test is not for choosing")
    model = hyperparameters.configured(MODELS[options.model].clone(), options.set)
    if isinstance(model, LinearRecommender):
        model.set_params(precision=options.precision)
    train = recae.read_parquet(options.data / "train.parquet", user="user", item="item")
    if options.validate:
        if options.top_items:
            users = np.bincount(train.matrix.indices, minlength=train.n_items)
            train = train.select_items(np.sort(np.argsort(-users)[: options.top_items]))
            train = train.filter(min_per_user=1)
        split = recae.holdout_pairs(train, share=0.1, seed=7)
        fold = split.validation
    else:
        test = recae.read_parquet(options.data / "test.parquet", user="user", item="item")
        split = recae.fixed_split(train, test=test)
        fold = split.test
    assert fold is not None
    print(f"{model}\n{split}", flush=True)
    started = time.perf_counter()
    model.fit(split.train, fold if options.validate else None, seed=options.seed, callbacks=[told])
    seconds = time.perf_counter() - started
    report = recae.evaluate(model, fold, METRICS)
    published = {} if options.validate else PUBLISHED.get(options.model, {})
    for metric in METRICS:
        target = f"   published {published[metric]}" if metric in published else ""
        low, high = report.interval[metric]
        print(f"{metric:<12} {report[metric]:.6f}  [{low:.4f}, {high:.4f}]{target}")
    epochs = len(model.epochs_) if isinstance(model, AutoencoderRecommender) else None
    print(f"fit {seconds:.1f} s ({epochs} epochs), peak memory {peak_gb():.2f} GB")
    result: dict[str, Any] = {
        "suite": "gowalla, LightGCN split",
        "model": repr(model),
        "seed": options.seed,
        "metrics": report.mean,
        "published": published,
        "fit_seconds": round(seconds, 1),
        "epochs": epochs,
        "peak_gb": round(peak_gb(), 2),
        "history": report.provenance["history"],
        "target": report.provenance["target"],
    }
    if options.validate:
        of_epochs = model.epochs_ if isinstance(model, AutoencoderRecommender) else []
        result["epochs"] = [round(epoch.metrics["recall@20"], 4) for epoch in of_epochs]
        result["top_items"] = options.top_items or None
        print(f"kept in {keep_trial(f'gowalla-validation-{options.model}', result)}")
    else:
        print(f"kept in {keep(f'gowalla-{options.model}', result)}")
    return 0


def keep_trial(name: str, trial: dict[str, Any]) -> Path:
    """Adds a trial to those that a file of results has."""
    path = RESULTS / f"{name}.json"
    earlier = json.loads(path.read_text())["trials"] if path.is_file() else []
    return keep(name, {"trials": [*earlier, trial | {"commit": commit()}]})


def told(epoch: object) -> None:
    """Prints an epoch as it ends."""
    print(epoch, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
