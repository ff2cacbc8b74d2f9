"""Hooks of mkdocs: pages that are made, and links out of docs/.

README.md is the home page, and the changelog, CONTRIBUTING.md, the notebooks and the API reference
become pages.
Pictures of evaluation/results/ that a page shows are copied beside it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

from evaluation.site import notebooks, reference

ROOT = Path(__file__).parents[2]
OUTSIDE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
"""Pages outside docs/ -> their names in the site."""
RECORDS = ("changelog.md", "results.md")
RESULTS = re.compile(r"\]\(\.\./evaluation/results/([^)]+)\)")


def on_config(config: Any) -> Any:
    """Puts the pages of the reference and the migration guides into the navigation."""
    pages = [*reference.PAGES, reference.MODULES]
    made = {
        "reference/": ["reference/index.md", *({p.title: f"reference/{p.file}.md"} for p in pages)],
        "migrate-from-*": sorted(page.name for page in (ROOT / "docs").glob("migrate-from-*.md")),
    }
    filled = [
        {title: made.get(str(target), target)}
        for [(title, target)] in map(dict.items, config["nav"])
    ]
    config["nav"] = [entry for entry in filled if [*entry.values()] != [[]]]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages that are made, and the pictures of results."""
    made = {f"reference/{name}.md": text for name, text in reference.documents().items()}
    made |= notebooks.pages()
    for path, name in OUTSIDE.items():
        made[name] = inside((ROOT / path).read_text(encoding="utf-8"))
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    for page in sorted((ROOT / "docs").glob("*.md")):
        for picture in RESULTS.findall(page.read_text(encoding="utf-8")):
            place = ROOT / "evaluation" / "results" / picture
            name = f"results/{picture}"
            if files.get_file_from_path(name) is None:
                files.append(File.generated(config, name, abs_src_path=str(place)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Points links of a page to what the site has, and puts long records last in the search."""
    if page.file.src_uri in RECORDS:
        page.meta.setdefault("search", {"boost": 0.2})
    for path, name in OUTSIDE.items():
        markdown = markdown.replace(f"](../{path}", f"]({name}")
    return RESULTS.sub(r"](results/\1)", notebooks.to_pages(markdown))


def inside(text: str) -> str:
    """The text of a page at the top of the repository, with the links that it has in the site."""
    for path, name in OUTSIDE.items():
        text = text.replace(f"]({path}", f"]({name}")
    return text.replace("](docs/", "](")
