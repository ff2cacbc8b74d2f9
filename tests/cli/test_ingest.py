"""`recae ingest`: a data folder that every other command takes."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

import recae
from recae import cli


@pytest.fixture
def plays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rows = [(f"u{user}", item) for user in range(12) for item in range(8) if (user + item) % 3]
    pd.DataFrame(rows, columns=["who", "item_id"]).to_csv("plays.csv", index=False)
    return Path("plays.csv")


def test_the_commands_take_the_folder(plays: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--user", "who", "--memory", "300MB", "--json"]
    assert cli.main(["ingest", "plays.csv", "my data", *options]) == 0
    said = json.loads(capsys.readouterr().out)
    read = recae.read_csv(plays, user="who")
    assert (said["users"], said["items"], said["interactions"]) == (12, 8, read.nnz)
    assert said["fingerprint"] == read.fingerprint()
    assert cli.main(["fit", "my data", "model", "--model", "popularity", "--user", "who"]) == 0
    assert cli.main(["export", "model", "top.parquet", "--history", "my data", "-k", "2"]) == 0
    assert len(pd.read_parquet("top.parquet")) == 24
    known = ["recommend", "model", "--history", "my data", "--users", "u3", "-k", "1", "--json"]
    capsys.readouterr()
    assert cli.main(known) == 0 and "u3" in capsys.readouterr().out


def test_a_damaged_folder_is_refused_before_the_fit(
    plays: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["ingest", "plays.csv", "data", "--user", "who"]) == 0
    content = bytearray(Path("data/indices.npy").read_bytes())
    content[-1] ^= 1
    Path("data/indices.npy").write_bytes(content)
    assert cli.main(["fit", "data", "model", "--model", "popularity"]) == 3
    assert "indices.npy" in capsys.readouterr().err and not Path("model").exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["plays.csv", "data"], 3),  # no column user_id
        (["plays.csv", "data", "--user", "who", "--memory", "little"], 2),
        (["nowhere.csv", "data", "--user", "who"], 3),
        (["plays.csv", "plays.csv", "--user", "who"], 4),
        (["plays.csv", "no/where", "--user", "who"], 4),
    ],
)
def test_mistakes(arguments: list[str], code: int, plays: Path) -> None:
    assert cli.main(["ingest", *arguments]) == code
    assert [path.name for path in Path().iterdir()] == ["plays.csv"]
