"""Writes the model card: a README.md in the format of the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recae.system.machine import __version__


def card(kind: str, doc: str, settings: Mapping[str, Any]) -> str:
    """The Markdown of a card.

    kind: the class; doc: its docstring, of which the card has the first line; settings: the
    hyperparameters `params` and the tables `facts`, {heading: {name: value}}, as far as they exist.
    """
    tables = {"Hyperparameters": settings.get("params", {}), **settings.get("facts", {})}
    needs = ", model=model" if "model" in settings else ""
    return "\n".join(
        [
            "---",
            "library_name: recae",
            "tags:",
            "- recae",
            f"- {kind}",
            "---",
            "",
            f"# {kind}",
            "",
            doc.partition("\n")[0],
            "",
            "```python",
            "import recae",
            "",
            f'loaded = recae.load("this-folder"{needs})',
            "```",
            "",
            *(line for heading, table in tables.items() for line in _table(heading, table)),
            f"Saved by recae {__version__}. `config.json` lists the SHA-256 of the other files, "
            "which `recae.load` compares; this README may be edited.",
            "",
        ]
    )


def _table(heading: str, values: Mapping[str, Any]) -> list[str]:
    if not values:
        return []
    rows = [f"| {name} | {_cell(value)} |" for name, value in values.items()]
    return [f"## {heading}", "", "| name | value |", "|---|---|", *rows, ""]


def _cell(value: Any) -> str:
    shown = f"{value:,}" if type(value) is int else repr(value) if value == "" else str(value)
    return " ".join(shown.replace("|", "\\|").split())
