"""Docstrings of recae as Markdown: an extension of griffe, which mkdocstrings reads them with."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension

CODE = re.compile(r"(`[^`]*`)")
SPECIAL = re.compile(r"([*_<>])")
ITEM = re.compile(r"([-*]|\d+\.) ")


class Markdown(Extension):
    """Turns the text of every docstring into Markdown that shows it as it was meant."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Called for each module, class, function and attribute once it is read."""
        if obj.docstring:
            obj.docstring.value = markdown(obj.docstring.value)


def markdown(text: str) -> str:
    """A docstring as Markdown: examples become blocks of code, and a `*` or `_` stays what it is.

    >>> print(markdown("A x_i * B.\\n\\n>>> 1 + 1\\n2"))
    A x\\_i \\* B.
    <BLANKLINE>
    ```pycon
    >>> 1 + 1
    2
    ```
    """
    parts, before = [], False
    for part in re.split(r"\n\s*\n", text.strip("\n")):
        example = part.startswith(">>> ")
        if example and before:
            parts[-1] = parts[-1].removesuffix("\n```")
            parts.append(f"{part}\n```")
        elif example:
            parts.append(f"```pycon\n{part}\n```")
        else:
            parts.append("\n".join(_line(line) for line in part.split("\n")))
        before = example
    return "\n\n".join(parts)


def _line(line: str) -> str:
    """A line of text with what Markdown would take for its own escaped; indented ones are code."""
    if line.startswith("    "):
        return line
    pieces = CODE.split(line)
    return "".join(p if p.startswith("`") else SPECIAL.sub(r"\\\1", p) for p in pieces)
