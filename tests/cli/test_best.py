"""`recae best`: what it prints and saves; and its mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

import recae
from recae import cli

BEST = ("best", "plays.parquet", "model", "--models", "popularity,EASE", "--metric", "ndcg@5")


@pytest.fixture(autouse=True)
def few_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recae.tuning.best.TRIALS", 2)


def test_it_saves_the_best_model_and_shows_lists(
    folder: Path, plays: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    items = plays["item_id"].drop_duplicates()
    pd.DataFrame({"item_id": items, "title": [f"<{item}>" for item in items]}).to_csv(
        "titles.csv", index=False
    )
    assert cli.main((*BEST, "--titles", "titles.csv", "--seconds", "60")) == 0
    out = capsys.readouterr().out
    model = recae.load("model")
    assert isinstance(model, recae.EASE) and len(model.items_) == len(items)
    top = model.recommend([0], k=5, history=recae.read_parquet("plays.parquet"))
    assert all(f"<{item}>" in out for item in top["item_id"])
    table = out.partition("\n\n")[0].splitlines()
    assert len(table) == 4 and max(map(len, table)) <= 80  # two models and the blend


def test_json_is_the_result_and_nothing_is_written_without_out(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = set(Path().iterdir())
    arguments = [part for part in BEST if part != "model"]
    assert cli.main((*arguments, "--seconds", "60", "--json")) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["model"] == "ease" and said["path"] is None
    assert [row["model"] for row in said["models"]] == ["ease", "popularity", "blend"]
    assert set(Path().iterdir()) == before


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (("--seconds", "-1"), 2),
        (("--metric", "ndgc@5"), 2),
        (("--titles", "nothing.csv"), 3),
    ],
)
def test_mistakes_are_found_before_the_search(folder: Path, more, code) -> None:
    assert cli.main((*BEST, *more)) == code
    assert not Path("model").exists()


def test_a_model_that_is_there_is_kept(folder: Path) -> None:
    recae.Popularity().fit(recae.read_parquet("plays.parquet")).save("model")
    assert cli.main(BEST) == 4
    assert isinstance(recae.load("model"), recae.Popularity)
