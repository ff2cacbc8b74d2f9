"""Waiting threads sleep, and a container's quota is kept; the process stays as it was."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from threadpoolctl import ThreadpoolController

from recae.system import machine, openmp
from recae.system.openmp import SETTINGS, WITHIN_QUOTA
from recae.system.threads import survives_fork

SCRIPT = """
import os, threading
import torch
from recae.system.openmp import let_threads_sleep
before = len(os.listdir("/proc/self/task"))
done, threads = let_threads_sleep(), torch.get_num_threads()
started = len(os.listdir("/proc/self/task")) - before
print(done, started, threads, threading.active_count(), let_threads_sleep())
"""


def answers(**settings: str) -> list[str]:
    usual = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=usual | settings, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are not listed")
@pytest.mark.skipif(openmp._gnu_openmp() is None, reason="torch has another OpenMP")
def test_more_openmp_threads_than_cores_are_held_and_none_of_them_computes() -> None:
    done, started, threads, python_threads, again = answers(OMP_NUM_THREADS="2")
    assert (done, threads, python_threads, again) == ("True", "2", "2", "True")
    assert int(started) >= max(os.cpu_count() or 1, 2)


@pytest.mark.parametrize("name", SETTINGS)
def test_the_choice_of_the_user_counts(name: str) -> None:
    chosen = {"OMP_WAIT_POLICY": "active", "GOMP_SPINCOUNT": "7"}[name]
    done, started, *_ = answers(**{name: chosen})
    assert (done, started) == ("False", "0")


@pytest.mark.parametrize(
    "files, cores",
    [
        (["150000 100000\n"], 2),
        (["400000 100000\n"], 4),
        (["max 100000\n"], None),
        (["-1\n", "100000\n"], None),
        (["50000\n", "100000\n"], 1),
        (["nonsense"], None),
        ([], None),
    ],
)
def test_the_quota_of_a_container(
    files: list[str], cores: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / str(number) for number in range(max(len(files), 1))]
    for path, text in zip(paths, files, strict=False):
        path.write_text(text)
    monkeypatch.setattr(machine, "CGROUP_QUOTAS", (tuple(paths),))
    assert machine.cpu_quota() == cores
    assert machine.cores() <= (cores or machine.cores())


def numbers() -> list[int]:
    """The threads of torch and of every BLAS."""
    blas = ThreadpoolController().select(user_api="blas").info()
    return [torch.get_num_threads(), *(info["num_threads"] for info in blas)]


def test_within_a_quota_there_are_no_more_threads_and_afterwards_as_many_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usual = torch.get_num_threads()
    torch.set_num_threads(3)
    before = numbers()
    monkeypatch.setattr(openmp, "_quota", lambda: 1)
    try:
        with pytest.raises(KeyError), WITHIN_QUOTA:
            assert set(numbers()) == {1}
            with WITHIN_QUOTA:
                assert set(numbers()) == {1}
            assert survives_fork(numbers)() == numbers()
            raise KeyError
        assert numbers() == before
        assert set(survives_fork(numbers)()) == {1}
        assert numbers() == before
        monkeypatch.setattr(openmp, "_quota", lambda: 5)
        with WITHIN_QUOTA:
            assert numbers() == before
    finally:
        torch.set_num_threads(usual)
