"""The script for a GPU: its data, its rates by hand, and all of it in small on the CPU."""

from __future__ import annotations

import argparse
import json

import numpy as np
import pytest
import torch

from evaluation.kit import provenance
from evaluation.speed import gpu, gpu_chip
from recae.errors import ConfigError

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


def test_the_full_sizes_are_those_of_the_issue() -> None:
    sizes = gpu.Sizes()
    assert sizes.fitted == (116_677, 20_108, 8_500_000)
    assert sizes.served[:2] == (1_000_000, 40_981) and sizes.k == 100
    most = {name: target for name, (_, target) in gpu.PARTS.items()}
    assert most == {"chip": None, "mult-vae": 0.3, "rec-vae": 120, "ease": 10, "top": 60}


@pytest.mark.usefixtures("forks")
def test_a_dry_run_does_all_of_it(capsys, monkeypatch) -> None:
    monkeypatch.setattr(gpu, "DRY", gpu.Sizes((150, 80, 1_500), (200, 120, 2_000), 60, 64, 1, 5))
    assert gpu.main(["--dry-run", "--threads", "1"]) == 0
    out = capsys.readouterr().out
    seconds = json.loads(out.splitlines()[-1])
    assert list(seconds) == list(gpu.PARTS) and seconds.pop("chip") is None
    assert all(value > 0 for value in seconds.values())
    assert "dense / recae" in out and "extrapolated from 1 after" in out
    assert "1,000 rows for 200 users" in out


def test_a_run_that_is_stopped_keeps_its_finished_parts(monkeypatch, tmp_path) -> None:
    def stopped(machine: gpu.Machine) -> dict:
        raise KeyboardInterrupt

    monkeypatch.setattr(gpu, "chip", lambda *_: {"copy": 1.0})
    monkeypatch.setitem(gpu.PARTS, "ease", (stopped, None))
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
