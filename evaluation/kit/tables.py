"""Shared parts of docs/results.md: a section, and reading a stored result."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from evaluation.kit.provenance import RESULTS

Table = tuple[str, str, Sequence[str], Iterable[Sequence[str]]]
"""Title, text, head, rows."""


def section(title: str, text: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A heading, some text and a table, as Markdown."""
    lines = [f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows]]
    return "\n".join([f"## {title}\n", text + "\n", *lines, ""])


def has_result(name: str) -> bool:
    """Whether `evaluation/results/NAME.json` exists."""
    return (RESULTS / f"{name}.json").is_file()


def read_result(name: str) -> Any:
    """The content of `evaluation/results/NAME.json`."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
