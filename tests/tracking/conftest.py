"""One story for every tracker: a closed form, a network, a search, a failed fit, and a report."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import recae

METRICS = ("ndcg@10", "recall@5")
EPOCHS, TRIALS = 3, 2
NETWORK: dict[str, Any] = {"latent": 4, "hidden": (8,), "epochs": EPOCHS, "metric": "ndcg@10"}


@dataclass(frozen=True)
class Story:
    """What happened, as the library itself tells it."""

    ease: recae.Recommender
    network: Any
    tuning: recae.tuning.Tuning
    report: recae.Report
    measured: dict[str, dict[str, float]]  # of the three models, on validation


@pytest.fixture(scope="session")
def story(text_data: recae.Interactions) -> Callable[[recae.training.Tracker], Story]:
    """Runs it with a tracker."""
    split = recae.StrongGeneralization(held_out=0.3).split(text_data)
    train, validation = split.train, split.validation

    def run(tracker: Any) -> Story:
        ease = recae.EASE(l2=3).fit(train, validation, callbacks=tracker, seed=5)
        network = recae.MultVAE(**NETWORK).fit(train, validation, callbacks=[tracker])
        tuning = recae.tune(
            recae.MultVAE(**NETWORK),
            train,
            validation,
            "ndcg@10",
            trials=TRIALS,
            space={"lr": (1e-4, 1e-2)},
            callbacks=tracker,
        )
        report = recae.evaluate(network, split.test, list(METRICS))
        tracker.log(report)

        def fails(epoch: recae.training.Epoch) -> None:
            raise ZeroDivisionError("of the caller")

        with pytest.raises(ZeroDivisionError):
            recae.MultVAE(**NETWORK).fit(train, validation, callbacks=[tracker, fails])
        models = {"EASE": ease, "MultVAE": network, "tune MultVAE": tuning.model}
        measured = {
            name: recae.evaluate(model, validation, list(METRICS)).mean
            for name, model in models.items()
        }
        return Story(ease, network, tuning, report, measured)

    return run


def environment() -> dict[str, str]:
    """The variables of the process but those that torch sets."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TORCH")}


def check_final(found: dict[str, Any], expected: dict[str, float]) -> None:
    """The final metrics of a run are those that `evaluate` gives, under names without an @."""
    for name, value in expected.items():
        assert found[name.replace("@", "_at_")] == pytest.approx(value, rel=1e-5)
    assert found["seconds"] > 0


def check_curve(values: dict[str, list[tuple[int, float]]], network: Any) -> None:
    """The curves of a run are the epochs of the model."""
    for name, of_epoch in {
        "train/loss": lambda epoch: epoch.loss,
        "train/seconds": lambda epoch: epoch.seconds,
        "validation/ndcg_at_10": lambda epoch: epoch.metrics["ndcg@10"],
    }.items():
        steps, numbers = zip(*values[name], strict=True)
        assert steps == tuple(range(1, EPOCHS + 1))
        np.testing.assert_allclose(numbers, [of_epoch(e) for e in network.epochs_], rtol=1e-5)
