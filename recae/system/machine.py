"""Where a figure comes from: the versions, the processor and the cores behind it."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

try:
    __version__ = version("recae")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"


PACKAGES = ("numpy", "scipy", "pandas", "pyarrow", "implicit")
"""What results depend on, beside Python, torch and recae itself."""


def machine() -> str:
    """Processor and cores, and the GPU if there is one."""
    import torch  # here, because `recae --help` needs none

    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = (line for line in cpuinfo.read_text().splitlines() if line.startswith("model name"))
        name = next(lines, name).split(":")[-1].strip()
    text = f"{name}, {os.cpu_count()} cores"
    if torch.cuda.is_available():
        text += f", {torch.cuda.get_device_name()}"
    return text


def cores() -> int:
    """The cores that this process may run on, which can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def versions() -> dict[str, str]:
    """The versions that a result depends on, by name."""
    import torch

    found = {
        "recae": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": platform.machine(),
    }
    for name in PACKAGES:  # from their metadata: importing implicit would take seconds
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found
