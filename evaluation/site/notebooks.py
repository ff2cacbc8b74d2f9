"""Notebooks as pages: their texts and code, without outputs, and a link to the file."""

from __future__ import annotations

import json
import re
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"
LINK = re.compile(r"\]\(((?:notebooks/)?[\w-]+)\.ipynb\)")


def pages() -> dict[str, str]:
    """Page in the site -> its Markdown, for every notebook.

    >>> sorted(pages())[0]
    'notebooks/building-blocks.md'
    """
    return {f"notebooks/{path.stem}.md": markdown(path) for path in sorted(FOLDER.glob("*.ipynb"))}


def markdown(path: Path) -> str:
    """The notebook as Markdown; the link to the file comes after the first text."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    parts = [_part(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    parts.insert(1, f'<a href="{path.name}" download>Download this notebook</a>')
    return "\n\n".join(parts) + "\n"


def to_pages(text: str) -> str:
    """The text with links to the pages in place of links to notebooks.

    >>> to_pages("[one](notebooks/compare.ipynb)")
    '[one](notebooks/compare.md)'
    """
    return LINK.sub(r"](\1.md)", text)


def _part(kind: str, source: str) -> str:
    return f"```python\n{source}\n```" if kind == "code" else to_pages(source)
