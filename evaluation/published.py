"""Published figures, from `evaluation/published.toml`."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from recae.report import Published

FILE = Path(__file__).parent / "published.toml"


def read(path: Path = FILE) -> dict[str, Any]:
    """Suite -> its table."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def of(suite: str, model: str) -> dict[str, Published]:
    """Metric -> figure of a model in a suite; the first row that has it."""
    found: dict[str, Published] = {}
    for row in read().get(suite, {}).get("rows", []):
        if row["model"] != model:
            continue
        for metric, value in row["values"].items():
            found.setdefault(
                metric,
                Published(value, row["source"], row.get("comparable", True), row.get("note", "")),
            )
    return found
