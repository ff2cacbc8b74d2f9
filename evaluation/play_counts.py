"""Play counts: EASE, ALS and Mult-VAE with raw, transformed and no weights, tuned, paired tests.

Last.fm (HetRec 2011) has play counts from 1 to 352,698. Each model is fitted without the counts,
with the raw ones, with ln(1 + count) and with bm25 weights. The other settings of every row are
chosen by `recae.tune` on validation items, 10 % of each user's. The chosen setting is fitted again
on training and validation items together and measured once on the test items, 20 % of each user's.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import recae
from evaluation.kit.provenance import RESULTS, keep
from recae.data.weighting import Weighting
from recae.evaluation.comparison import verdicts

METRIC = "ndcg@20"
ROWS = ("neither", "raw", "log1p", "bm25")
MODELS: dict[str, tuple[type[recae.Recommender], str]] = {
    "EASE": (recae.EASE, "both"),
    "ALS": (recae.ALS, "target"),
    "Mult-VAE": (recae.MultVAE, "both"),
}
"""The models, and the value of `weights` that uses them."""


def main(argv: Sequence[str] | None = None) -> int:
    """Tunes, measures, compares, prints and keeps the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="the folder with user_artists.parquet")
    parser.add_argument("--trials", type=int, default=12, help="settings tried for every row")
    parser.add_argument("--min-listeners", type=int, default=5, help="of an artist")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the kept result")
    options = parser.parse_args(argv)
    data = recae.read_parquet(
        options.folder / "user_artists.parquet", user="user", item="item", weight="weight"
    ).filter(min_per_item=options.min_listeners, min_per_user=5)
    print(data, flush=True)
    split = recae.RandomSplit(validation=0.1, test=0.2).split(data, seed=options.seed)
    reports: dict[str, recae.Report] = {}
    rows = []
    for name in MODELS:
        for row in ROWS:
            report, about = measured(name, row, split, options)
            reports[f"{name} {row}"] = report
            rows.append(about)
            mean, (low, high) = report.mean[METRIC], report.interval[METRIC]
            print(
                f"{name:<9}{row:<8} {mean:.4f} [{low:.4f}, {high:.4f}]  validation "
                f"{about['validation']:.4f}  {about['seconds']:6.1f} s  {about['settings']}",
                flush=True,
            )
    said = sentences(reports)
    print("\n" + "\n".join(said))
    result = {
        "suite": "play counts",
        "data": repr(data),
        "protocol": repr(recae.RandomSplit(validation=0.1, test=0.2)),
        "metric": METRIC,
        "trials": options.trials,
        "seed": options.seed,
        "rows": rows,
        "verdicts": said,
        # As texts, so that a report takes one line of the file.
        "users": " ".join(map(str, split.test.target.users.ids)),
        "per_user": {
            name: " ".join(f"{value:.4f}" for value in report.per_user[METRIC])
            for name, report in reports.items()
        },
    }
    print(f"\nkept in {keep('play-counts', result, options.out)}")
    return 0


def measured(
    name: str, row: str, split: Any, options: argparse.Namespace
) -> tuple[recae.Report, dict[str, Any]]:
    """The report of a tuned row on the test fold, and what there is to know about it."""
    kind, where = MODELS[name]
    template = kind() if row == "neither" else kind(weights=where)
    if row not in ("neither", "raw"):
        template.set_params(weight_transform=row)
    if name == "Mult-VAE":
        template.set_params(epochs=60)
    started = time.perf_counter()
    with warnings.catch_warnings():
        # That counts are unused, or used raw, is what some rows are about.
        warnings.simplefilter("ignore", recae.RecaeWarning)
        tuning = recae.tune(
            template,
            split.train,
            split.validation,
            METRIC,
            trials=options.trials,
            space=space(name, row, split.train.matrix),
            seed=options.seed,
            progress=False,
        )
        everything = split.test.history  # every user has a test item
        model = tuning.refit(everything, seed=options.seed, progress=False)
    report = recae.evaluate(model, split.test, [METRIC, "recall@20"], progress=False)
    return report, {
        "model": name,
        "weights": row,
        "validation": round(tuning.value, 4),
        **{metric: round(value, 4) for metric, value in report.mean.items()},
        "interval": [round(float(bound), 4) for bound in report.interval[METRIC]],
        "settings": {key: plain(value) for key, value in tuning.params.items()},
        "seconds": round(time.perf_counter() - started, 1),
    }


def space(name: str, row: str, matrix: Any) -> dict[str, Any]:
    """What is searched: penalties and confidences relative to the size of the weights."""
    sizes = np.ones(1)
    if row != "neither":
        learnt = Weighting.learn("none" if row == "raw" else row, matrix)
        sizes = learnt.apply(matrix).data.astype(np.float64)
    if name == "EASE":
        square = float((sizes**2).mean())
        return {"l2": (0.1 * square, 5000 * square)}
    if name == "ALS":
        mean = float(sizes.mean())
        return {"alpha": (1 / mean, 100 / mean), "l2": (0.1, 1000.0), "latent": [64]}
    found: dict[str, Any] = {"lr": (3e-4, 3e-3), "beta": (0.01, 1.0), "dropout": (0.2, 0.8)}
    return found if row == "neither" else found | {"weights": ["input", "target", "both"]}


def sentences(reports: dict[str, recae.Report]) -> list[str]:
    """The verdicts: within a model against no weights, and of the best row against all others."""
    said = []
    for name in MODELS:
        own = {row: reports[row] for row in reports if row.rpartition(" ")[0] == name}
        said += verdicts(recae.compare(own, METRIC, baseline=f"{name} neither"))
    best = max(reports, key=lambda row: reports[row].mean[METRIC])
    return said + verdicts(recae.compare(reports, METRIC, baseline=best))


def plain(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


if __name__ == "__main__":
    raise SystemExit(main())
