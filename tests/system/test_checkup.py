"""`recae.doctor`: each condition is made, and has to be found; without it, it must not be."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from threadpoolctl import threadpool_limits

import recae
from recae.system import checkup, facts, machine

ROOT = Path(__file__).parents[2]


def found() -> dict[str, checkup.Finding]:
    return {finding.name: finding for finding in recae.doctor().findings}


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Neither the variables of the run, nor several threads of BLAS."""
    for name in facts.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with threadpool_limits(1, user_api="blas"):
        yield


def test_facts_agree_with_their_sources() -> None:
    told = recae.doctor().facts
    for name in ("torch", "numpy", "scipy", "pandas", "scikit-learn", "implicit"):
        assert told["versions"][name].partition("+")[0] == version(name).partition("+")[0]
    assert told["cores"]["usable"] == machine.cores() <= told["cores"]["machine"]
    assert told["threads"]["torch"] == torch.get_num_threads()
    assert {"openmp", "blas"} <= {one["user_api"] for one in told["threads"]["libraries"]}
    assert told["memory"]["free"] <= told["memory"]["total"]
    assert bool(told["gpu"]["seen"]) == torch.cuda.is_available()
    assert json.loads(json.dumps(told)) == told


def test_every_extra_says_what_it_is_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert facts.EXTRAS.keys() == {*project["optional-dependencies"]} - {*facts.FOR_DEVELOPERS}
    told = recae.doctor()
    assert {"plot", "tune"} <= told.facts["extras"].keys() <= facts.EXTRAS.keys()
    assert told.facts["extras"]["plot"]["missing"] == []


def test_an_extra_whose_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = facts.installed
    monkeypatch.setattr(facts, "installed", lambda name: usual(name) if name != "optuna" else None)
    told = recae.doctor()
    assert told.facts["extras"]["tune"]["missing"] == ["optuna"]
    assert "recae[tune]" in str(told) and "recae[plot]" not in str(told)


@pytest.mark.parametrize(
    ("value", "name"), [("99999", "too-many-threads"), ("1", "one-thread"), ("x", None)]
)
def test_threads_of_openmp(
    value: str, name: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    names = {"too-many-threads", "one-thread"}
    assert not names & found().keys()
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    expected = {name} - {None} if name != "one-thread" or machine.cores() > 1 else set()
    assert names & found().keys() == expected
    if name == "too-many-threads":  # within the cores, but above the quota of a container
        (tmp_path / "cpu.max").write_text("100000 100000\n")
        monkeypatch.setattr(machine, "CGROUP_QUOTAS", ((tmp_path / "cpu.max",),))
        monkeypatch.setenv("OMP_NUM_THREADS", "2")
        assert recae.doctor().facts["cores"]["quota"] == 1
        assert found()[name].problem is False


def test_threads_of_blas() -> None:
    assert "nested-blas" not in found()
    with threadpool_limits(2, user_api="blas"):
        assert found()["nested-blas"].problem is False


@pytest.mark.parametrize(("limit", "there"), [(900_000_000, True), (90_000_000_000_000, False)])
def test_memory_of_a_container(
    limit: int, there: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    files = [tmp_path / name for name in ("memory.max", "memory.current", "memory.stat")]
    for file, text in zip(files, (str(limit), "100", "inactive_file 5\n"), strict=True):
        file.write_text(text)
    monkeypatch.setattr(machine, "CGROUP_LIMITS", (files[0],))
    monkeypatch.setattr(machine, "CGROUP_USAGE", ((*files, "inactive_file"),))
    if not there and machine.free_memory() < checkup.LITTLE_MEMORY:
        pytest.skip("this machine has too little memory")
    told = recae.doctor()
    assert ("little-memory" in {one.name for one in told.findings}) == there
    assert not (there and told.healthy)


def test_folders_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RECAE_DATA", str(tmp_path / "new" / "folder"))
    assert "read-only-folder" not in found()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RECAE_DATA", str(tmp_path / "file" / "folder"))
    note = found()["read-only-folder"]
    assert not note.problem and "RECAE_DATA" in note.remedy
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    assert [one.problem for one in recae.doctor().findings if one.name == note.name] == [
        True,
        False,
    ]


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch sees a GPU")
def test_a_gpu_that_torch_does_not_see(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = {"cpu-build", "gpu-driver", "gpu-hidden", "gpu-build"}
    monkeypatch.setattr(facts, "GPU_FILES", (tmp_path / "nvidia0",))
    monkeypatch.setattr(torch.version, "cuda", None)
    assert not names & found().keys()
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    assert names & found().keys() == {"gpu-build"}
    (tmp_path / "nvidia0").touch()
    monkeypatch.setattr(torch.version, "cuda", None)
    assert names & found().keys() == {"cpu-build"} and found()["cpu-build"].problem
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    assert names & found().keys() == {"gpu-driver"} and found()["gpu-driver"].problem
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert names & found().keys() == {"gpu-hidden"}


def test_a_package_that_is_too_old(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert "outdated" not in found()
    for name in ("torch", "matplotlib", "hatchling"):  # needed, optional, and only for developers
        folder = tmp_path / f"{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    told = recae.doctor()
    assert not told.healthy
    said = [one.found for one in told.findings if one.name == "outdated"]
    assert [text.split()[:2] for text in said] == [["torch", "1.0"], ["matplotlib", "1.0"]]


def test_a_broken_package_and_two_runtimes_of_openmp(tmp_path: Path) -> None:
    """In a process of its own: libraries stay loaded, and a package is imported once."""
    gomp = sorted((Path(torch.__file__).parent / "lib").glob("libgomp*.so*"))
    if not gomp:
        pytest.skip("torch brings no libgomp here")
    for name in ("libiomp5.so", "libomp.so"):
        shutil.copy(gomp[0], tmp_path / name)
    (tmp_path / "pandas").mkdir()
    (tmp_path / "pandas" / "__init__.py").write_text("raise OSError('half an\\n installation')")
    script = (
        "import ctypes, torch\nfrom recae import cli\n"
        f"for name in ('libiomp5.so', 'libomp.so'): ctypes.CDLL({str(tmp_path)!r} + '/' + name)\n"
        "raise SystemExit(cli.main(['doctor', '--json']))"
    )
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert done.returncode == 1, done.stderr
    told = json.loads(done.stdout)
    problems = {one["name"]: one["found"] for one in told["findings"] if one["problem"]}
    assert problems.keys() == {"broken", "openmp-runtimes"} and told["healthy"] is False
    assert "OSError" in problems["broken"] and "half an installation" in problems["broken"]
    assert "libiomp" in problems["openmp-runtimes"] and "libomp" in problems["openmp-runtimes"]
    assert told["facts"]["versions"]["pandas"] == version("pandas")


def test_a_source_tree_that_was_never_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "not-installed" not in found()
    monkeypatch.setattr(facts, "__version__", "0+unknown")
    assert found()["not-installed"].problem is False
