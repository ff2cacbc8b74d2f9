"""Where a result comes from: commit, machine, versions, and the file it is kept in."""

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
    """The commit that the code stands at, marked when the code has changed since.

    Of the first call in a process, so that what is committed during a run is not taken for it.
    """

    def git(*arguments: str) -> str:
        folder = Path(__file__).parents[2]
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
