"""Waiting threads sleep, and a container's quota is kept; the process stays as it was."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
import torch
from threadpoolctl import ThreadpoolController

from recae.system import machine, openmp
from recae.system.openmp import COMPUTING, SETTINGS
from recae.system.threads import survives_fork

TASKS = openmp.TASKS
gnu = pytest.mark.skipif(
    not TASKS.is_dir() or openmp.gnu_openmp() is None, reason="threads are not listed, or not GNU's"
)


def tasks() -> int:
    return len(list(TASKS.iterdir()))


@gnu
def test_a_team_has_a_thread_for_each_core_until_it_ends() -> None:
    library = openmp.gnu_openmp()
    assert library is not None
    before, threads = tasks(), torch.get_num_threads()
    team = openmp.Team(library)
    assert tasks() - before >= max(os.cpu_count() or 1, 2)
    assert torch.get_num_threads() == threads
    team.end()
    for _ in range(100):
        if tasks() <= before:
            break
        time.sleep(0.05)
    assert tasks() <= before


@gnu
def test_a_team_is_held_as_long_as_threads_wait_for_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds, waiting = [0.0], [True]

    def waited() -> float:
        seconds[0] += 10.0 * waiting[0]
        return seconds[0]

    held: list[str] = []

    class Team:
        def __init__(self, library: object) -> None:
            held.append("held")

        def end(self) -> None:
            held.append("let go")

    monkeypatch.setattr(openmp, "waited", waited)
    monkeypatch.setattr(openmp, "Team", Team)
    monkeypatch.setattr(openmp, "EVERY", 0.01)
    monkeypatch.setattr(openmp, "_quota", lambda: None)
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    computing = openmp._Computing()
    try:
        with computing:
            for expected in ("held", "let go"):
                for _ in range(500):
                    if held[-1:] == [expected]:
                        break
                    time.sleep(0.01)
                waiting[0] = False
        assert held == ["held", "let go"]
    finally:
        computing.at_work.clear()


@pytest.mark.parametrize("name", SETTINGS)
def test_the_choice_of_the_user_counts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "7")
    before = threading.active_count()
    with openmp._Computing():
        assert threading.active_count() == before


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
        with pytest.raises(KeyError), COMPUTING:
            assert set(numbers()) == {1}
            with COMPUTING:
                assert set(numbers()) == {1}
            assert survives_fork(numbers)() == numbers()
            raise KeyError
        assert numbers() == before
        assert set(survives_fork(numbers)()) == {1}
        assert numbers() == before
        monkeypatch.setattr(openmp, "_quota", lambda: 5)
        with COMPUTING:
            assert numbers() == before
    finally:
        torch.set_num_threads(usual)
