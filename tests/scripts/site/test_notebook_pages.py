"""Notebooks become pages with all of their cells, and links lead to the pages."""

from __future__ import annotations

import json
import re
from pathlib import Path

from evaluation.site import notebooks

ROOT = Path(__file__).parents[3]


def test_pages_have_all_cells() -> None:
    config = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    found = notebooks.pages()
    assert found
    for name, page in found.items():
        path = (ROOT / "docs" / name).with_suffix(".ipynb")
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        assert re.findall(r"^```python\n(.*?)\n```$", page, re.MULTILINE | re.DOTALL) == code
        assert page.startswith("# ") and f'href="{path.name}"' in page
        assert all(
            (path.parent / target).is_file() for target in re.findall(r"[\w-]+\.ipynb", page)
        )
        assert f": {name}\n" in config


def test_links_lead_to_pages() -> None:
    text = "[a](notebooks/compare.ipynb) and [b](other.ipynb), [c](compare.md), compare.ipynb"
    assert notebooks.to_pages(text) == (
        "[a](notebooks/compare.md) and [b](other.md), [c](compare.md), compare.ipynb"
    )
