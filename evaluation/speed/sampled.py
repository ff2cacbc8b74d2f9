"""Sampled against full softmax: quality on validation and test, and seconds per epoch.

    python -m evaluation.speed sampled DATA

DATA is the folder of Gowalla's published split. A tenth of every user's training pairs is for
validation, as in `time_to_quality`. Both sides train for the same epochs with the same settings
except the softmax, and keep the epoch that is best on validation. The test is used once for each,
after both have ended. Two more sides halve and double the sample, on validation alone. The seconds
of an epoch are those of training, without validation.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import recae
from evaluation.kit.harness import arguments
from evaluation.kit.provenance import keep
from evaluation.speed.quality import METRIC, K, tested
from evaluation.speed.time_to_quality import held_out, raw
from recae.training import Epoch

ALL = (("DATA/gowalla",),)
SETTINGS: dict[str, Any] = {
    "epochs": 14,
    "batch_size": 200,
    "lr": 0.002,
    "milestones": (6,),
    "anneal": 0.3,
    "dropout": 0.3,
}
SIDES: dict[str, dict[str, Any]] = {
    "full": {"softmax": "full"},
    "sampled": {"softmax": "sampled", "num_sampled": 4000},
    "sampled-2000": {"softmax": "sampled", "num_sampled": 2000},
    "sampled-8000": {"softmax": "sampled", "num_sampled": 8000},
}
TESTED = ("full", "sampled")


def main(argv: Sequence[str] | None = None) -> int:
    """Fits the sides, prints and stores the results. Returns 1 if the sampled softmax loses more
    than 1 %."""
    parser = arguments(__doc__, rounds=1)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--users", type=int, help="number of users, for a dry run")
    parser.add_argument("--epochs", type=int, default=SETTINGS["epochs"])
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    train = raw(options.data / "train.parquet")
    if options.users is not None:
        train = recae.Interactions.from_csr(train.matrix[: options.users])
    split = held_out(train)
    found: dict[str, dict[str, Any]] = {}
    lists = {}
    for side in options.sides:
        settings = SETTINGS | SIDES[side] | {"epochs": options.epochs}
        model = recae.MultVAE(metric=METRIC, **settings)
        found[side] = fit(model, split)
        lists[side] = model.recommend_array(train, k=K, on_unknown="popular").items
        print(f"{side:<13} {in_words(found[side])}", flush=True)
    result = {"suite": "sampled softmax", "data": repr(train), "threads": options.threads}
    result |= {"settings": SETTINGS | {"epochs": options.epochs}, "sides": found}
    if options.users is not None:
        return 0
    test = raw(options.data / "test.parquet")  # only after all sides have ended
    for side in set(TESTED) & set(lists):
        found[side]["test"] = tested(side, lists[side], train, test)
        print(f"{side}: {METRIC} on the test {found[side]['test']:.4f}")
    code = 0
    if set(TESTED) <= set(found):
        share = found["sampled"]["test"] / found["full"]["test"]
        faster = found["full"]["epoch_seconds"] / found["sampled"]["epoch_seconds"]
        print(f"sampled: {share:.2%} of the quality of full, {faster:.2f} times as fast an epoch")
        result |= {"share_of_quality": round(share, 4), "speed_up": round(faster, 2)}
        code = int(share < 0.99)
    print(f"kept in {keep('speed-sampled', result)}")
    return code


def fit(model: recae.MultVAE, split: recae.data.splits.Split) -> dict[str, Any]:
    """Fits a side; returns its curve, best validation value and median seconds of an epoch."""
    curve: list[dict[str, float]] = []
    validating = Timed(model)

    def after(epoch: Epoch) -> bool:
        seconds = epoch.seconds - validating.taken()
        curve.append({METRIC: round(epoch.metrics[METRIC], 6), "seconds": round(seconds, 3)})
        return False

    started = time.perf_counter()
    model.fit(split.train, validation=split.validation, callbacks=after, progress=False)
    return {
        "best": max(line[METRIC] for line in curve),
        "epoch_seconds": statistics.median(line["seconds"] for line in curve),
        "fit_seconds": round(time.perf_counter() - started, 1),
        "curve": curve,
    }


class Timed:
    """Records how long a model validates, epoch by epoch."""

    def __init__(self, model: Any) -> None:
        self.spent, make = 0.0, model._validator

        def validator(*arguments: Any) -> Any:
            validate = make(*arguments)

            def timed() -> Any:
                started = time.perf_counter()
                metrics = validate()
                self.spent += time.perf_counter() - started
                return metrics

            return timed

        model._validator = validator

    def taken(self) -> float:
        """Seconds of validation since the last call."""
        spent, self.spent = self.spent, 0.0
        return spent


def in_words(side: dict[str, Any]) -> str:
    """One line about a side."""
    return (
        f"validation {METRIC} {side['best']:.4f}, {side['epoch_seconds']:.1f} s of training an "
        f"epoch, {side['fit_seconds']:.0f} s in all"
    )


if __name__ == "__main__":
    raise SystemExit(main())
