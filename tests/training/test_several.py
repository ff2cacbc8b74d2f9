"""Two processes that train one model, beside one process: the same curves, models and files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file

import recae
from recae.errors import ConfigError, TrainingError
from recae.nn import Ranks, Shard
from recae.training import Run, several
from recae.training.pieces import read_pieces, write_pieces
from recae.training.several import current_ranks
from tests.training.processes import (
    CLOSED,
    DATA,
    FEW,
    FOLD,
    MODELS,
    MORE,
    RESUMED,
    closed,
    fitted,
    numbers,
    results,
)

pytestmark = [
    pytest.mark.skipif(not dist.is_available(), reason="torch has no distributed package"),
    pytest.mark.filterwarnings("ignore::recae.RecaeWarning"),
]
ROUNDING = 1e-6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("processes")


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    return {name: fitted(name) for name in MODELS}


@pytest.fixture(scope="module")
def notes(folder: Path) -> list[dict[str, Any]]:
    for name in RESUMED:
        with pytest.raises(KeyError, match="stopped"):
            fitted(name, callbacks=stop, checkpoint=folder / f"one {name}")
    return results(folder)


def stop(epoch: recae.training.Epoch) -> None:
    if epoch.number == 1:
        raise KeyError("stopped")


@pytest.mark.parametrize("name", MODELS)
def test_the_curve_and_the_model_are_those_of_one_process(
    name: str, notes: list[dict[str, Any]], alone: dict[str, Any], folder: Path
) -> None:
    ours, theirs = np.array(notes[0][name]), np.array(numbers(alone[name]))
    np.testing.assert_array_equal(ours, notes[1][name])
    np.testing.assert_allclose(ours[:, 0], theirs[:, 0], rtol=ROUNDING)
    np.testing.assert_allclose(ours[:, 1], theirs[:, 1], rtol=1e-5)
    together = recae.load(folder / name)
    # Weights whose gradient is only rounding differ under NAdam; scores of the histories do not.
    np.testing.assert_allclose(
        together.score(FOLD.train), alone[name].score(FOLD.train), rtol=1e-3, atol=1e-4
    )


def test_each_process_holds_its_items_of_the_wide_layers(notes: list[dict[str, Any]]) -> None:
    # 31 items: 15 and 16 of them; hidden layers of 9, and a code of 6 numbers.
    for rank, items in enumerate((15, 16)):
        held = notes[rank]["held"]
        assert held["encoder.0.weight"] == held["decoder.head.weight"] == items * 9
        assert held["decoder.head.bias"] == items
        assert held["code.mu.weight"] == 6 * 9


@pytest.mark.parametrize("name", CLOSED)
def test_processes_share_the_gram_matrix_of_a_closed_form(
    name: str, notes: list[dict[str, Any]], folder: Path
) -> None:
    together, alone = recae.load(folder / name), closed(name)
    assert torch.equal(together.weights_, alone.weights_)
    n = 15 if name == "ease over users" else 31
    assert notes[0][f"sent {name}"] == 0
    # Process 1 computes about half of the strips, which are half of the matrix and a little more.
    assert 0.1 * n**2 < notes[1][f"sent {name}"] < 0.4 * n**2


@pytest.mark.parametrize("name", RESUMED)
def test_a_checkpoint_goes_from_two_processes_to_one_and_back(
    name: str, notes: list[dict[str, Any]], alone: dict[str, Any], folder: Path
) -> None:
    whole = numbers(alone[name])
    np.testing.assert_allclose(notes[0][f"resumed {name}"], whole, rtol=ROUNDING)
    assert [note[f"stopped {name}"] for note in notes] == [1, 1]  # Ctrl-C in one of them
    resumed = numbers(fitted(name, checkpoint=folder / f"two {name}"))
    np.testing.assert_allclose(resumed, whole, rtol=ROUNDING)


def test_ctrl_c_after_the_last_batch_is_not_lost(notes: list[dict[str, Any]]) -> None:
    assert [note["stopped late"] for note in notes] == [2, 2]


def test_batches_of_fewer_rows_than_processes(notes: list[dict[str, Any]]) -> None:
    for name in ("mult-vae", "macrid-vae", "cdae"):
        model = MODELS[name](batch_size=1, epochs=1)
        model.fit(FEW, seed=1, device="cpu", progress=False)
        np.testing.assert_allclose(notes[0][f"single {name}"], numbers(model), rtol=ROUNDING)


@pytest.mark.parametrize("name", ["seed", "data", "hyperparameters"])
def test_processes_that_fit_different_things_end_alike(
    name: str, notes: list[dict[str, Any]]
) -> None:
    assert [note[name][:2] for note in notes] == [["ConfigError", name]] * 2
    assert notes[0][name] == notes[1][name]


def test_what_several_processes_cannot_do_is_refused_by_all(notes: list[dict[str, Any]]) -> None:
    for name in ("alone", "few items", "tune"):
        assert [note[name][0] for note in notes] == ["ConfigError"] * 2
    assert [note["divergence"][0] for note in notes] == ["TrainingError"] * 2
    assert notes[0]["score"] is None
    assert notes[1]["score"][0] == "NotFittedError"


def test_no_process_waits_for_one_whose_script_catches_an_error(
    notes: list[dict[str, Any]],
) -> None:
    assert [note["callback"][0] for note in notes] == ["KeyError", "TrainingError"]
    assert [note["parted"][0] for note in notes] == ["TrainingError"] * 2


def test_a_killed_process_ends_the_others_and_one_process_goes_on(
    notes: list[dict[str, Any]], alone: dict[str, Any], folder: Path
) -> None:
    assert notes[0]["killed"][0] == "TrainingError"
    assert notes[0]["seconds"] < 120  # the timeout: a lost connection is noticed before it
    assert "killed" not in notes[1]
    resumed = fitted("mult-vae", checkpoint=folder / "killed")
    np.testing.assert_allclose(numbers(resumed), numbers(alone["mult-vae"]), rtol=ROUNDING)


def test_a_file_in_pieces_is_that_of_safetensors(tmp_path: Path) -> None:
    tensors = {
        "weight": torch.randn(5, 3),
        "step": torch.tensor(3.0),
        "mask": torch.tensor([True, False, True]),
        "rows": torch.arange(4),
        "none": torch.empty(0, 2),
    }
    metadata = {"about": '{"ü": 1}'}
    save_file(tensors, tmp_path / "theirs", metadata)
    write_pieces(tmp_path / "ours", tensors, lambda name, shape: None, metadata, Ranks())
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    read = read_pieces(tmp_path / "ours", lambda name, shape: None)
    assert all(
        torch.equal(read[name], tensor) for name, tensor in load_file(tmp_path / "ours").items()
    )


@pytest.mark.parametrize("size", [2, 3])
def test_any_number_of_processes_reads_its_parts_of_a_file(size: int, tmp_path: Path) -> None:
    tensors = {"rows": torch.randn(5, 3), "columns": torch.randn(2, 5), "step": torch.tensor(3.0)}
    save_file(tensors, tmp_path / "kept")

    def shards(rank: int) -> Any:
        dims = {"rows": 0, "columns": 1}
        ranks = Ranks(rank, size)
        return lambda name, shape: (
            Shard(ranks, shape[dims[name]], dims[name]) if name in dims else None
        )

    parts = [read_pieces(tmp_path / "kept", shards(rank)) for rank in range(size)]
    assert torch.equal(torch.cat([part["rows"] for part in parts]), tensors["rows"])
    assert torch.equal(torch.cat([part["columns"] for part in parts], 1), tensors["columns"])
    assert all(part["step"] == 3 for part in parts)


def test_a_process_alone_has_nobody_to_wait_for() -> None:
    ranks, rows = Ranks(), torch.arange(3.0)
    ranks.wait()
    assert ranks.told("a") == "a" and ranks.all_told("a") == ["a"]
    for found in (
        ranks.summed(rows),
        ranks.largest(rows),
        ranks.joined(rows, 3),
        ranks.split(rows),
    ):
        assert torch.equal(found, rows)
    ranks.copy(rows)


def test_processes_that_are_not_connected_cannot_wait_for_each_other() -> None:
    with pytest.raises(TrainingError, match="not connected"):
        Ranks(0, 2).wait()


def test_without_torchrun_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    with recae.distributed() as ranks:
        assert (ranks.rank, ranks.size) == (0, 1)
        assert current_ranks() is None and not dist.is_initialized()
        model = MODELS["elsa"](**MORE).fit(FOLD.train, progress=False)
    assert model.score(FOLD.train).shape == (47, 31)


@pytest.mark.parametrize("value", ["", "two", "-1", "1.5"])
def test_an_environment_that_is_not_torchruns(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", value)
    with pytest.raises(ConfigError) as caught, recae.distributed():
        pass
    assert caught.value.parameter == "WORLD_SIZE"


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), "long", None])
def test_the_timeout_is_checked(timeout: Any) -> None:
    with pytest.raises(ConfigError) as caught, recae.distributed(timeout):
        pass
    assert caught.value.parameter == "timeout"


def test_a_size_without_a_rank_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setenv("WORLD_SIZE", "4")
    with recae.distributed() as ranks:
        assert ranks.size == 1 and not dist.is_initialized()


def test_a_rank_beyond_the_size_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError) as caught, recae.distributed():
        pass
    assert caught.value.parameter == "RANK"


def torchrun(monkeypatch: pytest.MonkeyPatch, gpus: int) -> dict[str, Any]:
    """What process 1 of two, on a machine with so many GPUs, asks of torch, which does nothing."""
    asked: dict[str, Any] = {"device": []}
    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.setenv(name, "1")
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: (asked["device"] or [0])[-1])
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: asked["device"].append(device))
    monkeypatch.setattr(
        dist, "init_process_group", lambda backend, **more: asked.update(backend=backend, **more)
    )
    store = dist.HashStore()
    monkeypatch.setattr(dist, "rendezvous", lambda *given, **more: iter([(store, 1, 2)]))
    monkeypatch.setattr(several, "_STORES", {})
    return asked


def test_with_a_gpu_for_each_process_tensors_travel_by_nccl(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = torchrun(monkeypatch, gpus=2)
    with recae.distributed(timeout=7) as ranks:
        assert (ranks.rank, ranks.size) == (1, 2)
        run = Run.checked(0, "auto", print, True, None)
        assert run.device == torch.device("cuda", 1)
        assert run.ranks == ranks and not run.callbacks and run.progress is False
    assert asked["backend"] == "cpu:gloo,cuda:nccl"
    assert asked["timeout"].total_seconds() == 7
    assert asked["device"] == [1, 0]  # its own, and afterwards the one as before
    assert current_ranks() is None


def test_without_a_gpu_they_travel_by_gloo(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = torchrun(monkeypatch, gpus=0)
    with recae.distributed():
        assert Run.checked(0, "auto", (), None, None).device == torch.device("cpu")
    assert asked["backend"] == "gloo" and not asked["device"]


def test_fewer_gpus_than_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    torchrun(monkeypatch, gpus=1)
    with pytest.raises(ConfigError, match="2 processes .* 1 GPUs"), recae.distributed():
        pass


def test_a_termination_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    torchrun(monkeypatch, gpus=0)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(TrainingError, match="process 1 of 2"), recae.distributed():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.slow
def test_the_command_line_under_torchrun(tmp_path: Path) -> None:
    rows = [(f"u{user}", f"i {item}") for user, item in zip(*DATA.matrix.nonzero(), strict=True)]
    table = tmp_path / "a table %.parquet"
    pd.DataFrame(rows, columns=["user_id", "item_id"]).to_parquet(table)
    out = tmp_path / "a model"
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"),
        *("-m", "recae", "fit", str(table), str(out), "--model", "elsa", "--set", "epochs=2"),
        *("--checkpoint", str(tmp_path / "kept"), "--json"),
    ]
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["epochs"][-1]["number"] == 2  # of one process
    assert recae.load(out).recommend(history=["i 1"], k=3).shape[0] == 3
    assert not (tmp_path / "kept").exists()
    other = [*command[:7], "evaluate", str(table), "--models", "elsa"]
    done = subprocess.run(other, env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.count("recae: error") == 2
