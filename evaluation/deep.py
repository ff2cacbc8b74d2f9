"""The deep models as wide as in their papers, trained until validation stops rising.

    python -m evaluation deep DATA
    python -m evaluation deep DATA --models "h-vamp;rec-vae" --minutes 60
    python -m evaluation deep DATA --models "rec-vae" --seeds 3
    python -m evaluation deep DATA --factors

DATA holds either train, valid and test.parquet (the infinity-AE split of MovieLens 1M, chosen by
NDCG@10), or valid_in, valid_out, test_in and test_out.parquet (the held-out users of Liang et al.,
as in `ml20m_partial`, chosen by NDCG@100). A training keeps a checkpoint in the folder `--work`. It
is interrupted after `--minutes`, and the next call resumes it. A model whose report exists is not
fitted again. Every model is tested once for each of its `--seeds`.

The table has the widths, the epochs, the seconds, the best epoch, the slope of the validation curve
at its end, and the test, all of the first seed, and then the test of all seeds. `--factors` trains
narrow models instead, on 1,500 users of the first data set, each with one setting changed, and
measures them on validation only.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import recae
from evaluation.kit.provenance import RESULTS, commit, keep
from evaluation.suites import ml20m_partial
from evaluation.suites.data import read_split
from evaluation.suites.read import read_suite
from recae.errors import TrainingInterrupted, unknown_option
from recae.estimators.params import estimator
from recae.nn import AutoencoderNet
from recae.report.canvas import COLOURS, DASHES, canvas, write
from recae.tuning import at_best_epoch

USERS, FEWEST = 1500, 8
"""Users of the controlled experiment, and the fewest of them that an item must have."""

TAIL = 20
"""The end of a validation curve: its last third, at most 20 epochs."""


@dataclass(frozen=True)
class Task:
    """A data set and its protocol.

    whole: what a model is fitted on again, for its best number of epochs, before the test; None
    where the chosen model itself is tested.
    """

    name: str
    metric: str
    metrics: tuple[str, ...]
    train: recae.Interactions
    validation: recae.Fold
    whole: recae.Interactions | None
    test: recae.Fold


def read(folder: Path) -> Task:
    """The data in a folder, recognised by the names of the tables."""
    if (folder / "train.parquet").is_file():
        suite = read_suite("ml1m_infae")
        split = read_split(suite, folder, progress=False)
        assert split.validation is not None and split.test is not None
        metrics = suite.metric, "recall@20", "ndcg@100"
        parts = split.train.binarised(), split.validation, None, split.test
        return Task("ml-1m-infae", suite.metric, metrics, *parts)
    held = ml20m_partial.read(folder)
    metric, *others = ml20m_partial.METRICS
    parts = held.train, held.validation, held.whole, held.test
    return Task("ml-20m-partial", metric, (metric, *others), *parts)


def sample(task: Task) -> Task:
    """The task on `USERS` of its users, and the items of enough of them."""
    chosen = np.sort(np.random.default_rng(1).permutation(task.train.n_users)[:USERS])
    train = task.train.select_users(chosen)
    ids = train.users.decode(np.arange(train.n_users))
    history, target = (
        part.select_users(part.users.encode(ids))
        for part in (task.validation.history, task.validation.target)
    )
    train = train.filter(min_per_item=FEWEST)
    return replace(task, train=train, validation=recae.Fold(history, target))


COMMON: dict[str, Any] = {"epochs": 300, "patience": 30, "batch_size": 200}
WARM: dict[str, Any] = COMMON | {"anneal": 0.1, "beta": 0.3}
"""beta reaches its final weight after 30 epochs. With a slower rise early stopping comes first."""
GATED: dict[str, Any] = WARM | {"components": 1000, "decoder_depth": 2}
FOCAL: dict[str, Any] = {
    "epochs": 150,
    "patience": 20,
    "batch_size": 200,
    "width": 1024,
    "latent": 512,
    "lr": 2e-4,
}
FAMILY: dict[str, Callable[[], recae.Recommender]] = {
    "mult-dae": lambda: recae.MultDAE(**COMMON),
    "mult-vae": lambda: recae.MultVAE(**WARM, mirror=True),
    "mult-vae, one layer in the decoder": lambda: recae.MultVAE(**WARM),
    "mult-vae, one layer, beta 0.1": lambda: recae.MultVAE(**WARM | {"beta": 0.1}),
    "mult-vae, one layer, beta 0.03": lambda: recae.MultVAE(**WARM | {"beta": 0.03}),
    "mult-vae, one layer, beta 0": lambda: recae.MultVAE(**WARM | {"beta": 0.0}),
    "mult-dae, layers of mult-vae": lambda: recae.MultDAE(**COMMON, hidden=(600,)),
    "rec-vae": lambda: recae.RecVAE(**COMMON),
    "h-vamp": lambda: recae.HVamp(**GATED),
    "h-vamp, lr 0.003": lambda: recae.HVamp(**GATED, lr=3e-3),
    "h-vamp, one layer in the decoder": lambda: recae.HVamp(**GATED | {"decoder_depth": 0}),
    "flvae": lambda: recae.FLVAE(**FOCAL),
    "flvae, dropout": lambda: recae.FLVAE(**FOCAL, dropout=0.5),
    "flvae, one hidden layer in the decoder": lambda: recae.FLVAE(**FOCAL, decoder_depth=1),
    "vasp": lambda: recae.VASP(**FOCAL),
    "vasp, dropout": lambda: recae.VASP(**FOCAL, dropout=0.5),
    "vasp, one hidden layer in the decoder": lambda: recae.VASP(**FOCAL, decoder_depth=1),
}
"""The models in their published order, with the layers of their papers, and variants after a comma.
Of FLVAE and VASP all layers are there, a quarter as wide."""


@estimator
class ZeroStart(recae.HVamp):
    """H+Vamp whose last layer starts with biases of zero, as in the authors' code."""

    name = "h-vamp-zero-start"

    def _prepare(self, net: AutoencoderNet, histories: Any, device: Any) -> None:
        return


SHORT: dict[str, Any] = {"epochs": 16, "patience": 16, "batch_size": 50}
WIDTHS: dict[str, Any] = {"width": 200, "latent": 64}
VAMP: dict[str, Any] = SHORT | WIDTHS | {"components": 30, "decoder_depth": 2}
HALVES: dict[str, Any] = SHORT | WIDTHS | {"depth": 3, "decoder_depth": 3, "lr": 1e-3}
VAE: dict[str, Any] = SHORT | {"hidden": (200,), "latent": 64}
FACTORS: dict[str, Callable[[], recae.Recommender]] = {
    "mult-vae": lambda: recae.MultVAE(**VAE, mirror=True),
    "mult-vae, one layer in the decoder": lambda: recae.MultVAE(**VAE),
    "mult-vae, lr 0.003": lambda: recae.MultVAE(**VAE, mirror=True, lr=3e-3),
    "h-vamp": lambda: recae.HVamp(**VAMP),
    "h-vamp, biases from 0": lambda: ZeroStart(**VAMP),
    "h-vamp, multinomial": lambda: recae.HVamp(**VAMP, likelihood="multinomial"),
    "h-vamp, lr 0.003": lambda: recae.HVamp(**VAMP, lr=3e-3),
    "h-vamp, lr 0.003, multinomial": lambda: recae.HVamp(**VAMP, lr=3e-3, likelihood="multinomial"),
    "h-vamp, lr 0.003, beta 0.05": lambda: recae.HVamp(**VAMP, lr=3e-3, beta=0.05),
    "h-vamp, beta 0": lambda: recae.HVamp(**VAMP, beta=0.0),
    "h-vamp, batches of 200": lambda: recae.HVamp(**VAMP | {"batch_size": 200}),
    "flvae": lambda: recae.FLVAE(**HALVES),
    "flvae, only halves": lambda: recae.FLVAE(**HALVES, whole=False),
    "flvae, beta 0.03": lambda: recae.FLVAE(**HALVES, beta=0.03),
    "flvae, dropout": lambda: recae.FLVAE(**HALVES, dropout=0.5),
    "h-vamp, normalised adam": lambda: recae.HVamp(**VAMP, optimiser="normalised-adam"),
    "h-vamp, 300 components": lambda: recae.HVamp(**VAMP | {"components": 300}),
    "h-vamp, width 400": lambda: recae.HVamp(**VAMP | {"width": 400}),
    "flvae, batches of 200": lambda: recae.FLVAE(**HALVES | {"batch_size": 200}),
}
"""Rows of the controlled experiment: each but the first of a model has one setting changed."""


def main(argv: Sequence[str] | None = None) -> int:
    """Trains the models without a report in the folder, then prints and keeps the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder with the tables")
    parser.add_argument("--models", help="names of rows, separated by semicolons")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="of this call")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each model")
    parser.add_argument("--factors", action="store_true", help="the controlled experiment")
    parser.add_argument("--work", type=Path, default=Path("build/deep"))
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the kept results")
    options = parser.parse_args(argv)
    task = read(options.data)
    known = FACTORS if options.factors else FAMILY
    names = options.models.split(";") if options.models else [*known]
    for name in names:
        if name not in known:
            raise unknown_option("model", name, known)
    if options.factors:
        task = sample(task)
    work = options.work / (task.name + ("-factors" if options.factors else ""))
    work.mkdir(parents=True, exist_ok=True)
    until = time.perf_counter() + 60 * options.minutes
    print(f"{task.name}: train {task.train}, validation {task.validation}", flush=True)
    for name, seed in itertools.product(names, range(options.seeds)):
        place = folder(work / name, seed)
        if not (place / "row.json").is_file() and time.perf_counter() < until:
            Fitting(task, place, until, test=not options.factors, seed=seed).run(known[name]())
    rows = {
        name: json.loads((work / name / "row.json").read_text())
        for name in known
        if (work / name / "row.json").is_file()
    }
    for name, about in rows.items():
        about["of_seeds"] = of_seeds(work / name)
    if rows:
        summary(task, work, rows, options.out)
    return 0


def folder(work: Path, seed: int) -> Path:
    """The folder of a training: that of the model for the first seed, one in it for the others."""
    return work / f"seed-{seed}" if seed else work


def of_seeds(work: Path) -> list[dict[str, Any]]:
    """Validation, epochs, seconds and test of every finished seed of a model, in their order."""
    kept = "seed", "validation", "best_epoch", "epochs", "seconds", "metrics"
    places = itertools.takewhile(
        lambda place: (place / "row.json").is_file(), (folder(work, s) for s in itertools.count())
    )
    found = [json.loads((place / "row.json").read_text()) for place in places]
    return [{key: about[key] for key in kept if key in about} for about in found]


@dataclass(frozen=True)
class Fitting:
    """Fits a model in its folder, by checkpoints, and stores what was measured in row.json."""

    task: Task
    folder: Path
    until: float
    test: bool
    seed: int = 0

    def run(self, model: recae.Recommender) -> None:
        """Fits and measures the model; without a result where the time ended before."""
        task = self.task
        self.folder.mkdir(parents=True, exist_ok=True)
        model.set_params(metric=task.metric)
        if not self.fit(model, task.train, "chosen", task.validation):
            return
        epochs: Any = model.epochs_
        values = [epoch.metrics[task.metric] for epoch in epochs]
        about: dict[str, Any] = {
            "model": repr(model),
            "weights": sum(array.numel() for array in model.network_.parameters()),
            "epochs": len(values),
            "seconds": round(sum(epoch.seconds for epoch in epochs), 1),
            "best_epoch": int(np.argmax(values)) + 1,
            "validation": max(values),
            "curve": [round(value, 5) for value in values],
            "losses": [round(epoch.loss, 4) for epoch in epochs],
            "seed": self.seed,
            "commit": commit(),
        }
        if self.test:
            if task.whole is not None:
                model = at_best_epoch(model)
                if not self.fit(model, task.whole, "whole"):
                    return
            report = recae.evaluate(model, task.test, task.metrics, progress=False)
            report.save(self.folder / "report.json", per_user=True, overwrite=True)
            model.save(self.folder / "model", overwrite=True)
            about["metrics"] = report.mean
        (self.folder / "row.json").write_text(json.dumps(about) + "\n")
        for file in self.folder.glob("*.ckpt"):
            file.unlink()

    def fit(
        self,
        model: recae.Recommender,
        data: recae.Interactions,
        name: str,
        validation: recae.Fold | None = None,
    ) -> bool:
        """Whether the training ended; if not, the next call resumes it."""

        over = False
        title = "/".join(self.folder.parts[-2 if self.seed else -1 :])

        def each(epoch: Any) -> None:
            nonlocal over
            measured = "".join(f"  {value:.4f}" for value in epoch.metrics.values())
            print(
                f"{title:<16} {name} epoch {epoch.number:>3}  loss {epoch.loss:.4g}"
                f"{measured}  {epoch.seconds:.1f} s",
                flush=True,
            )
            if over:  # the epoch before has its checkpoint, this one has not
                raise KeyboardInterrupt
            over = time.perf_counter() > self.until

        try:
            model.fit(
                data,
                validation,
                seed=self.seed,
                callbacks=each,
                checkpoint=self.folder / f"{name}.ckpt",
                progress=False,
            )
        except TrainingInterrupted as error:
            print(f"{title}: {error}; the next call resumes it", flush=True)
            return False
        return True


def slope(values: Sequence[float]) -> float:
    """The least-squares slope of the end of a curve, for each epoch; NaN for less than 6 epochs."""
    tail = np.asarray(values[-min(TAIL, max(len(values) // 3, 1)) :])
    if len(tail) < 2:
        return float("nan")
    return float(np.polyfit(np.arange(len(tail)), tail, 1)[0])


def summary(task: Task, work: Path, rows: Mapping[str, Any], out: Path) -> None:
    """Prints the rows, keeps them with the paired tests, and draws the validation curves."""
    for name, about in rows.items():
        about["slope"] = slope(about["curve"])
        tested = "  ".join(f"{key} {value:.4f}" for key, value in about.get("metrics", {}).items())
        print(
            f"{name:<16} validation {about['validation']:.4f}  best epoch {about['best_epoch']} of "
            f"{about['epochs']}  slope {about['slope']:+.5f}  {about['seconds']:.0f} s  "
            f"{about['weights'] / 1e6:.1f} M weights  {tested}\n    {about['model']}"
        )
        seeds = [each["metrics"][task.metric] for each in about["of_seeds"] if "metrics" in each]
        if len(seeds) > 1:
            values = ", ".join(f"{value:.4f}" for value in seeds)
            print(
                f"    {len(seeds)} seeds: {task.metric} {np.mean(seeds):.4f} ({values}), "
                f"standard deviation {np.std(seeds, ddof=1):.4f}"
            )
    found: dict[str, Any] = {"suite": "deep", "data": task.name, "metric": task.metric}
    tested = [name for name, about in rows.items() if "metrics" in about]
    ordered = sorted(tested, key=lambda name: rows[name]["metrics"][task.metric])
    if len(ordered) > 1:
        reports = {name: recae.Report.load(work / name / "report.json") for name in ordered}
        pairs = recae.compare(reports, task.metric)
        print("order: " + " < ".join(ordered))
        print(pairs.to_string(float_format="%.4g"))
        found |= {"order": ordered, "pairs": pairs.to_dict(orient="records")}
    name = f"deep-{work.name}"
    print(f"kept in {keep(name, found | {'rows': rows}, out)}")
    picture(rows, task.metric, out / f"{name}.png")


def picture(rows: Mapping[str, Any], metric: str, path: Path) -> None:
    """Draws the validation curves of the rows, each against its own epochs."""
    figure, axes = canvas(7.5, 4.5)
    for index, (name, about) in enumerate(rows.items()):
        curve, best = about["curve"], about["best_epoch"]
        style = {
            "color": COLOURS[index % len(COLOURS)],
            "linestyle": DASHES[index // len(COLOURS) % len(DASHES)],
        }
        axes.plot(range(1, len(curve) + 1), curve, label=name, linewidth=1.3, **style)
        axes.plot([best], [curve[best - 1]], "o", color=style["color"], markersize=4)
    axes.set_xscale("log")
    axes.set_xlabel("epoch")
    axes.set_ylabel(f"{metric} of validation")
    axes.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    write(figure, path, overwrite=True)


if __name__ == "__main__":
    raise SystemExit(main())
