"""The page of the demo: its links lead somewhere, and names are shown as they are."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from evaluation.demo.page import NEXT, demo_page
from recae import cli


def test_the_page_of_the_demo(tmp_path: Path) -> None:
    table = pd.DataFrame({"ndcg@100": ["0.3 [0.2, 0.4]"]}, index=["EASE"])
    lists = {"User 1": pd.DataFrame({"history": ["<b>Alien</b>"], "recommended": ["* Brazil"]})}
    (tmp_path / "report.html").touch()
    page = demo_page(tmp_path, table, ["said"], lists, {"report.html": "all"})
    assert "&lt;b&gt;Alien&lt;/b&gt;" in page and "* Brazil" in page and "0.3 [0.2, 0.4]" in page
    links = [link for link in re.findall(r'href="([^"]*)"', page) if link != "data:,"]
    assert len(links) == 1 + len(NEXT)
    assert all((tmp_path / link).is_file() for link in links)
    for _, _, command in NEXT:
        assert command.removeprefix("recae ") in cli.COMMANDS and f"<code>{command}" in page
    assert "http://" not in page and "https://" not in page
