"""`recae export-similar`, and `recae export` with --since and --dry-run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

import recae
from recae import cli


def run(*arguments: str) -> int:
    return cli.main(arguments)


@pytest.fixture
def model(folder: Path, plays: pd.DataFrame) -> recae.EASE:
    fitted = recae.EASE().fit(plays)
    fitted.save("model")
    pd.DataFrame({"item_id": range(100, 124), "title": [f"Film {n}" for n in range(24)]}).to_csv(
        "films.csv", index=False
    )
    return fitted


def test_similar_items_are_written(model: recae.EASE, capsys) -> None:
    options = ("-k", "3", "--items", "100,101,102,103,104", "--titles", "films.csv", "--json")
    assert run("export-similar", "model", "similar", *options) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 24 * 3
    found = pd.read_parquet("similar")
    expected = model.similar_items(model.items_.ids, k=3, items=[100, 101, 102, 103, 104])
    for column in expected:
        assert found[column].tolist() == expected[column].tolist()
    assert found["title"].tolist() == [f"Film {item - 100}" for item in found["similar_item_id"]]
    assert run("export-similar", "model", "similar.parquet", "-k", "2", "-q") == 0
    assert len(pd.read_parquet("similar.parquet")) == 24 * 2


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("model", "similar.csv"), 2, ".parquet"),
        (("model", "films.csv/x"), 4, "films.csv"),
        (("nothing", "similar"), 3, "nothing"),
        (("model", "similar", "--items", "7"), 3, "7"),
        (("model", "similar", "-k", "0"), 2, "k"),
    ],
)
def test_mistakes(model, capsys, arguments, code, said) -> None:
    assert run("export-similar", *arguments) == code
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error and not Path("similar").exists()


def test_lists_since_an_earlier_export(model: recae.EASE, plays: pd.DataFrame, capsys) -> None:
    history = ("--history", "plays.parquet")
    assert run("export", "model", "monday", *history, "-k", "4", "-q") == 0
    changed = pd.concat([plays, pd.DataFrame({"user_id": [3], "item_id": [101]})])
    changed["timestamp"] = 1
    changed.to_parquet("tuesday.parquet")
    history = ("--history", "tuesday.parquet")
    assert run("export", "model", "tuesday", *history, "-k", "4", "--since", "monday") == 0
    assert re.search(r"59 of 60 .*monday", capsys.readouterr().err)
    model.export("full", changed, k=4)
    found, expected = pd.read_parquet("tuesday"), pd.read_parquet("full")
    assert found["item_id"].tolist() == expected["item_id"].tolist()
    assert run("export", "model", "x", *history, "-k", "5", "--since", "monday") == 2
    error = capsys.readouterr().err
    assert "options.k" in error and "--since" in error
    assert run("export", "model", "monday", *history, "--since", "monday", "--overwrite") == 4


def test_a_dry_run_writes_nothing(model, capsys) -> None:
    before = sorted(Path().rglob("*"))
    dry = ("export", "model", "lists", "--history", "plays.parquet", "-k", "4", "--dry-run")
    assert run(*dry) == 0
    assert "60 users" in capsys.readouterr().out
    assert run(*dry, "--json", "-q") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["users"], found["rows"]) == (60, 240)
    assert {"seconds", "bytes", "memory", "users_per_second", "reading_seconds"} <= {*found}
    assert sorted(Path().rglob("*")) == before
    assert run(*dry, "--since", "monday") == 2
