"""The API reference has every public name once, and mkdocs.yml every page."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

import recae
from evaluation.kit.public import offered
from evaluation.site import reference

ROOT = Path(__file__).parents[3]


def test_every_public_name_is_in_one_page() -> None:
    listed = Counter(name for names in reference.contents().values() for name in names)
    top = {f"recae.{name}" for name in recae.__all__}
    assert set(listed) == top | {where for where, _ in offered().values()}
    assert set(listed.values()) == {1}


def test_the_pages_show_what_they_list() -> None:
    pages = reference.documents()
    for file, names in reference.contents().items():
        assert re.findall(r"^::: (\S+)$", pages[file], re.MULTILINE) == names
    linked = re.findall(r"\]\((\w+)\.md#([\w.]+)\)", pages["index"])
    shown = {(page, name) for page, names in reference.contents().items() for name in names}
    assert {*linked} == {pair for pair in shown if pair[0] != reference.MODULES.file}


def test_models_show_their_hyperparameters() -> None:
    page = reference.documents()["linear"]
    _, _, ease = page.partition("::: recae.EASE\n")
    row = next(line for line in ease.splitlines() if line.startswith("| `l2` |"))
    assert row.split("|")[2].strip() == f"`{recae.EASE().l2:.12g}`"
    assert "`EASE.preset('paper')`" in ease.partition(":::")[0]


def test_a_module_without_a_page_is_found() -> None:
    with pytest.raises(LookupError, match=r"recae\.novelty"):
        reference.page_of("recae.novelty")
    assert reference.page_of("recae.recommend.export.opened").file == "export"
    assert reference.page_of("recae.recommend.base").file == "recommender"


def test_every_page_of_the_docs_is_in_the_navigation() -> None:
    config = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = re.findall(r": ([\w-]+\.md)$", config.partition("\nnav:\n")[2], re.MULTILINE)
    made = {"index.md", "changelog.md", "contributing.md"}
    pages = {page.name for page in (ROOT / "docs").glob("*.md")}
    guides = {name for name in pages if name.startswith("migrate-from-")}
    assert max(Counter(listed).values()) == 1
    assert {*listed} == (pages - guides) | made
