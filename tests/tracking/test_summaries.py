"""Runs as files of TensorBoard, read back with its event accumulator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import recae
from recae.errors import StorageError
from tests.tracking.conftest import METRICS, TRIALS, Story, check_curve, check_final, environment

pytest.importorskip("tensorboard")
pytestmark = pytest.mark.filterwarnings("ignore")  # TensorBoard's own


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("boards") / "runs"


@pytest.fixture(scope="module")
def told(folder: Path, story: Callable[[Any], Story]) -> Story:
    tracker = recae.tracking.TensorBoard(folder, metrics=METRICS)
    before = environment()
    told = story(tracker)
    assert before == environment()
    return told


def events(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder)).Reload()


def scalars(found: Any) -> dict[str, list[tuple[int, float]]]:
    return {
        name: [(event.step, event.value) for event in found.Scalars(name)]
        for name in found.Tags()["scalars"]
    }


def hparams(found: Any) -> dict[str, Any]:
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    content = found.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    data = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in data.items()}


def test_each_run_has_a_folder(folder: Path, told: Story) -> None:
    runs = {path.parent.relative_to(folder).as_posix() for path in folder.rglob("events.*")}
    trials = {f"tune-MultVAE-1/trial-{n}" for n in range(TRIALS)}
    assert runs == {"EASE-1", "MultVAE-1", "MultVAE-2", "tune-MultVAE-1", "test-1"} | trials


def test_a_closed_form_has_parameters_metrics_model_and_report(folder: Path, told: Story) -> None:
    found = events(folder / "EASE-1")
    assert hparams(found)["l2"] == 3 and hparams(found)["seed"] == 5
    last = {name: values[-1][1] for name, values in scalars(found).items()}
    check_final(last, told.measured["EASE"])
    model = recae.load(folder / "EASE-1" / "model")
    assert model.fingerprint() == told.ease.fingerprint()
    assert "recall@5" in (folder / "EASE-1" / "report.md").read_text()


def test_a_network_has_its_curves(folder: Path, told: Story) -> None:
    found = scalars(events(folder / "MultVAE-1"))
    check_curve(found, told.network)
    check_final({n: v[-1][1] for n, v in found.items()}, told.measured["MultVAE"])


def test_a_search_has_its_trials_and_its_best(folder: Path, told: Story) -> None:
    search = folder / "tune-MultVAE-1"
    for row in told.tuning.trials.itertuples():
        found = events(search / f"trial-{row.number}")
        assert scalars(found)["ndcg_at_10"][0][1] == pytest.approx(row.value, rel=1e-5)
        assert hparams(found)["lr"] == row.lr
        assert len(scalars(found)["train/loss"]) == row.epochs
    assert hparams(events(search))["best.lr"] == told.tuning.params["lr"]
    assert recae.load(search / "model").fingerprint() == told.tuning.model.fingerprint()


def test_how_a_run_ended_is_in_its_texts(folder: Path, told: Story) -> None:
    found = events(folder / "MultVAE-2").Tensors("state/text_summary")
    assert found[0].tensor_proto.string_val == [b"failed of the caller"]


def test_a_folder_that_cannot_be_made_ends_the_fit_before_it_begins(
    text_data: recae.Interactions, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    tracker = recae.tracking.TensorBoard(tmp_path / "file" / "runs")
    with pytest.raises(StorageError, match="folder"):
        recae.EASE().fit(text_data, callbacks=tracker)
