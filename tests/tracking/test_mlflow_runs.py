"""Runs in a local store of MLflow, read back with its client."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import recae
from recae import ConfigError
from recae.errors import StorageError
from tests.tracking.conftest import METRICS, TRIALS, Story, check_curve, check_final, environment

pytest.importorskip("mlflow")
pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own, which change with its versions


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        yield recae.mlflow.library().MlflowClient((tmp_path_factory.mktemp("m") / "runs").as_uri())


@pytest.fixture(scope="module")
def told(client: Any, story: Callable[[Any], Story]) -> Story:
    mlflow = recae.mlflow.library()
    before = (environment(), mlflow.get_tracking_uri(), mlflow.active_run())
    told = story(recae.tracking.MLflow("plays", uri=client.tracking_uri, metrics=METRICS))
    assert before == (environment(), mlflow.get_tracking_uri(), mlflow.active_run())
    return told


@pytest.fixture(scope="module")
def runs(client: Any, told: Story) -> dict[str, list[Any]]:
    """The runs by name, the first one first."""
    experiment = client.get_experiment_by_name("plays")
    found = defaultdict(list)
    for run in reversed(client.search_runs([experiment.experiment_id])):
        found[run.info.run_name].append(run)
    return found


def test_all_runs_are_there_and_ended(runs: dict[str, list[Any]]) -> None:
    status = {name: sorted(run.info.status for run in some) for name, some in runs.items()}
    trials = {f"trial {n}": ["FINISHED"] for n in range(TRIALS)}
    assert status == {
        "EASE": ["FINISHED"],
        "MultVAE": ["FAILED", "FINISHED"],
        "tune MultVAE": ["FINISHED"],
        "test": ["FINISHED"],
        **trials,
    }
    (search,) = runs["tune MultVAE"]
    for name in trials:
        assert runs[name][0].data.tags["mlflow.parentRunId"] == search.info.run_id
    (failed,) = (run for run in runs["MultVAE"] if run.info.status == "FAILED")
    assert failed.data.tags["recae.reason"] == "of the caller"


def test_a_closed_form_has_parameters_facts_and_metrics(
    runs: dict[str, list[Any]], told: Story
) -> None:
    (run,) = runs["EASE"]
    assert float(run.data.params["l2"]) == 3 and run.data.params["seed"] == "5"
    assert {*told.ease.get_params()} <= {*run.data.params}
    assert run.data.tags["recae.users"] == str(told.ease.history_.n_users)
    assert run.data.tags["recae.data"] == told.ease.history_.fingerprint()
    check_final(run.data.metrics, told.measured["EASE"])


def test_a_network_has_its_curves(client: Any, runs: dict[str, list[Any]], told: Story) -> None:
    (run,) = (run for run in runs["MultVAE"] if run.info.status == "FINISHED")
    names = ("train/loss", "train/seconds", "validation/ndcg_at_10")
    history = {name: client.get_metric_history(run.info.run_id, name) for name in names}
    curves = {name: [(m.step, m.value) for m in points] for name, points in history.items()}
    check_curve(curves, told.network)
    check_final(run.data.metrics, told.measured["MultVAE"])


def test_a_search_has_its_trials_and_its_best(
    client: Any, runs: dict[str, list[Any]], told: Story, tmp_path: Path
) -> None:
    table = told.tuning.trials
    for row in table.itertuples():
        (trial,) = runs[f"trial {row.number}"]
        assert trial.data.metrics["ndcg_at_10"] == pytest.approx(row.value)
        assert float(trial.data.params["lr"]) == row.lr
        losses = client.get_metric_history(trial.info.run_id, "train/loss")
        assert len(losses) == row.epochs
        assert not client.list_artifacts(trial.info.run_id)
    (run,) = runs["tune MultVAE"]
    assert float(run.data.params["best.lr"]) == told.tuning.params["lr"]
    assert run.data.metrics["trials"] == TRIALS
    check_final(run.data.metrics, told.measured["tune MultVAE"])
    kept = client.download_artifacts(run.info.run_id, "trials.csv", str(tmp_path))
    pd.testing.assert_series_equal(pd.read_csv(kept)["value"], table["value"], check_dtype=False)


def test_the_model_and_its_report_are_kept(
    client: Any, runs: dict[str, list[Any]], told: Story, tmp_path: Path
) -> None:
    (run,) = runs["EASE"]
    folder = Path(client.download_artifacts(run.info.run_id, "", str(tmp_path)))
    loaded = recae.mlflow.load_model(str(folder / "model"))
    assert loaded.fingerprint() == told.ease.fingerprint()
    lists = (
        recae.mlflow.library()
        .pyfunc.load_model(str(folder / "model"))
        .predict([{"history": loaded.items_.ids[:2].tolist()}])
    )
    assert len(lists) == 10
    assert "recall@5" in (folder / "report.md").read_text()
    (logged,) = runs["test"]
    assert logged.data.params["model"] == told.report.model
    assert logged.data.metrics["recall_at_5"] == pytest.approx(told.report["recall@5"])


def test_a_store_that_cannot_be_reached_ends_the_fit_before_it_begins(
    text_data: recae.Interactions, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    tracker = recae.tracking.MLflow("x", uri=(tmp_path / "file").as_uri())
    with pytest.raises(StorageError, match="MLflow"):
        recae.EASE().fit(text_data, callbacks=tracker)


@pytest.mark.parametrize("wrong", [{"experiment": ""}, {"uri": 3}, {"metrics": "nonsense@3"}])
def test_bad_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        recae.tracking.MLflow(**{"experiment": "x", **wrong})
