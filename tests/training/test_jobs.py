"""Trackers: what they are told of every kind of job, and that their errors lose no training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import recae
from recae import ConfigError, RecaeWarning
from recae.errors import StorageError
from recae.training import Epoch, Job, Result, Tracker

SMALL: dict[str, Any] = {"latent": 2, "hidden": (4,), "epochs": 3, "metric": "ndcg@5"}


class Notes(Tracker):
    """Notes what it is told, and fails where it is asked to."""

    def __init__(self, fails: str = "") -> None:
        self.fails, self.seen, self.results = fails, list[str](), list[Result]()

    def _note(self, what: str) -> None:
        self.seen.append(what)
        if self.fails and what.startswith(self.fails):
            raise OSError("the store is gone")

    def start(self, job: Job) -> None:
        self._note(f"start {job.kind} {job.name}")

    def __call__(self, epoch: Epoch) -> None:
        self._note(f"epoch {epoch.number}")

    def end(self, job: Job, result: Result) -> None:
        self.results.append(result)
        self._note(f"end {job.kind} {job.name} {result.state}")


FITTED = ["start fit MultVAE", "epoch 1", "epoch 2", "epoch 3", "end fit MultVAE complete"]


def test_a_fit_is_told_with_its_epochs_and_its_model(text_data: Any) -> None:
    notes = Notes()
    model = recae.MultVAE(**SMALL).fit(text_data, callbacks=notes)
    assert notes.seen == FITTED
    assert notes.results[0].model is model and notes.results[0].seconds > 0


def test_a_model_without_epochs_is_told_without_a_warning(text_data: Any) -> None:
    notes = Notes()
    recae.EASE().fit(text_data, callbacks=[notes])
    assert notes.seen == ["start fit EASE", "end fit EASE complete"]
    with pytest.warns(RecaeWarning, match="callbacks"):  # functions are never called
        recae.EASE().fit(text_data, callbacks=[notes, lambda epoch: None])


def test_a_transformer_is_told_too() -> None:
    notes = Notes()
    X = np.random.default_rng(0).normal(size=(40, 5)).astype("float32")
    recae.Autoencoder(latent=2, hidden=(), epochs=2).fit(X, callbacks=notes)
    kind, *epochs, end = notes.seen
    assert (kind, end) == ("start fit Autoencoder", "end fit Autoencoder complete")
    assert epochs == ["epoch 1", "epoch 2"]


def test_the_members_of_an_ensemble_are_jobs_inside_its_own(text_data: Any) -> None:
    notes = Notes()
    members = ("EASE()", "MultVAE(latent=2, hidden=(4,), epochs=1)")
    recae.Ensemble(members=members).fit(text_data, callbacks=notes)
    inner = ["start fit EASE", "end fit EASE complete", FITTED[0], "epoch 1", FITTED[-1]]
    assert notes.seen == ["start fit Ensemble", *inner, "end fit Ensemble complete"]


def test_a_search_is_told_with_its_trials(text_data: Any) -> None:
    split = recae.data.splits.holdout_pairs(text_data, 0.3)
    notes, numbers = Notes(), list[int]()
    tuning = recae.tune(
        recae.MultVAE(**SMALL),
        split.train,
        split.validation,
        "ndcg@5",
        trials=2,
        space={"lr": [1e-3, 1e-2]},
        halving=False,
        callbacks=[notes, lambda epoch: numbers.append(epoch.number)],
    )
    epochs = FITTED[1:-1]
    first = ["start trial trial 0", *epochs, "end trial trial 0 complete"]
    second = ["start trial trial 1", *epochs, "end trial trial 1 complete"]
    ends = "end tune tune MultVAE complete"
    assert notes.seen == ["start tune tune MultVAE", *first, *second, ends]
    assert numbers == [1, 2, 3, 1, 2, 3]
    result = notes.results[-1]
    assert result.model is tuning.model and result.metrics["ndcg@5"] == tuning.value
    assert result.params == {"best.lr": tuning.params["lr"]}
    told = [result.metrics["ndcg@5"] for result in notes.results[:2]]
    assert told == tuning.trials["value"].tolist()


def test_an_error_at_the_start_ends_the_fit_before_it_begins(text_data: Any) -> None:
    first, notes = Notes(), Notes(fails="start")
    with pytest.raises(StorageError, match="Notes"):
        recae.MultVAE(**SMALL).fit(text_data, callbacks=[first, notes])
    assert first.seen == ["start fit MultVAE", "end fit MultVAE failed"]


@pytest.mark.parametrize("fails", ["epoch 2", "end"])
def test_a_later_error_is_a_warning_and_loses_nothing(text_data: Any, fails: str) -> None:
    notes, other = Notes(fails), Notes()
    plain = recae.MultVAE(**SMALL).fit(text_data, seed=3)
    with pytest.warns(RecaeWarning, match="Notes") as caught:
        model = recae.MultVAE(**SMALL).fit(text_data, seed=3, callbacks=[notes, other])
    assert len([w for w in caught if issubclass(w.category, RecaeWarning)]) == 1
    assert model.fingerprint() == plain.fingerprint()
    assert other.seen == FITTED
    # It is told no more epochs, and the end once more.
    assert notes.seen == (FITTED if fails == "end" else [*FITTED[:3], FITTED[-1]])


def test_an_error_inside_a_search_loses_no_trial(text_data: Any) -> None:
    split = recae.data.splits.holdout_pairs(text_data, 0.3)
    notes = Notes(fails="start trial trial 0")
    with pytest.warns(RecaeWarning, match="Notes"):
        tuning = recae.tune(
            recae.EASE(), split.train, split.validation, "ndcg@5", trials=3, callbacks=notes
        )
    assert tuning.trials["state"].tolist() == ["complete"] * 3
    ended = "end tune tune EASE complete"
    assert notes.seen == ["start tune tune EASE", "start trial trial 0", ended]


def test_failed_and_interrupted_fits_are_told(text_data: Any) -> None:
    def raises(error: BaseException) -> Any:
        def callback(epoch: Epoch) -> None:
            raise error

        return callback

    for error, state in ((ValueError("bad"), "failed"), (KeyboardInterrupt(), "interrupted")):
        notes = Notes()
        with pytest.raises(type(error)):
            recae.MultVAE(**SMALL).fit(text_data, callbacks=[notes, raises(error)])
        assert notes.seen[-1] == f"end fit MultVAE {state}"


def test_a_resumed_training_tells_the_epochs_before(text_data: Any, tmp_path: Path) -> None:
    def kill(epoch: Epoch) -> None:
        if epoch.number == 2:
            raise ZeroDivisionError

    place = tmp_path / "state"
    with pytest.raises(ZeroDivisionError):
        recae.MultVAE(**SMALL).fit(text_data, checkpoint=place, callbacks=kill)
    notes = Notes()
    recae.MultVAE(**SMALL).fit(text_data, checkpoint=place, callbacks=notes, progress=False)
    assert notes.seen == FITTED


def test_what_is_neither_function_nor_tracker_is_refused(text_data: Any) -> None:
    for wrong in (3, Notes, [Notes(), "mlflow"]):
        with pytest.raises(ConfigError, match="callbacks"):
            recae.MultVAE(**SMALL).fit(text_data, callbacks=wrong)
