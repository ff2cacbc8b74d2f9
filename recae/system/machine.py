"""Facts about the machine: free memory, processor, and the versions of libraries."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from recae.errors import CapacityError, ConfigError

BATCH_CELLS = 1 << 22
"""Default number of values that a step of a computation holds at a time: 16 MB of float32. That is
large enough to hide the cost of a call and small against any matrix of scores."""

CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
CGROUP_USAGE = tuple(
    (limit, limit.with_name(usage), limit.with_name("memory.stat"), cache)
    for limit, usage, cache in zip(
        CGROUP_LIMITS,
        ("memory.current", "memory.usage_in_bytes"),
        ("inactive_file", "total_inactive_file"),
        strict=True,
    )
)
"""For each limit the memory in use, and where the part of it is said that is a cache of files."""
CGROUP_QUOTAS = (
    (Path("/sys/fs/cgroup/cpu.max"),),
    (
        Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"),
        Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
    ),
)
"""Where Linux says how many microseconds of computing in which period a container has."""


def rows_that_fit(width: int, cells: int = BATCH_CELLS) -> int:
    """Rows of `width` numbers that are computed together: `cells` numbers, but at least one row.

    >>> rows_that_fit(20_000)
    209
    """
    return max(cells // max(width, 1), 1)


def row_batches(rows: int, width: int, cells: int = BATCH_CELLS) -> Iterator[slice]:
    """Slices that cut `rows` rows of `width` numbers into batches of `rows_that_fit`.

    >>> list(row_batches(5, 10, cells=20))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    step = rows_that_fit(width, cells)
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def total_memory() -> int:
    """Bytes of memory that this process may use: the machine's, or its container's if less."""
    if sys.platform == "win32":
        return _windows_memory().total
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for path in CGROUP_LIMITS:
        try:
            total = min(total, int(path.read_text()))
        except (OSError, ValueError):  # no such limit, or the word "max"
            continue
    return total


def free_memory() -> int:
    """Bytes of memory that this process may still take: free or easily freed, in the machine and in
    its container."""
    if sys.platform == "win32":
        return _windows_memory().free
    free = total_memory()
    info = Path("/proc/meminfo")
    if info.is_file():
        lines = info.read_text().splitlines()
        known = next((line for line in lines if line.startswith("MemAvailable")), None)
        free = min(free, int(known.split()[1]) * 1024) if known is not None else free
    for limit, usage, facts, cache in CGROUP_USAGE:
        try:
            most, used = int(limit.read_text()), int(usage.read_text())
            lines = facts.read_text().splitlines()
            cached = next((int(one.split()[1]) for one in lines if one.startswith(f"{cache} ")), 0)
        except (OSError, ValueError):  # no such limit, or the word "max"
            continue
        free = min(free, most - used + cached)
    return max(free, 0)


class _MemoryStatus(ctypes.Structure):
    """MEMORYSTATUSEX of Windows: bytes, after its own size and the load in percent."""

    _fields_ = [
        ("size", ctypes.c_uint32),
        ("load", ctypes.c_uint32),
        ("total", ctypes.c_uint64),
        ("free", ctypes.c_uint64),
        ("page_file", ctypes.c_uint64 * 2),
        ("virtual", ctypes.c_uint64 * 3),
    ]
    total: int
    free: int


def _windows_memory() -> _MemoryStatus:
    status = _MemoryStatus(size=ctypes.sizeof(_MemoryStatus))
    if sys.platform == "win32":
        ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
    return status


def peak_gb() -> float:
    """The most memory this process has held so far, in GB (10^9 bytes); NaN where unknown."""
    status = Path("/proc/self/status")
    if status.is_file():  # ru_maxrss would include the memory of the parent process
        lines = status.read_text().splitlines()
        held = next((line for line in lines if line.startswith("VmHWM")), None)
        if held is not None:
            return int(held.split()[1]) * 1024 / 1e9
    if sys.platform == "win32":
        return float("nan")
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


@contextmanager
def enough_memory(what: str) -> Iterator[None]:
    """Turns the out-of-memory errors of all libraries into a CapacityError."""
    try:
        yield
    except CapacityError:
        raise
    except (MemoryError, RuntimeError) as error:  # torch raises the latter
        if not out_of_memory(error):
            raise
        text = " ".join(str(error).split())
        raise CapacityError(
            f"{what} does not fit in memory ({text[:200]}): take fewer users or items at once, or "
            "smaller layers"
        ) from error


def out_of_memory(error: Exception) -> bool:
    """Whether an error is an out-of-memory error of numpy, or of torch on any device."""
    text = " ".join(str(error).split())
    return isinstance(error, MemoryError) or any(sign in text for sign in _SIGNS)


_SIGNS = ("out of memory", "allocate memory", "not enough memory", "STATUS_ALLOC_FAILED")


try:
    __version__ = version("recae")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"


PACKAGES = ("numpy", "scipy", "pandas", "pyarrow", "implicit")
"""Libraries that results depend on, beside Python, torch and recae itself."""


def gpu_room(device: Any) -> int:
    """Bytes that a computation may still take on a GPU: those that are free, and those that torch
    holds for later and does not use."""
    import torch  # here, because `recae --help` needs none

    free, _ = torch.cuda.mem_get_info(device)
    held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(free + held)


def machine() -> str:
    """Processor and cores, and the GPU if there is one."""
    import torch  # here, because `recae --help` needs none

    text = f"{processor()}, {os.cpu_count()} cores"
    if torch.cuda.is_available():
        text += f", {torch.cuda.get_device_name()}"
    return text


def processor() -> str:
    """The name of the processor."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = (line for line in cpuinfo.read_text().splitlines() if line.startswith("model name"))
        name = next(lines, name).split(":")[-1].strip()
    return name


def cores() -> int:
    """The cores that this process may use: those of its affinity, or the quota of its container if
    that is less. That can be fewer than the machine has."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux
    found = len(affinity(0)) if affinity else os.cpu_count() or 1
    return min(found, cpu_quota() or found)


def cpu_quota() -> int | None:
    """The cores whose time the container of this process may use, rounded up; None without such a
    limit."""
    for files in CGROUP_QUOTAS:
        try:
            quota, period = " ".join(file.read_text() for file in files).split()
            if int(quota) > 0:  # -1 is no limit
                return -(-int(quota) // int(period))
        except (OSError, ValueError):  # no such file, or the word "max"
            continue
    return None


def cache_folder() -> Path:
    """The folder that holds a folder for each named data set: RECAE_DATA, else below the user's
    caches."""
    chosen = os.environ.get("RECAE_DATA")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        caches = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        caches = Path.home() / "Library" / "Caches"
    else:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "recae"


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        return False
    return True


def check_can_draw() -> None:
    """Raises ConfigError without matplotlib."""
    if not can_draw():
        raise ConfigError('plots need matplotlib: pip install "recae[plot]"')


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
