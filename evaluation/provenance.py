"""Where a result comes from: machine, peak memory, and the file it is kept in."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from recae.evaluate import versions

RESULTS = Path(__file__).parent / "results"


def peak_gb() -> float:
    """The most memory this process has held so far, in GB (10^9 bytes)."""
    status = Path("/proc/self/status")
    if status.is_file():  # ru_maxrss would count what the process that started this one held
        lines = status.read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def machine() -> str:
    """Processor and cores, and the GPU if there is one."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = (line for line in cpuinfo.read_text().splitlines() if line.startswith("model name"))
        name = next(lines, name).split(":")[-1].strip()
    text = f"{name}, {os.cpu_count()} cores"
    if torch.cuda.is_available():
        text += f", {torch.cuda.get_device_name()}"
    return text


def commit() -> str:
    """The commit that the code stands at, marked when the code has changed since."""

    def git(*arguments: str) -> str:
        folder = Path(__file__).parents[1]
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True)
        return done.stdout.strip()

    # Results that earlier scripts of the same run have written are no change of the code.
    changed = git("status", "--porcelain", "--", ".", ":!evaluation/results")
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + ("-dirty" if changed else "")


def keep(name: str, result: dict[str, Any]) -> Path:
    """Writes a result with its provenance to `evaluation/results/NAME.json`."""
    RESULTS.mkdir(exist_ok=True)
    provenance = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        "versions": versions(),
    }
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(result | {"provenance": provenance}, indent=2) + "\n")
    return path
