"""Provenance of a result: commit, machine, versions; and writing results to files."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from recae.system.machine import machine, peak_gb, versions

__all__ = ["RESULTS", "commit", "keep", "machine", "peak_gb"]

RESULTS = Path(__file__).parents[1] / "results"


@cache
def commit() -> str:
    """The commit of the running code, with "-dirty" if files have changed since.

    It is cached at the first call in a process, so that later commits do not affect it.
    """

    def git(*arguments: str) -> str:
        folder = Path(__file__).parents[2]
        try:
            done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True)
        except OSError:  # a machine without git
            return ""
        return done.stdout.strip()

    # Results that earlier scripts of the same run have written do not change the code.
    changed = git("status", "--porcelain", "--", ".", ":!evaluation/results")
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + ("-dirty" if changed else "")


def keep(name: str, result: dict[str, Any], folder: Path | None = None) -> Path:
    """Writes a result with its provenance to NAME.json in a folder, by default
    `evaluation/results`."""
    folder = RESULTS if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    provenance = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        "versions": versions(),
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps(result | {"provenance": provenance}, indent=2) + "\n")
    return path
