"""Offline runs of Weights & Biases, read back with its own records.

Newer versions read the files in Go alone. They are logs of LevelDB: after 7 bytes come blocks of
32 KiB with records of a checksum (4 bytes), a length (2), a type (1) and the content.
"""

from __future__ import annotations

import json
import struct
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import recae
from recae import ConfigError
from tests.tracking.conftest import METRICS, TRIALS, Story, check_curve, check_final, environment

pytest.importorskip("wandb")
BLOCK = 1 << 15
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("wandb")


@pytest.fixture(scope="module")
def told(folder: Path, story: Callable[[Any], Story]) -> Iterator[Story]:
    import wandb

    before = environment()
    told = story(recae.tracking.WandB("plays", folder=folder, metrics=METRICS))
    assert before == environment() and wandb.run is None
    yield told
    wandb.teardown()


@pytest.fixture(scope="module")
def runs(folder: Path, told: Story) -> dict[str, list[dict[str, Any]]]:
    """What is in each file, by the name of the run, the first one first."""
    from wandb.proto import wandb_internal_pb2

    found = defaultdict(list)
    for file in sorted(
        (folder / "wandb").glob("offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime
    ):
        run: dict[str, Any] = {"config": {}, "summary": {}, "curves": defaultdict(list)}
        run["files"] = []
        for data in records(file.read_bytes()):
            record = wandb_internal_pb2.Record.FromString(data)
            kind = record.WhichOneof("record_type")
            if kind == "run":
                run["about"] = record.run
                _update(run["config"], record.run.config.update)
            elif kind == "config":
                _update(run["config"], record.config.update)
            elif kind == "summary":
                _update(run["summary"], record.summary.update)
            elif kind == "history":
                row: dict[str, Any] = {}
                _update(row, record.history.item)
                for name, value in row.items():
                    run["curves"][name].append((row.get("epoch"), value))
            elif kind == "exit":
                run["exit"] = record.exit.exit_code
            elif kind == "request" and record.request.HasField("log_artifact"):
                artifact = record.request.log_artifact.artifact
                run["files"] += [entry.path for entry in artifact.manifest.contents]
            elif kind == "artifact":
                run["files"] += [entry.path for entry in record.artifact.manifest.contents]
        found[run["about"].display_name].append(run)
    return found


def records(content: bytes) -> Iterator[bytes]:
    """The contents of the records; one of type 1 is complete, of type 4 the end of several."""
    assert content.startswith(b":W&B")
    place, parts = 7, []
    while place + 7 <= len(content):
        left = BLOCK - place % BLOCK
        if left < 7:
            place += left
            continue
        length, kind = struct.unpack("<HB", content[place + 4 : place + 7])
        parts.append(content[place + 7 : place + 7 + length])
        place += 7 + length
        if kind in (1, 4):
            yield b"".join(parts)
            parts = []


def _update(into: dict[str, Any], items: Any) -> None:
    for item in items:
        into[item.key or ".".join(item.nested_key)] = json.loads(item.value_json)


def test_all_runs_are_there_and_ended(runs: dict[str, list[dict[str, Any]]]) -> None:
    codes = {name: sorted(run["exit"] for run in some) for name, some in runs.items()}
    trials = {f"trial {n}": [0] for n in range(TRIALS)}
    assert codes == {"EASE": [0], "MultVAE": [0, 1], "tune MultVAE": [0], "test": [0], **trials}
    (search,) = runs["tune MultVAE"]
    for name in trials:
        about = runs[name][0]["about"]
        assert (about.run_group, about.job_type) == (search["about"].run_id, "trial")
        assert about.project == "plays"


def test_a_closed_form_has_parameters_metrics_and_files(
    runs: dict[str, list[dict[str, Any]]], told: Story
) -> None:
    (run,) = runs["EASE"]
    assert run["config"]["l2"] == 3 and run["config"]["seed"] == 5
    assert run["config"]["facts"]["users"] == told.ease.history_.n_users
    check_final(run["summary"], told.measured["EASE"])
    assert {"model/config.json", "model/model.safetensors", "report.md"} <= {*run["files"]}


def test_a_network_has_its_curves(runs: dict[str, list[dict[str, Any]]], told: Story) -> None:
    run = next(run for run in runs["MultVAE"] if not run["exit"])
    check_curve(run["curves"], told.network)
    check_final(run["summary"], told.measured["MultVAE"])


def test_a_search_has_its_trials_and_its_best(
    runs: dict[str, list[dict[str, Any]]], told: Story
) -> None:
    for row in told.tuning.trials.itertuples():
        (trial,) = runs[f"trial {row.number}"]
        assert trial["summary"]["ndcg_at_10"] == pytest.approx(row.value)
        assert trial["config"]["lr"] == row.lr and not trial["files"]
    (run,) = runs["tune MultVAE"]
    assert run["config"]["best.lr"] == told.tuning.params["lr"]
    assert "trials.csv" in run["files"]


def test_bad_options_are_refused() -> None:
    for wrong in ({"project": ""}, {"project": "x", "mode": "sometimes"}):
        with pytest.raises(ConfigError):
            recae.tracking.WandB(**wrong)
