"""`recae compare-exports`: a page of text, or the same as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

import recae
from recae import cli


@pytest.fixture
def exports(folder: Path, plays: pd.DataFrame) -> Path:
    """The lists of two models: a folder, and one file with shorter lists."""
    for name, l2, k in (("monday", 1.0, 5), ("tuesday.parquet", 500.0, 3)):
        recae.EASE(l2=l2).fit(plays).export(name, k=k)
    pd.DataFrame({"item_id": range(100, 124), "name": [f"Film {n}" for n in range(24)]}).to_csv(
        "films.csv", index=False
    )
    return folder


def test_the_page_has_the_numbers_and_the_titles(exports: Path, capsys) -> None:
    titles = ("--titles", "films.csv", "--title-column", "name")
    assert cli.main(["compare-exports", "monday", "tuesday.parquet", *titles, "-q"]) == 0
    said = capsys.readouterr()
    found = recae.compare_exports("monday", "tuesday.parquet")
    assert f"{found.overlap:.4f}" in said.out and f"{found.rbo:.4f}" in said.out
    assert "Film " in said.out and "overlap@3" in said.out and said.err == ""
    assert len(found.most_changed) == 10


def test_json_has_all_of_it(exports: Path, capsys) -> None:
    assert cli.main(["compare-exports", "monday", "monday", "-k", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["k"], found["users"], found["overlap"], found["changed"]) == (2, 60, 1, 0)
    assert found["most_changed"] == []
    arguments = ["compare-exports", "monday", "tuesday.parquet", "--most", "2", "--json"]
    assert cli.main(arguments) == 0
    most = json.loads(capsys.readouterr().out)["most_changed"]
    assert len(most) == 2 and most[0]["rbo"] <= most[1]["rbo"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["monday", "wednesday"], 3, "wednesday"),
        (["monday", "plays.parquet"], 3, "plays.parquet"),
        (["monday", "monday", "-k", "9"], 2, "-k|k is 9"),
        (["monday", "monday", "--title-column", "name"], 2, "--titles"),
    ],
)
def test_mistakes(exports: Path, capsys, arguments, code, said) -> None:
    assert cli.main(["compare-exports", *arguments]) == code
    error = capsys.readouterr().err
    assert any(part in error for part in said.split("|")) and "Traceback" not in error
