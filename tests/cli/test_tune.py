"""`recae tune`: what it finds and writes, beside what the library does; and its mistakes."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recae
from recae import cli
from recae.cli.tune import read_texts

TUNE = ("tune", "plays.parquet", "model", "--model", "ease", "--trials", "4", "--metric", "ndcg@5")
SPACE = ("--space", "l2=0.5..500", "--space", "item_power=0,0.25")


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    code = cli.main(arguments)
    *_, line = capsys.readouterr().err.splitlines()
    assert code in set(cli.EXIT_CODES.values()) and line.startswith("recae: error: ")
    return f"{code} {line.removeprefix('recae: error: ')}"


def by_hand(**options: Any) -> recae.tuning.Tuning:
    """What `TUNE` with `SPACE` is in Python."""
    split = recae.data.splits.holdout_pairs(recae.read_parquet("plays.parquet"), share=0.1, seed=0)
    space = {"l2": (0.5, 500.0), "item_power": [0.0, 0.25]}
    given = {"trials": 4, "space": space} | options
    return recae.tune(recae.EASE(), split.train, split.validation, "ndcg@5", **given)


def test_it_is_the_library_and_a_fit_on_everything(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ("--plot", "trials.png", "--trials-out", "trials.csv", "--folder", "search")
    assert cli.main((*TUNE, *SPACE, *files, "--json")) == 0
    said = capsys.readouterr()
    result, expected = json.loads(said.out), by_hand()
    assert result["params"] == expected.params and result["value"] == expected.value
    assert [t["value"] for t in result["trials"]] == expected.trials["value"].tolist()
    assert [t["l2"] for t in result["trials"]] == expected.trials["l2"].tolist()
    assert result["trials"][0]["epochs"] is None and result["trials"][0]["number"] == 0
    assert re.search("ease .*10% .*held out", said.err)
    data = recae.read_parquet("plays.parquet")
    assert np.array_equal(recae.load("model").score(data), expected.refit(data).score(data))
    assert Path("trials.png").read_bytes().startswith(b"\x89PNG")
    table = pd.read_csv("trials.csv")
    assert table["value"].tolist() == pytest.approx(expected.trials["value"].tolist())
    assert Path("search", "journal.jsonl").is_file()
    # The same command finds its trials there, and a larger budget goes on from them.
    again = list(TUNE)
    again[again.index("4")] = "6"
    assert cli.main((*again, *SPACE, "--folder", "search", "--overwrite", "--json")) == 0
    longer = json.loads(capsys.readouterr().out)
    assert longer["trials"][:4] == result["trials"] and len(longer["trials"]) == 6


def test_one_line_says_what_was_won(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main((*TUNE, *SPACE, "--with-history")) == 0
    (line,) = capsys.readouterr().out.splitlines()
    tuning = by_hand()
    first = tuning.trials["value"].iloc[0]
    assert line.startswith(f"tuned {tuning.model}: ndcg@5 {tuning.value:.4f} on validation, ")
    assert re.search(f"{first:.4f} .*, 4 trials ", line)
    assert recae.load("model").recommend(k=1)["user_id"].nunique() == 60
    assert cli.main((*TUNE, "--overwrite", "--quiet")) == 0
    assert capsys.readouterr() == ("", "")
    assert cli.main((*TUNE, "--overwrite", "--verbose")) == 0
    assert "item_power" in capsys.readouterr().err  # the table of the trials


def test_a_model_with_epochs_in_seconds(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ("--set", "latent=4", "--set", "hidden=8", "--set", "epochs=3")
    tune = ("tune", "plays.parquet", "model", "--seconds", "1", "--trials", "3", *settings)
    options = ("--space", "hidden=8|8,4", "--space", "lr=1e-3..1e-1", "--sampler", "random")
    assert cli.main((*tune, *options, "--no-halving", "--json")) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["model"] == "mult-vae" and 1 <= len(result["trials"]) <= 3
    best = max(result["trials"], key=lambda trial: trial["value"])
    assert result["params"] == {"hidden": best["hidden"], "lr": best["lr"]}
    assert 1 <= result["hyperparameters"]["epochs"] <= best["epochs"]
    assert isinstance(recae.load("model"), recae.MultVAE)


def test_spaces_are_read_by_the_types_of_the_model() -> None:
    texts = [
        ("latent", "16..512"),
        ("lr", "1e-3..0.1"),
        ("hidden", "600|600,200"),
        ("mirror", "yes,no"),
        ("optimiser", "adam, nadam"),
    ]
    assert read_texts(recae.MultVAE(), texts) == {
        "latent": (16, 512),
        "lr": (0.001, 0.1),
        "hidden": [(600,), (600, 200)],
        "mirror": [True, False],
        "optimiser": ["adam", "nadam"],
    }
    assert read_texts(recae.MultVAE(), [("hidden", "64..1024")]) == {"hidden": (64, 1024)}
    members = [("members", "EASE();ItemKNN()|EASE(l2=5.0)")]
    assert read_texts(recae.Ensemble(), members) == {
        "members": [("EASE()", "ItemKNN()"), ("EASE(l2=5.0)",)]
    }


def test_mistakes_are_named_before_anything_is_read(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tune = ("tune", "nowhere.parquet", "model", "--model", "ease")
    assert "--seconds 60, --trials 20, or both" in refused(capsys, *tune)
    assert re.match("2 seconds .*> 0, not -1.0", refused(capsys, *tune, "--seconds", "-1"))
    tune = (*tune, "--trials", "2")
    assert "2 unknown metric 'ndgc'" in refused(capsys, *tune, "--metric", "ndgc@5")
    assert re.search("EASE .*'l3'", refused(capsys, *tune, "--space", "l3=1..2"))
    wide = refused(capsys, *tune, "--space", "l2=1,wide")
    assert re.search("l2 .*EASE .*> 0, not 'wide'", wide)
    assert re.search("l2 .*, not ''", refused(capsys, *tune, "--space", "l2=..5"))
    assert "twice" in refused(capsys, *tune, "--space", "l2=1..2", "--space", "l2=3..4")
    assert re.search("l2 .*EASE .*> 0, not -5.0", refused(capsys, *tune, "--set", "l2=-5"))
    assert re.match("4 .*no/a.png", refused(capsys, *tune, "--plot", "no/a.png"))
    assert re.match("4 .*no/a.csv", refused(capsys, *tune, "--trials-out", "no/a.csv"))
    assert refused(capsys, "tune", "nowhere.parquet", ".", "--trials", "2").startswith("4 ")
    assert refused(capsys, *tune).startswith("3 nowhere.parquet ")
    assert "folder" in refused(capsys, *TUNE, "--folder", "no/where")
    assert {path.name for path in folder.iterdir()} == {"plays.parquet"}
    with pytest.raises(SystemExit) as left:
        cli.main((*TUNE, "--space", "l2"))
    assert left.value.code == 2 and "expected name=value, not 'l2'" in capsys.readouterr().err


def test_all_trials_may_fail(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise recae.errors.CapacityError("too large")

    monkeypatch.setattr(recae.EASE, "_fit", fail)
    said = refused(capsys, *TUNE)
    assert re.fullmatch("6 .* 4 trials .*: trial 0: too large", said)
    assert not Path("model").exists()


def test_without_the_library_it_says_how_to_get_it(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert 'pip install "recae[tune]"' in refused(capsys, *TUNE)
