"""MovieLens 20M, the held-out users of Liang et al.: all model families, with paired tests.

    python -m evaluation ml20m_partial DATA
    python -m evaluation ml20m_partial DATA --models edlae,rec-vae
    python -m evaluation ml20m_partial DATA --models auto-ensemble --seed 1    # a row of its own

DATA holds valid_in, valid_out, test_in and test_out.parquet with the columns user and item. The
published training users are missing, so the 10,000 validation users with all their interactions are
the training part. Published rows are therefore out of reach. Settings and the number of epochs are
chosen by NDCG@100 on 2,000 of them, held out, from their published fold-in to the rest. The model
is then fitted on all 10,000 and measured once on the 10,000 test users. The ensemble weights are
chosen on 500 more held-out users, whom the chosen models have not seen. `auto-ensemble` is the
flagship: it searches for `MINUTES` on the 2,000 users, and its members are fitted again on all.

Fitted models and reports stay in a folder (`--work`). A model whose report exists is not fitted
again. The table and the paired tests use all reports in the folder.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import recae
from evaluation.kit.grid import Grid, choose
from evaluation.kit.provenance import RESULTS, keep
from recae.tuning import at_best_epoch

METRIC = "ndcg@100"
METRICS = [METRIC, "calibrated_recall@20", "calibrated_recall@50"]
HELD_OUT, BLENDING = 2000, 500
"""Numbers of users for choosing settings, and for choosing the weights of an ensemble."""

NEURAL: dict[str, Any] = {"metric": METRIC, "batch_size": 200, "epochs": 60, "patience": 6}
SEARCH: dict[str, tuple[recae.Recommender, Grid]] = {
    "popularity": (recae.Popularity(), {}),
    "ease": (recae.EASE(precision="float32"), {"l2": (200.0, 400.0, 800.0)}),
    "ease-scaled": (
        recae.EASE(user_power=0.5, precision="float32"),
        {"item_power": (0.1, 0.25), "l2": (0.1, 0.3, 1.0, 3.0)},
    ),
    "edlae": (
        recae.EDLAE(precision="float32"),
        {"dropout": (0.2, 0.4), "l2": (100.0, 200.0, 400.0)},
    ),
    "rdlae": (
        recae.RDLAE(dropout=0.3, precision="float32"),
        {"xi": (0.2, 0.5), "l2": (200.0, 400.0)},
    ),
    "mult-dae": (recae.MultDAE(**NEURAL), {"l2": (0.0,)}),
    "mult-vae": (recae.MultVAE(**NEURAL), {"mirror": (True, False)}),
    # Half as wide as in the paper, and three layers instead of five.
    "rec-vae": (
        recae.RecVAE(**NEURAL | {"epochs": 100, "patience": 16}, width=300, depth=3),
        {"gamma": (0.005,)},
    ),
    # A third as wide as in the paper, and 200 pseudo-inputs instead of 1,000.
    "h-vamp": (
        recae.HVamp(
            **NEURAL | {"epochs": 40, "patience": 5},
            latent=64,
            width=200,
            components=200,
            decoder_depth=2,
        ),
        {"likelihood": ("logistic",)},
    ),
    # Width 300 instead of 4,096 and latent 100 instead of 2,048, items with five users or more.
    "vasp": (
        recae.VASP(
            **NEURAL | {"epochs": 20, "patience": 3, "batch_size": 500, "whole": False},
            latent=100,
            width=300,
            depth=3,
            decoder_depth=3,
        ),
        {"lr": (1e-3,)},
    ),
}
MIN_USERS = {"vasp": 5}
"""Fewest users of an item, for models with items^2 weights; missing items count as misses."""

BLENDED = ("rdlae", "mult-vae", "rec-vae", "h-vamp")
"""Members of the ensemble."""

MINUTES = 40.0
"""Time for the searches of the flagship; the fits on all users come on top."""


@dataclass(frozen=True)
class Parts:
    """whole: the training part; train, validation: for choosing settings; blending: for choosing
    the weights of an ensemble; test: the fold of the test."""

    whole: recae.Interactions
    train: recae.Interactions
    validation: recae.Fold
    blending: recae.Fold
    test: recae.Fold


def main(argv: Sequence[str] | None = None) -> int:
    """Tunes, fits and tests the models without a report in the folder, then prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder with the four tables")
    names = [*SEARCH, "ensemble", "auto-ensemble"]
    parser.add_argument("--models", default=",".join(names), help="model names, comma-separated")
    parser.add_argument("--seed", type=int, default=0, help="of the searches and fits (default: 0)")
    parser.add_argument("--work", type=Path, default=Path("build/ml20m-partial"))
    options = parser.parse_args(argv)
    parts = read(options.data)
    print(f"training part {parts.whole}\nchosen on {parts.validation}\ntest {parts.test}")
    for name in options.models.split(","):
        if not (options.work / row_of(name, options.seed) / "report.json").is_file():
            run(name, parts, options.work, options.seed)
    if not options.seed:
        table(options.work, names)
    return 0


def read(folder: Path) -> Parts:
    """The four tables as a training part, a split of it and the fold of the test users."""
    known, hidden, test_known, test_hidden = (
        pd.read_parquet(folder / f"{name}.parquet")
        for name in ("valid_in", "valid_out", "test_in", "test_out")
    )
    columns = {"user": "user", "item": "item"}
    whole = recae.Interactions.from_frame(pd.concat([known, hidden]), **columns)
    held = np.random.default_rng(0).permutation(np.unique(known["user"]))[: HELD_OUT + BLENDING]

    def fold(history: pd.DataFrame, target: pd.DataFrame) -> recae.Fold:
        theirs = recae.Interactions.from_frame(target, **columns)
        past = recae.Interactions.from_frame(history, **columns)
        ids, items = past.users.union(theirs.users), whole.items.union(past.items)
        items = items.union(theirs.items)
        return recae.Fold(*(p.with_users(ids).with_items(items)[0] for p in (past, theirs)))

    def of(users: np.ndarray) -> recae.Fold:
        return fold(*(table[table["user"].isin(users)] for table in (known, hidden)))

    rest = pd.concat([known, hidden])
    train = recae.Interactions.from_frame(rest[~rest["user"].isin(held)], **columns)
    validation, blending = of(held[:HELD_OUT]), of(held[HELD_OUT:])
    return Parts(whole, train, validation, blending, fold(test_known, test_hidden))


def row_of(name: str, seed: int) -> str:
    """The name of a model's row, folder and result: seeds after the first are named in it."""
    return f"{name}-seed-{seed}" if seed else name


def run(name: str, parts: Parts, work: Path, seed: int = 0) -> None:
    """Tunes, fits and tests one model, and stores the result."""
    started, row = time.perf_counter(), row_of(name, seed)
    (work / row).mkdir(parents=True, exist_ok=True)
    if name == "ensemble":
        learnt = recae.Ensemble.of(
            [recae.load(work / row_of(member, seed) / "chosen") for member in BLENDED],
            parts.blending,
        )
        model = learnt.with_members(
            [recae.load(work / row_of(member, seed) / "model") for member in BLENDED]
        )
        weights = zip(BLENDED, learnt.member_weights_.tolist(), strict=True)
        about: dict[str, Any] = {"weights": {member: round(w, 4) for member, w in weights}}
    elif name == "auto-ensemble":
        found = recae.AutoEnsemble(minutes=MINUTES, metric=METRIC)
        found.fit(parts.train, parts.validation, seed=seed)
        print(f"{found.tried_.to_string()}\n{found.reason_}", flush=True)
        model = found.with_members(
            [at_best_epoch(member).fit(parts.whole, seed=seed) for member in found.members_]
        )
        about = {"tried": found.tried_.to_dict(orient="records"), "reason": found.reason_}
    else:
        few = MIN_USERS.get(name, 1)
        train, whole = (d.filter(min_per_item=few) for d in (parts.train, parts.whole))
        template, grid = SEARCH[name]
        best, trials = choose(template, grid, train, parts.validation, METRIC, seed=seed)
        best.save(work / row / "chosen", overwrite=True)
        model = at_best_epoch(best).fit(whole, seed=seed)
        about = {"trials": trials}
    fit_seconds = time.perf_counter() - started
    report = recae.evaluate(model, parts.test, METRICS, progress=False)
    model.save(work / row / "model", overwrite=True)
    report.save(work / row / "report.json", per_user=True, overwrite=True)
    keep(
        f"ml20m-partial-{row}",
        {
            "suite": "ml-20m, validation users of Liang et al. for training, their test users",
            "model": repr(model),
            "metrics": report.summary()["metrics"],
            **about,
            "seed": seed,
            "seconds_of_choosing_and_fitting": round(fit_seconds, 1),
            "target": report.provenance["target"],
        },
    )
    print(f"{row:<12} {report[METRIC]:.4f}  {fit_seconds:.0f} s  {model}", flush=True)


def table(work: Path, names: Sequence[str]) -> None:
    """Prints every report in the folder and stores their paired comparison."""
    reports = {
        name: recae.Report.load(work / name / "report.json")
        for name in names
        if (work / name / "report.json").is_file()
    }
    ordered = dict(sorted(reports.items(), key=lambda item: item[1][METRIC]))
    print(recae.report.comparison(ordered).to_string())
    if len(ordered) < 2:
        return
    pairs = recae.compare(ordered, METRIC)
    print(pairs.to_string(float_format="%.4g"))
    rows = {name: report.mean for name, report in ordered.items()}
    keep("ml20m-partial", {"metrics": rows, "pairs": pairs.to_dict(orient="records")})
    recae.report.plot_comparison(ordered, METRIC, RESULTS / "ml20m-partial.png", overwrite=True)


if __name__ == "__main__":
    raise SystemExit(main())
