"""`recae explain`: the reasons of the library, as text, as JSON and in a file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import recae
from recae import cli


@pytest.fixture
def model(folder: Path, capsys: pytest.CaptureFixture[str]) -> recae.Recommender:
    fit = ("fit", "plays.parquet", "model", "--model", "ease", "--with-history", "-q")
    assert cli.main(fit) == 0
    capsys.readouterr()
    return recae.load("model")


def test_reasons_as_text_have_titles(model, capsys: pytest.CaptureFixture[str]) -> None:
    table = pd.DataFrame({"item_id": range(100, 124), "name": [f"Song {n}" for n in range(24)]})
    table.to_csv("titles.csv", index=False)
    titles = ("--titles", "titles.csv", "--title-column", "name")
    arguments = ("--liked", "112,113,114", "--items", "115", "--top", "2")
    assert cli.main(("explain", "model", *arguments, *titles)) == 0
    first, *reasons, method = capsys.readouterr().out.splitlines()
    assert first.startswith("Song 15") and len(reasons) == 2 and method.startswith("exact")
    weights = model.weights_.numpy()[[12, 13, 14], 15]  # items are 100 to 123 in order
    assert len(model.items_) == 24
    best = np.argsort(-weights)[:2]
    assert [line.split()[1:] for line in reasons] == [["Song", str(12 + n)] for n in best]


def test_reasons_of_known_users_as_json_and_as_a_file(
    model, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(("explain", "model", "--users", "8,7", "--top", "1", "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    history = model.history_.select_users(model.history_.users.encode([8, 7]))
    expected = model.explain(history, top=1).to_frame()
    assert [row["user_id"] for row in found["reasons"]] == expected["user_id"].tolist()
    assert [row["contribution"] for row in found["reasons"]] == expected["contribution"].tolist()
    file = ("--history", "plays.parquet", "--users", "8,7", "--top", "1", "--out", "why.parquet")
    assert cli.main(("explain", "model", *file)) == 0
    pd.testing.assert_frame_equal(pd.read_parquet("why.parquet"), expected, check_dtype=False)
    assert cli.main(("explain", "model", *file)) == 4


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (2, ("--liked", "first")),
        (2, ("--liked", "112", "--users", "7")),
        (2, ("--liked", "112", "--top", "0")),
        (2, ("--liked", "112", "--title-column", "name")),
        (2, ("--liked", "112", "--item", "115")),
        (3, ("--liked", "112", "--items", "999")),
        (3, ("--users", "999")),
        (3, ("--liked", "999")),
        (4, ("--liked", "112", "--out", "plays.parquet")),
        (2, ("--liked", "112", "--out", "why.xlsx")),
    ],
)
def test_mistakes(
    model, capsys: pytest.CaptureFixture[str], code: int, arguments: tuple[str, ...]
) -> None:
    assert cli.main(("explain", "model", *arguments)) == code
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("recae: error: ") and "Traceback" not in last
