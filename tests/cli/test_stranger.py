"""A foreign table, from its file to a Parquet of recommendations with titles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import recae
from recae import cli

NAMES = ["Björk", 'The "Quoted" Band', "Farmer; live", "Antonín Dvořák", "Ноль"]


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """hoerer.csv: semicolons, decimal commas, text ids, play counts, dates with days first, 4
    repeated rows and 2 without an id; kuenstler.csv: titles with accents, quotes and separators."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    lines = []
    for user in range(40):
        for item in rng.choice(12, size=6, replace=False) + 12 * (user % 2):
            date = f"{user % 28 + 1:02d}.{item % 12 + 1:02d}.2023 08:30"
            lines.append(f"L-{user:02d};{item:03d};{rng.choice(['1', '2,5', '40,0'])};{date}")
    lines += lines[:4] + [";003;1;01.02.2023 10:00", "L-03;;1;01.02.2023 10:00"]
    text = "\n".join(["Hörer;Künstler;Wiedergaben;Zuletzt gehört", *lines]) + "\n"
    Path("hoerer.csv").write_text(text, encoding="utf-8")
    titles = ["Genre;Künstler-Nr.;Bezeichnung"]
    for item in range(24):
        title = f"{NAMES[item % 5]} {item}".replace('"', '""')
        titles.append(f'Pop;{item:03d};"{title}"')
    Path("kuenstler.csv").write_text("\n".join(titles) + "\n", encoding="utf-8")
    return tmp_path


COLUMNS = ("--user", "Hörer", "--item", "Künstler", "--on-bad-rows", "drop", "--ids", "text")


def title_of(item: str) -> str:
    return f"{NAMES[int(item) % 5]} {int(item)}"


def test_from_a_foreign_file_to_titles(foreign: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ("--weight", "Wiedergaben", "--time", "Zuletzt gehört", "--duplicates", "sum")
    ease = ("--model", "ease", "--set", "l2=1", "--with-history", "--set", "weights=both")
    assert cli.main(("fit", "hoerer.csv", "model", *COLUMNS, *more, *ease)) == 0
    told = capsys.readouterr().err
    assert "2 of 246" in told and "weights 1 to 80" in told  # 40 plays twice; 246 = 40 x 6 + 4 + 2
    model = recae.load("model")
    assert isinstance(model, recae.Recommender) and model.history_ is not None
    assert model.history_.nnz == 240 and model.history_.times is not None
    assert cli.main(("export", "model", "top.parquet", "-k", "4", "--titles", "kuenstler.csv")) == 0
    found = pd.read_parquet("top.parquet")
    assert len(found) == 40 * 4
    assert found["title"].tolist() == [title_of(item) for item in found["item_id"]]
    frame = pd.read_csv("kuenstler.csv", sep=";", dtype=str)
    for titles in (frame, "kuenstler.csv"):
        model.export("frame.parquet", k=4, titles=titles, overwrite=True)
        assert pd.read_parquet("frame.parquet").equals(found)
    capsys.readouterr()
    options = ("--users", "L-07", "-k", "4", "--titles", "kuenstler.csv")
    assert cli.main(("recommend", "model", *options)) == 0
    said = capsys.readouterr().out
    mine = found[found["user_id"] == "L-07"]
    assert "title" in said and all(title in said for title in mine["title"])


def test_each_stumble_is_answered_with_the_remedy(
    foreign: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(code: int, *arguments: str) -> str:
        capsys.readouterr()
        assert cli.main(arguments) == code
        return capsys.readouterr().err

    said = refused(3, "fit", "hoerer.csv", "model")
    assert "--user COLUMN" in said and "--item COLUMN" in said and "Künstler" in said
    said = refused(3, "fit", "hoerer.csv", "model", *COLUMNS[:4])
    assert "line 246" in said and "line 247" in said and "--on-bad-rows drop" in said
    assert cli.main(("fit", "hoerer.csv", "model", *COLUMNS, "--model", "popularity")) == 0
    for option in ("--items", "--exclude-items", "--liked", "--users"):
        given = () if option == "--liked" else ("--history", "hoerer.csv", *COLUMNS)
        said = refused(2, "recommend", "model", option, "kuenstler.csv", *given)
        assert "kuenstler.csv" in said and "--titles" in said and "--items-file" in said
    assert cli.main(("fit", "hoerer.csv", "ease", *COLUMNS, "--model", "ease")) == 0
    said = refused(
        3, "recommend", "ease", "--history", "hoerer.csv", *COLUMNS, "--users", "L-07,L-77"
    )
    assert "'L-77'" in said and "--on-unknown popular" in said
    Path("both.csv").write_text("Künstler;Titel;Titelzusatz\n001;Eins;a\n002;Zwei;b\n")
    said = refused(3, "recommend", "model", "--liked", "001", "--titles", "both.csv")
    assert "--title-column" in said and "Titel, Titelzusatz" in said


def test_titles_that_are_not_utf_8(foreign: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("titel.csv").write_bytes("Künstler;Titel\n003;Grüße\n004;Käse\n".encode("cp1252"))
    assert cli.main(("fit", "hoerer.csv", "model", *COLUMNS, "--model", "popularity")) == 0
    model = recae.load("model")
    assert isinstance(model, recae.Recommender)
    asked = ("recommend", "model", "--liked", "001", "-k", "24", "--titles", "titel.csv")
    capsys.readouterr()
    assert cli.main(asked) == 3
    said = capsys.readouterr().err
    assert "titel.csv" in said and "--title-encoding cp1252" in said
    assert cli.main((*asked, "--title-encoding", "cp1252")) == 0
    said = capsys.readouterr().out
    assert "Grüße" in said and "Käse" in said
    assert cli.main((*asked, "--title-encoding", "nonsense")) == 2
    assert "encoding" in capsys.readouterr().err


@pytest.mark.parametrize("weights", ["both", "neither"])
def test_histories_without_the_weights_that_the_model_uses(
    foreign: Path, capsys: pytest.CaptureFixture[str], weights: str
) -> None:
    plays = ("--weight", "Wiedergaben")
    ease = ("--model", "ease", "--set", f"weights={weights}")
    assert cli.main(("fit", "hoerer.csv", "model", *COLUMNS, *plays, *ease)) == 0
    for given, warned in (((), weights == "both"), (plays, False)):
        capsys.readouterr()
        asked = ("recommend", "model", "--history", "hoerer.csv", "--users", "L-07")
        assert cli.main((*asked, *COLUMNS, *given)) == 0
        assert ("--weight COLUMN" in capsys.readouterr().err) == warned
    capsys.readouterr()
    assert cli.main(("recommend", "model", "--liked", "001,003")) == 0  # has no weights to forget
    assert "--weight" not in capsys.readouterr().err
