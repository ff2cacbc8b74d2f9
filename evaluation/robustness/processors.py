"""The tests under the kernels of other processors (OpenBLAS, torch, oneDNN, MKL) and two threads.

    python -m evaluation processors           # all settings, all tests: half an hour
    python -m evaluation processors tests/nn tests/models --only OPENBLAS_CORETYPE

Last digits and floating-point flags differ between kernels, and so may a test that relies on them.
A setting is an environment variable. Settings of different libraries do not affect each other, so
each run of pytest combines one setting of each library. With --only each setting has a run of its
own, to find the setting that makes a test fail. Settings that this processor cannot run are left
out: their kernels would end the process. The exit code is 1 if a test failed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[2]

AVX2, AVX512 = frozenset({"avx2", "fma"}), frozenset({"avx512f", "avx512bw", "avx512vl"})

SETTINGS: dict[str, dict[str, frozenset[str]]] = {
    "OMP_NUM_THREADS": {"1": frozenset(), "2": frozenset()},
    "OPENBLAS_CORETYPE": {"Haswell": AVX2, "Zen": AVX2, "SkylakeX": AVX512},
    "ATEN_CPU_CAPABILITY": {"default": frozenset(), "avx2": AVX2, "avx512": AVX512},
    "ONEDNN_MAX_CPU_ISA": {"SSE41": frozenset({"sse4_1"}), "AVX2": AVX2, "AVX512_CORE": AVX512},
    "MKL_ENABLE_INSTRUCTIONS": {
        "SSE4_2": frozenset({"sse4_2"}),
        "AVX2": AVX2,
        "AVX512": AVX512,
    },
}
"""Variables, their values, and the flags of /proc/cpuinfo that the kernels of a value need."""


@dataclass(frozen=True)
class Outcome:
    """What the tests gave under a setting; `failed` names the tests."""

    passed: int
    failed: tuple[str, ...]
    seconds: float


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the settings of each run and the tests that failed; 1 if one did."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tests", nargs="*", default=["tests"], help="what pytest is given")
    parser.add_argument("--only", help="settings that contain this text, such as avx512")
    parser.add_argument("--jobs", type=int, default=2, help="processes of pytest-xdist")
    options = parser.parse_args(argv)
    failed = False
    for setting in runs(options.only):
        found = outcome(setting, options.tests, options.jobs)
        print(*(f"{variable}={value}" for variable, value in setting.items()))
        print(f"    {found.passed:,} passed, {len(found.failed):,} failed, {found.seconds:.0f} s")
        print(*(f"    {name}\n" for name in found.failed), sep="", end="", flush=True)
        failed = failed or bool(found.failed)
    return int(failed)


def runs(only: str | None) -> list[dict[str, str]]:
    """The settings of each run; what the processor cannot run is printed."""
    has, possible = flags(), dict[str, list[str]]()
    for variable, values in SETTINGS.items():
        for value, needed in values.items():
            if only and only.lower() not in f"{variable}={value}".lower():
                continue
            if missing := sorted(needed - has):
                print(f"{variable}={value} left out: no {', '.join(missing)}", flush=True)
            else:
                possible.setdefault(variable, []).append(value)
    if only:
        return [{name: value} for name, values in possible.items() for value in values]
    count = max(map(len, possible.values()))
    return [
        {v: values[run % len(values)] for v, values in possible.items()} for run in range(count)
    ]


def flags(path: Path = Path("/proc/cpuinfo")) -> set[str]:
    """What the processor can do; nothing is known of it where there is no such file."""
    lines = path.read_text().splitlines() if path.is_file() else []
    return {flag for line in lines if line.startswith("flags") for flag in line.split()[2:]}


def outcome(setting: dict[str, str], tests: Sequence[str], jobs: int) -> Outcome:
    """Runs the tests in a process with this setting, on one thread unless it says otherwise."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", *tests, f"--junitxml={report}"]
        command += ["-p", "no:cacheprovider", "-n", str(jobs), "--dist", "worksteal"]
        usual = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
        environment = os.environ | usual | setting
        started = time.perf_counter()
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        seconds = time.perf_counter() - started
        if not report.is_file():
            return Outcome(
                0, (f"pytest ended with the code {done.returncode}: {done.stdout[-500:]}",), seconds
            )
        cases = list(ElementTree.parse(report).iter("testcase"))
    bad = [c for c in cases if c.find("failure") is not None or c.find("error") is not None]
    passed = sum(case.find("skipped") is None for case in cases) - len(bad)
    return Outcome(passed, tuple(f"{c.get('classname')}::{c.get('name')}" for c in bad), seconds)


if __name__ == "__main__":
    raise SystemExit(main())
