"""What is wrong with an installation or a machine, each finding with its remedy."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from recae.errors import explained
from recae.system.facts import gather

LITTLE_MEMORY, LITTLE_DISK = 10**9, 10**9
"""Bytes of free memory and of free disk below which a fit may not end."""


@dataclass(frozen=True)
class Finding:
    """One finding of `recae.doctor`: what was found, what it does, and the remedy.

    problem: results may be wrong, or a fit fails or takes many times as long; otherwise it is a
    note. name: a short name that does not change, for scripts.

    >>> Finding("cpu-build", True, "torch has no GPU support.", "Install torch for CUDA.").problem
    True
    """

    name: str
    problem: bool
    found: str
    remedy: str

    def __str__(self) -> str:
        return f"{'problem' if self.problem else 'note'}: {self.found} {self.remedy}"


@dataclass(frozen=True)
class Checkup:
    """The result of `recae.doctor`; `print` shows it as text.

    facts: versions, extras, processor, threads, memory, disk and GPU, as JSON can hold them; sizes
    are in bytes. findings: problems first, then notes.

    >>> Checkup({"cores": {"usable": 2}}, []).healthy
    True
    """

    facts: dict[str, Any]
    findings: list[Finding]

    @property
    def healthy(self) -> bool:
        """Whether there is no problem; notes do not count."""
        return not any(finding.problem for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """The result as `recae doctor --json` prints it.

        >>> [*Checkup({}, []).to_dict()]
        ['healthy', 'findings', 'facts']
        """
        findings = [asdict(finding) for finding in self.findings]
        return {"healthy": self.healthy, "findings": findings, "facts": self.facts}

    def __str__(self) -> str:
        width = max((len(name) for name, _ in _lines(self.facts)), default=0)
        lines = [f"{name:<{width}}  {text}" for name, text in _lines(self.facts)]
        problems = sum(finding.problem for finding in self.findings)
        counts = f"{_count(problems, 'problem')}, {_count(len(self.findings) - problems, 'note')}"
        return "\n".join([*lines, "", counts, *map(str, self.findings)])


@explained
def doctor() -> Checkup:
    """Examines the installation and the machine: versions, extras, threads, memory, disk, GPU.

    Nothing is changed, and nothing is sent. It imports torch, numpy, scipy and pandas, which takes
    most of its seconds.

    >>> found = recae.doctor()
    >>> found.facts["versions"]["recae"] == recae.__version__
    True
    """
    facts = gather()
    findings = [finding for check in CHECKS for finding in check(facts)]
    return Checkup(facts, sorted(findings, key=lambda finding: not finding.problem))


def _broken(facts: dict[str, Any]) -> Iterator[Finding]:
    for name, error in facts["broken"].items():
        yield Finding(
            "broken",
            True,
            f"{name} cannot be imported: {error}.",
            f"Install it again: pip install --force-reinstall {name}",
        )


def _outdated(facts: dict[str, Any]) -> Iterator[Finding]:
    for name, about in facts["outdated"].items():
        yield Finding(
            "outdated",
            True,
            f"{name} {about['found']} is installed, and recae needs {name}{about['needed']}.",
            f'Update it: pip install --upgrade "{name}{about["needed"]}"',
        )


def _not_installed(facts: dict[str, Any]) -> Iterator[Finding]:
    if facts["versions"]["recae"].startswith("0+"):
        yield Finding(
            "not-installed",
            False,
            f"recae runs from {facts['place']} and was never installed: its extras and the "
            "versions that it needs are unknown.",
            "Run `pip install .` in its folder.",
        )


def _gpu(facts: dict[str, Any]) -> Iterator[Finding]:
    """A GPU that torch cannot use, or a build for GPUs without one."""
    gpu, torch = facts["gpu"], facts["versions"].get("torch")
    if gpu["reason"] == "CPU build":
        yield Finding(
            "cpu-build",
            True,
            f"This machine has a GPU, but torch {torch} is a build for CPUs: models are fitted on "
            "the CPU.",
            "Install a build for CUDA; https://pytorch.org/get-started/locally names the command.",
        )
    elif gpu["reason"] == "driver":
        error = f" ({gpu['error']})" if gpu["error"] else ""
        yield Finding(
            "gpu-driver",
            True,
            f"This machine has a GPU, but torch {torch} for CUDA {gpu['build']} cannot use "
            f"it{error}: models are fitted on the CPU.",
            f"Update the NVIDIA driver to one for CUDA {gpu['build']}, or install a torch for the "
            "CUDA version that nvidia-smi shows.",
        )
    elif gpu["reason"] == "hidden":
        yield Finding(
            "gpu-hidden",
            False,
            "CUDA_VISIBLE_DEVICES hides the GPU of this machine.",
            "Unset it to fit models on the GPU.",
        )
    elif gpu["reason"] == "no GPU" and gpu["build"] is not None:
        yield Finding(
            "gpu-build",
            False,
            f"torch {torch} is a build for GPUs, and no GPU is found here. It works, but takes "
            "gigabytes of disk for nothing.",
            "The build for CPUs is smaller: pip install torch --index-url "
            "https://download.pytorch.org/whl/cpu",
        )


def _openmp_threads(facts: dict[str, Any]) -> Iterator[Finding]:
    """OMP_NUM_THREADS above the cores that may be used, or 1."""
    usable, text = facts["cores"]["usable"], facts["environment"].get("OMP_NUM_THREADS", "")
    asked = re.match(r"\s*(\d+)", text)
    if asked is None:
        return
    if int(asked[1]) > usable:
        yield Finding(
            "too-many-threads",
            False,
            f"OMP_NUM_THREADS is {text}, and this process may use {_count(usable, 'core')}: more "
            "threads than cores take turns on them.",
            f"Unset it, or set it to {usable}.",
        )
    elif int(asked[1]) == 1 < usable:
        yield Finding(
            "one-thread",
            False,
            f"OMP_NUM_THREADS is 1: models are fitted on one of {usable} cores.",
            "Unset it, unless other processes need the cores.",
        )


def _nested_blas(facts: dict[str, Any]) -> Iterator[Finding]:
    """Threads of BLAS beside those of implicit."""
    if facts["versions"].get("implicit") is None:
        return
    many = [
        one
        for one in facts["threads"]["libraries"]
        if one["user_api"] == "blas" and one["num_threads"] > 1
    ]
    if many:
        yield Finding(
            "nested-blas",
            False,
            f"{many[0]['prefix']} has {many[0]['num_threads']} threads. recae limits them itself "
            "while it calls implicit. In a program of your own that calls implicit, they compete "
            "with the threads of implicit, which warns of slow fits.",
            "Start such a program with OPENBLAS_NUM_THREADS=1 (MKL_NUM_THREADS=1 with MKL).",
        )


def _openmp_runtimes(facts: dict[str, Any]) -> Iterator[Finding]:
    """Several OpenMP libraries in one process. Two copies of the same one are usual with pip, and
    are no finding."""
    runtimes = {
        one["prefix"]: one["filepath"]
        for one in facts["threads"]["libraries"]
        if one["user_api"] == "openmp"
    }
    if len(runtimes) < 2:
        return
    both = {"libiomp", "libomp"} <= runtimes.keys()
    what = (
        "A program with the runtimes of Intel and of LLVM can hang or crash."
        if both
        else "Each has threads of its own, which compete for the cores."
    )
    files = ", ".join(f"{name} ({path})" for name, path in sorted(runtimes.items()))
    yield Finding(
        "openmp-runtimes",
        both,
        f"{_count(len(runtimes), 'OpenMP runtime')} are loaded: {files}. {what}",
        "Install torch, numpy and scipy from one source: all with pip, or all with conda.",
    )


def _memory(facts: dict[str, Any]) -> Iterator[Finding]:
    free, total = facts["memory"]["free"], facts["memory"]["total"]
    if free < LITTLE_MEMORY:
        yield Finding(
            "little-memory",
            True,
            f"{_gigabytes(free)} of {_gigabytes(total)} of memory are free: the system may end a "
            "fit or move its memory to disk.",
            "End other programs, or raise the memory limit of the container.",
        )


def _disk(facts: dict[str, Any]) -> Iterator[Finding]:
    """Folders that cannot be written, or with little room."""
    for what, about in facts["disk"].items():
        scratch = what == "temporary files"
        change = "TMPDIR" if scratch else "RECAE_DATA"
        if not about["writable"]:
            yield Finding(
                "read-only-folder",
                scratch,
                f"The folder for {what}, {about['folder']}, cannot be written"
                f"{'' if scratch else ': data sets by name cannot be downloaded'}.",
                f"Set {change} to a folder that can be written.",
            )
        elif about["free"] < LITTLE_DISK:
            yield Finding(
                "little-disk",
                False,
                f"{_gigabytes(about['free'])} are free for {what} in {about['folder']}.",
                f"Set {change} to a folder with more room.",
            )


CHECKS: tuple[Callable[[dict[str, Any]], Iterator[Finding]], ...] = (
    *(_broken, _outdated, _not_installed, _gpu, _openmp_threads, _nested_blas),
    *(_openmp_runtimes, _memory, _disk),
)


def _lines(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The facts as pairs of a name and a text; those that are absent are omitted."""
    if "versions" not in facts:
        return
    yield "recae", f"{facts['versions']['recae']} in {facts['place']}"
    yield "python", f"{facts['versions']['python']} ({facts['python']}) on {facts['system']}"
    others = [name for name in facts["versions"] if name not in ("recae", "python")]
    yield "packages", ", ".join(f"{name} {facts['versions'][name] or 'missing'}" for name in others)
    whole = [name for name, about in facts["extras"].items() if not about["missing"]]
    yield "extras", ", ".join(whole) or "none"
    for name, about in facts["extras"].items():
        if about["missing"]:
            yield f"  no {name}", f'{about["for"]} (pip install "recae[{name}]")'
    cores = facts["cores"]
    quota = "" if cores["quota"] is None else f", quota of the container {cores['quota']}"
    of = f"{cores['usable']} of {_count(cores['machine'], 'core')} usable{quota}"
    yield "processor", f"{facts['processor']}, {of}"
    libraries = (
        f"{one['prefix']}{' ' + one['version'] if one['version'] else ''} {one['num_threads']}"
        for one in facts["threads"]["libraries"]
    )
    yield "threads", ", ".join([f"torch {facts['threads']['torch']}", *libraries])
    if facts["environment"]:
        yield "variables", ", ".join(f"{k}={v}" for k, v in facts["environment"].items())
    memory = facts["memory"]
    yield "memory", f"{_gigabytes(memory['free'])} of {_gigabytes(memory['total'])} free"
    for what, about in facts["disk"].items():
        yield "disk", f"{_gigabytes(about['free'])} free for {what} in {about['folder']}"
    gpu = facts["gpu"]
    yield "gpu", ", ".join(gpu["seen"]) or f"none for torch: {gpu['reason'] or 'no torch'}"


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
