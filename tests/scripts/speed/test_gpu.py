"""The script for a GPU: its data, its rates by hand, and all of it in small on the CPU."""

from __future__ import annotations

import argparse
import json
import signal
import time

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import recae
from evaluation.kit import provenance
from evaluation.speed import gpu, gpu_check, gpu_chip
from recae.errors import ConfigError
from recae.training import graph, objective
from recae.training.checkpoint import Checkpoint
from tests.gpu.pretend import PretendGPU

CPU = torch.device("cpu")


def test_the_data_have_their_shape_and_a_long_tail() -> None:
    matrix = gpu_chip.synthetic(500, 1000, 12_000, seed=1)
    assert matrix.shape == (500, 1000) and matrix.nnz == 12_000 and matrix.dtype == np.float32
    assert matrix.has_canonical_format and set(matrix.data) == {1.0}
    assert matrix.getnnz(axis=1).min() >= 1
    items = np.sort(matrix.getnnz(axis=0))[::-1]
    assert items[:100].sum() > 2 * items[-333:].sum()  # a tenth has more than twice a third
    users = np.sort(matrix.getnnz(axis=1))
    assert users[450] > 4 * users[50]
    assert (matrix != gpu_chip.synthetic(500, 1000, 12_000, seed=1)).nnz == 0
    assert (matrix != gpu_chip.synthetic(500, 1000, 12_000, seed=2)).nnz > 0
    for wrong in (499, 50_001):
        with pytest.raises(ConfigError, match="500 users .*200 items"):
            gpu_chip.synthetic(500, 200, wrong)


def test_rates_are_work_over_time(monkeypatch) -> None:
    monkeypatch.setattr(gpu_chip, "best_seconds", lambda run, device, tries: 0.5)
    assert gpu_chip.matrix_rate(10, torch.float32, CPU) == 2 * 10**3 / 0.5
    assert gpu_chip.copy_rate(400, CPU) == 2 * 400 / 0.5
    machine = gpu.Machine(CPU, gpu.DRY, {"float32": 100.0, "copy": 10.0}, argparse.Namespace())
    assert machine.shares(100.0, 20.0, 4.0) == {"float32": 0.25, "copy": 0.5}


def test_flags_of_torch_are_put_back() -> None:
    before = torch.backends.cuda.matmul.allow_tf32
    with pytest.raises(KeyError), gpu_chip.tf32(not before):
        assert torch.backends.cuda.matmul.allow_tf32 is not before
        raise KeyError
    assert torch.backends.cuda.matmul.allow_tf32 is before


def test_the_steps_of_a_closed_form_are_timed_and_left_as_they_were() -> None:
    before = [getattr(module, step) for module, step in gpu.STEPS.values()]
    rows = sp.csr_matrix(np.random.default_rng(0).random((40, 9)) < 0.5)
    with PretendGPU() as pretended, gpu.stepped(torch.device("cuda")) as steps:
        recae.EASE().fit(rows, device="cuda", progress=False)
    assert set(steps) == set(gpu.STEPS) and min(steps.values()) > 0
    assert pretended.count("sync") >= len(gpu.STEPS)
    assert [getattr(module, step) for module, step in gpu.STEPS.values()] == before


def test_the_full_sizes_are_those_of_the_issue() -> None:
    sizes = gpu.Sizes()
    assert sizes.fitted == (116_677, 20_108, 8_500_000)
    assert sizes.served[:2] == (1_000_000, 40_981) and sizes.k == 100
    targets = {name: part.target for name, part in gpu.PARTS.items() if part.target is not None}
    assert targets == {"mult-vae": 0.3, "rec-vae": 120, "ease": 10, "top": 60}
    assert sum(part.limit for part in gpu.PARTS.values()) <= 480


@pytest.fixture
def few_models(monkeypatch) -> None:
    """Checks of three kinds of models; `tests/gpu` has all of them."""
    monkeypatch.setattr(gpu_check, "MODELS", ("pure-svd", "ease", "mult-vae"))
    monkeypatch.setattr(gpu_check, "EPOCHS", 2)
    monkeypatch.setattr(gpu_check, "WIDE", (200, 60, 2_000))


@pytest.mark.usefixtures("forks", "few_models")
def test_a_dry_run_does_all_of_it(capsys, monkeypatch, tmp_path) -> None:
    small = gpu.Sizes((150, 80, 1_500), (200, 120, 2_000), (60, 40, 600), 60, 64, 1, 5)
    monkeypatch.setattr(gpu, "DRY", small)
    assert gpu.main(["--dry-run", "--threads", "1", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    seconds = json.loads(out.splitlines()[-1])
    assert list(seconds) == list(gpu.PARTS)
    assert all(seconds[name] > 0 for name, part in gpu.PARTS.items() if part.target is not None)
    assert "dense / recae" in out and "extrapolated from 1 after" in out
    assert "1,000 rows for 200 users" in out
    kept = json.loads((tmp_path / "speed-gpu.json").read_text())
    assert kept["check"]["missed"] == [] and "scores, ease" in kept["check"]["checks"]
    assert 0 < kept["profile"]["busy"] and "aten::mm" in kept["profile"]["kernels"]


def test_an_epoch_on_a_gpu_is_profiled_with_and_without_graphs(capsys) -> None:
    sizes = gpu.Sizes((150, 80, 1_500))
    with PretendGPU():
        found = gpu.profile(gpu.Machine(torch.device("cuda"), sizes, {}, argparse.Namespace()))
    assert found["batches"] == found["without_graphs"]["batches"] == 1
    assert capsys.readouterr().out.count("replays of CUDA graphs") == 2


def checked_there() -> gpu_check.Found:
    """The checks on the pretended GPU."""
    found: gpu_check.Found = {}
    with PretendGPU():
        gpu_check.checks(torch.device("cuda"), gpu_chip.synthetic(60, 40, 600), found)
    return found


@pytest.mark.usefixtures("few_models")
def test_the_checks_hold_on_the_pretended_gpu(capsys) -> None:
    found = checked_there()
    assert not gpu_check.missed(found) and "MISSED" not in capsys.readouterr().out
    wanted = {"losses of 50 steps, nadam", "scores, ease", "scores, pure-svd", "scores, mult-vae"}
    wanted |= {"scores of a row by itself", "losses after a kill", "epochs after a kill"}
    assert wanted | {"waits of an epoch, mult-vae", "loss of a batch that is cut"} <= set(found)
    for name in ("mult-vae", "mult-dae", "rec-vae"):
        assert found[f"losses of replayed steps, {name}"][0] < 1e-4
        assert found[f"replays a batch, {name}"][0] > 0.9


@pytest.mark.usefixtures("few_models")
def test_the_checks_see_what_is_broken(monkeypatch) -> None:
    def refused(self: object, *_: object) -> None:
        raise RuntimeError("no kernel image")

    def waiting(parts: list, loss: object, parameters: list) -> torch.Tensor:
        value = summed(parts, loss, parameters)
        value.item()
        return value

    summed = objective._summed
    monkeypatch.setattr(gpu_check, "OPTIMISERS", ())
    monkeypatch.setattr(recae.EASE, "_fit", refused)
    monkeypatch.setattr(objective, "_summed", waiting)
    monkeypatch.setattr(graph.Graphs, "_capture", refused)
    monkeypatch.setattr(Checkpoint, "resume", lambda *_: None)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda *_: None)
    patched = list(gpu_check.missed(checked_there()))
    for name in ("scores, ease", "replayed steps, mult-vae"):
        assert any(name in missed and "no kernel image" in missed for missed in patched)
    assert {"waits of an epoch, mult-vae", "epochs after a kill"} <= set(patched)
    assert "scores, pure-svd" not in patched


def test_a_check_is_missed_above_its_most_and_by_what_is_no_number(capsys) -> None:
    found = {"a": (2e-3, 1e-3), "b": (1e-3, 1e-3), "c": (float("nan"), 1.0), "d": (9.0, None)}
    assert list(gpu_check.missed(found)) == ["a", "c"]
    gpu_check.tell(found)
    lines = capsys.readouterr().out.splitlines()
    assert [("MISSED" in line) for line in lines] == [True, False, True, False]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no such clock")
def test_a_part_that_takes_too_long_or_fails_is_left(monkeypatch, capsys) -> None:
    def broken(machine: gpu.Machine) -> dict:
        raise RuntimeError("no kernel image")

    slow = gpu.Part(lambda machine: time.sleep(60) or {}, None, 0.05)
    monkeypatch.setattr(gpu, "chip", lambda *_: {"copy": 1.0})
    monkeypatch.setitem(gpu.PARTS, "ease", slow)
    monkeypatch.setitem(gpu.PARTS, "top", gpu.Part(broken, 60.0, 5))
    assert gpu.main(["--dry-run", "--parts", "ease", "top", "chip"]) == 1
    out = capsys.readouterr().out
    assert out.count("FAILED") == 2 and "0.05 s" in out and "no kernel image" in out
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL


def test_a_run_that_is_stopped_keeps_its_finished_parts(monkeypatch, tmp_path) -> None:
    def stopped(machine: gpu.Machine) -> dict:
        raise KeyboardInterrupt

    monkeypatch.setattr(gpu, "chip", lambda *_: {"copy": 1.0})
    monkeypatch.setitem(gpu.PARTS, "ease", gpu.Part(stopped, None, 5))
    monkeypatch.setenv("PATH", "")  # a machine without git
    provenance.commit.cache_clear()
    with pytest.raises(KeyboardInterrupt):
        gpu.main(["--dry-run", "--out", str(tmp_path), "--parts", "chip", "ease"])
    provenance.commit.cache_clear()
    kept = json.loads((tmp_path / "speed-gpu.json").read_text())
    assert kept["chip"]["rates"] == {"copy": 1.0} and "ease" not in kept
    assert kept["provenance"]["commit"] == "unknown"


def test_without_a_gpu_nothing_is_claimed(monkeypatch, capsys) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(gpu, "keep", lambda *_: pytest.fail("kept what was not measured"))
    assert gpu.main([]) == 0
    assert capsys.readouterr().out.startswith("not run: ")
