"""What goes to stdout and what to stderr: text, JSON, --quiet and --verbose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import recae
from recae import cli

TINY = ("--set", "latent=8", "--set", "hidden=16", "--set", "epochs=2")
FIT = ("fit", "plays.parquet", "model", *TINY)
EVALUATE = ("evaluate", "plays.parquet", "--models", "popularity,ease", "--metrics", "recall@5")


class Said:
    """Runs a command; what it said, after its arguments."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *arguments: str) -> tuple[str, str]:
        self.capsys.readouterr()
        assert cli.main(arguments) == 0
        said = self.capsys.readouterr()
        return said.out, said.err

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json")[0])


@pytest.fixture
def said(folder: Path, capsys: pytest.CaptureFixture[str]) -> Said:
    return Said(capsys)


def test_notes_are_no_results(said: Said) -> None:
    out, err = said(*FIT)
    assert out.startswith("fitted MultVAE(") and len(out.splitlines()) == 1
    data, held_out = err.splitlines()
    assert data.startswith("plays.parquet: Interactions(60 users x 24 items, 480 interactions")
    assert held_out.startswith("mult-vae ") and "ndcg@100" in held_out


def test_quiet_leaves_results_warnings_and_errors(said: Said) -> None:
    assert said(*FIT, "--quiet") == ("", "")
    assert said("export", "model", "top.parquet", "--history", "plays.parquet", "-q") == ("", "")
    out, err = said("recommend", "model", "--liked", "100,999", "-k", "2", "-q")
    assert len(out.splitlines()) == 3  # a header and two items
    assert err.startswith("recae: warning: ") and len(err.splitlines()) == 1
    assert said(*EVALUATE, "--quiet")[1] == ""
    assert cli.main((*FIT, "--quiet")) == 4
    assert "model exists" in said.capsys.readouterr().err


def test_verbose_tells_versions_epochs_and_where_an_error_arose(said: Said) -> None:
    _, err = said(*FIT, "--verbose")
    lines = err.splitlines()
    assert lines[0].startswith(f"recae {recae.__version__}, torch ")
    epochs = [line.split() for line in lines if line.startswith("epoch ")]
    assert [words[1] for words in epochs] == ["1", "2"]
    assert all(words[4] == "loss" and words[6] == "ndcg@100" for words in epochs)
    assert cli.main((*FIT, "--verbose")) == 4
    err = said.capsys.readouterr().err
    assert "Traceback" in err and err.splitlines()[-1].startswith("recae: error: model exists")


def test_quiet_and_verbose_exclude_each_other(said: Said) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main((*FIT, "-q", "-v"))
    assert left.value.code == 2


def test_fit_as_json(said: Said) -> None:
    fitted = said.json(*FIT, "--seed", "3")
    assert fitted["path"] == "model" and fitted["model"] == "mult-vae" and fitted["seed"] == 3
    assert fitted["hyperparameters"]["hidden"] == [16]
    assert (fitted["users"], fitted["items"], fitted["interactions"]) == (60, 24, 480)
    assert [epoch["number"] for epoch in fitted["epochs"]] == [1, 2]
    assert set(fitted["epochs"][0]["metrics"]) == {"ndcg@100"}
    assert fitted["interrupted"] is False and fitted["seconds"] > 0


def test_export_and_recommend_as_json(said: Said, plays: pd.DataFrame) -> None:
    said("fit", "plays.parquet", "model", "--model", "ease", "--set", "l2=1")
    history = ("--history", "plays.parquet", "-k", "3")
    exported = said.json("export", "model", "top.parquet", *history)
    assert exported | {"seconds": 0} == {
        "path": "top.parquet",
        "rows": 180,
        "k": 3,
        "seconds": 0,
    }
    rows = said.json("recommend", "model", *history, "--users", "7")
    expected = recae.load("model").recommend([7], 3, history=plays)
    assert rows == expected.to_dict("records")  # all digits: JSON carries float32 as they are
    written = said.json("recommend", "model", *history, "--out", "top.csv")
    assert written == {"path": "top.csv", "rows": 180, "k": 3}


def test_text_ids_and_titles_as_json(said: Said) -> None:
    pairs = [("ä", "x"), ("ä", "y"), ("b", "x"), ("b", "z")]
    pd.DataFrame(pairs, columns=["user_id", "item_id"]).to_csv("text.csv", index=False)
    pd.DataFrame({"item_id": ["y", "z"], "title": ["Ürsula", None]}).to_csv("titles.csv")
    said("fit", "text.csv", "model", "--model", "popularity", "--with-history")
    rows = said.json("recommend", "model", "--titles", "titles.csv")
    found = [(row["user_id"], row["item_id"], row["title"]) for row in rows]
    assert found == [("b", "y", "Ürsula"), ("ä", "z", "")]  # b comes before ä


def test_nothing_to_recommend_is_an_empty_list(said: Said) -> None:
    pd.DataFrame({"user_id": [1], "item_id": [1]}).to_csv("one.csv", index=False)
    said("fit", "one.csv", "model", "--model", "popularity", "--with-history")
    assert said.json("recommend", "model") == []


def test_evaluate_as_json_is_what_it_writes(said: Said) -> None:
    printed = said.json(*EVALUATE, "--out", "all.json")
    assert list(printed["models"]) == ["popularity", "ease"]
    assert printed == json.loads(Path("all.json").read_text())


def test_errors_stay_off_stdout(said: Said) -> None:
    assert cli.main(("fit", "nowhere.csv", "model", "--json")) == 3
    printed = said.capsys.readouterr()
    assert printed.out == "" and printed.err.startswith("recae: error: ")
