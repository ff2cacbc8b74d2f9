"""What `recae doctor` reads: versions, extras, processor, threads, memory, disk and GPU."""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import shutil
import sys
import tempfile
import warnings
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from types import ModuleType
from typing import Any

from packaging.requirements import Requirement
from threadpoolctl import ThreadpoolController

from recae.system.machine import (
    __version__,
    cache_folder,
    cores,
    cpu_quota,
    free_memory,
    processor,
    total_memory,
)

IMPORTED = ("torch", "numpy", "scipy.linalg", "pandas")
"""Packages that are imported to see whether they work. The others are only looked up."""

EXTRAS = {
    "plot": "figures: `recae evaluate --plot`, `recae map`, figures in reports",
    "completion": "`recae completion` for your shell",
    "tune": "`recae.tune`, `recae.find_best`, `AutoEnsemble`",
    "compress": "`recae.apply.compress`: images as short codes",
    "duckdb": "exports and stores in DuckDB",
    "redis": "exports and stores in Redis",
    "postgresql": "exports and stores in PostgreSQL",
    "ray": "exports by the workers of a Ray cluster",
    "spark": "exports by a Spark cluster",
    "mlflow": "models, curves and results in MLflow",
    "tensorboard": "curves and results in TensorBoard",
    "wandb": "curves and results in Weights & Biases",
    "hub": "models on the Hugging Face hub",
    "onnx": "models as ONNX files",
    "serve": "`recae serve`: recommendations over HTTP",
}
"""What each optional extra is for."""

FOR_DEVELOPERS = ("test", "docs", "dev")
"""Extras that no user of the library needs."""

VARIABLES = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY"),
    *("GOMP_SPINCOUNT", "GOMP_CPU_AFFINITY", "OMP_PROC_BIND", "CUDA_VISIBLE_DEVICES"),
    *("ATEN_CPU_CAPABILITY", "OPENBLAS_CORETYPE", "RECAE_DATA", "TMPDIR"),
)
"""Environment variables that change how fast models are fitted, where, or on what."""

GPU_FILES = (Path("/proc/driver/nvidia/gpus"), Path("/dev/nvidia0"), Path("/dev/dxg"))
"""What Linux shows where an NVIDIA GPU and its driver are; the last one in WSL."""


def gather() -> dict[str, Any]:
    """All facts, as JSON can hold them; sizes are in bytes."""
    modules, broken = import_packages()
    return {
        "versions": package_versions(modules),
        "broken": broken,
        "outdated": outdated(),
        "extras": extras(),
        "place": str(Path(__file__).parents[1]),
        "python": sys.executable,
        "system": platform.platform(),
        "processor": processor(),
        "cores": {"usable": cores(), "machine": os.cpu_count() or 1, "quota": cpu_quota()},
        "threads": threads(modules.get("torch")),
        "environment": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "memory": {"free": free_memory(), "total": total_memory()},
        "disk": {
            "temporary files": disk(temporary_folder()),
            "data sets": disk(cache_folder()),
        },
        "gpu": gpu(modules.get("torch")),
    }


def import_packages() -> tuple[dict[str, ModuleType], dict[str, str]]:
    """The packages of IMPORTED by name, and the error of each that cannot be imported."""
    found, broken = {}, {}
    for name in IMPORTED:
        top = name.partition(".")[0]
        try:
            found[top] = importlib.import_module(name)
        except Exception as error:  # a broken installation raises anything, such as OSError
            broken[top] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return found, broken


def needed() -> list[Requirement] | None:
    """The requirements of recae; None if it was never installed."""
    try:
        return [Requirement(text) for text in requires("recae") or ()]
    except PackageNotFoundError:
        return None


def installed(name: str) -> str | None:
    """The version of a distribution; None without it."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def package_versions(modules: dict[str, ModuleType]) -> dict[str, str | None]:
    """The versions of recae, Python and the packages that recae always needs.

    A package that was imported gives its own version, the others that of their metadata.
    """
    found: dict[str, str | None] = {"recae": __version__, "python": platform.python_version()}
    names = [one.name for one in needed() or () if one.marker is None]
    for name in dict.fromkeys([*(name.partition(".")[0] for name in IMPORTED), *names]):
        module = modules.get(name.partition(".")[0])
        found[name] = str(getattr(module, "__version__", None) or installed(name) or "") or None
    return found


def outdated() -> dict[str, dict[str, str]]:
    """Installed packages that are too old for recae: their version, and what is needed."""
    found = {}
    for one in needed() or ():
        here = installed(one.name)
        if one.marker is not None and not any(
            one.marker.evaluate({"extra": extra}) for extra in EXTRAS
        ):
            continue
        if here is not None and not one.specifier.contains(here, prereleases=True):
            found[one.name] = {"found": here, "needed": str(one.specifier)}
    return found


def extras() -> dict[str, dict[str, Any]]:
    """The extras of recae: what each is for, and which of its packages are missing."""
    found: dict[str, dict[str, Any]] = {}
    for one in needed() or ():
        if one.marker is None or one.marker.evaluate({"extra": ""}):
            continue
        for extra, what in EXTRAS.items():
            if one.marker.evaluate({"extra": extra}):
                entry = found.setdefault(extra, {"for": what, "missing": []})
                if installed(one.name) is None:
                    entry["missing"].append(one.name)
    return found


def threads(torch: ModuleType | None) -> dict[str, Any]:
    """The threads of torch, and the libraries of BLAS and OpenMP that are loaded."""
    libraries = [
        {key: info[key] for key in ("user_api", "prefix", "num_threads", "version", "filepath")}
        for info in ThreadpoolController().info()
    ]
    return {"torch": torch.get_num_threads() if torch else None, "libraries": libraries}


def temporary_folder() -> Path:
    """The folder for temporary files, also where none can be written."""
    try:
        return Path(tempfile.gettempdir())
    except OSError:  # no folder can be written
        return Path(os.environ.get("TMPDIR", os.curdir))


def disk(folder: Path) -> dict[str, Any]:
    """A folder, the free space there, and whether files can be written in it.

    A folder that does not exist is judged by the nearest one above it, in which it would be made.
    """
    there = next(place for place in (folder, *folder.parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            writable = True
    except OSError:
        writable = False
    free = shutil.disk_usage(there).free
    return {"folder": str(folder), "free": free, "writable": writable}


def gpu(torch: ModuleType | None) -> dict[str, Any]:
    """The GPUs that torch computes with; without one, the reason.

    reason: "no GPU", "CPU build" (there is a GPU, and torch was built without CUDA), "hidden" by
    CUDA_VISIBLE_DEVICES, or "driver" with the error of torch.
    """
    build = None if torch is None else torch.version.cuda or torch.version.hip
    found: dict[str, Any] = {"seen": [], "build": build, "reason": None, "error": None}
    if torch is None:
        return found
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of an old driver; the error says the same
        if torch.cuda.is_available():
            count = torch.cuda.device_count()
            return found | {"seen": [torch.cuda.get_device_name(one) for one in range(count)]}
    there = any(file.exists() for file in GPU_FILES)
    if not there:
        return found | {"reason": "no GPU"}
    if build is None:
        return found | {"reason": "CPU build"}
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return found | {"reason": "hidden"}
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        found["error"] = " ".join(str(error).split())[:300]
    return found | {"reason": "driver"}
