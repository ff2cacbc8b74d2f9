"""`recae map`: items and users of a saved model, as a page or a picture."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from recae import cli


def run(*arguments: str) -> int:
    return cli.main(arguments)


@pytest.fixture
def model(folder: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A saved model, and titles of its items under another name of the column."""
    settings = ("--model", "pure-svd", "--set", "latent=4", "--with-history", "-q")
    assert run("fit", "plays.parquet", "model", *settings) == 0
    kinds = ["war"] * 12 + ["love"] * 12
    films = pd.DataFrame({"movie": range(100, 124), "title": "A film", "genres": kinds})
    films.to_csv("films.csv", index=False)
    films.rename(columns={"movie": "item_id"}).to_parquet("films.parquet")
    capsys.readouterr()
    return folder


def test_a_page_of_items(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("map", "model", "map.html", "--titles", "films.csv", "--item", "movie") == 0
    said = capsys.readouterr().out
    assert re.search(r"24 items .*map\.html; trustworthiness 0\.", said)
    page = Path("map.html").read_text()
    assert '"groups":["love","war"]' in page and "A film" in page


def test_a_picture_and_json(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ("map.png", "--titles", "films.parquet", "--method", "pca", "--least", "1", "--json")
    assert run("map", "model", *out, "--colour", "users", "--labels", "0") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["path"] == "map.png" and found["points"] == 24 and found["left_out"] == 0
    assert Path("map.png").read_bytes()[:4] == b"\x89PNG"


def test_users(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pd.DataFrame({"user_id": range(60), "age": range(20, 80)}).to_csv("users.csv", index=False)
    options = ("--users", "--about", "users.csv", "--titles", "films.parquet")
    assert run("map", "model", "users.html", *options) == 0
    assert re.search(r"60 users .*users\.html", capsys.readouterr().out)
    page = Path("users.html").read_text()
    assert '"name":"age"' in page and '"name":"genres"' in page
    assert run("map", "model", "u.html", "--users", "--history", "plays.parquet", "-q") == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("model", "map.svg"), 2, r"\.html .*\.png"),
        (("model", "no/map.png"), 4, "no .*exist"),
        (("model", "map.png", "--about", "films.csv"), 2, "--users"),
        (("model", "map.png", "--titles", "films.csv", "--title-id", "id"), 3, "column 'id'"),
        (("model", "map.png", "--titles", "none.csv"), 3, r"none\.csv .*exist"),
        (("model", "map.png", "--colour", "taste"), 2, "colour 'taste'"),
        (("model", "map.png", "--least", "0"), 2, "--least .*0"),
        (("nowhere", "map.png"), 3, "nowhere"),
    ],
)
def test_mistakes(
    model: Path, capsys: pytest.CaptureFixture[str], arguments: tuple, code: int, said: str
) -> None:
    assert run("map", *arguments) == code
    assert re.search(said, capsys.readouterr().err)
    assert not Path("map.png").exists()
