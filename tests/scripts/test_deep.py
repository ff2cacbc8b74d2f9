"""The command for the deep models, with small ones on a small table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recae
from evaluation import deep

SMALL: dict[str, Any] = {
    "mult-dae": lambda: recae.MultDAE(latent=4, epochs=3, batch_size=20),
    "h-vamp": lambda: recae.HVamp(**recae.HVamp.small),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """60 users of two groups with 12 items each: ten to train on, one to validate, one to test."""
    generator = np.random.default_rng(0)
    rows = [
        (user, item + 40 * (user % 2), place)
        for user in range(60)
        for place, item in enumerate(generator.choice(40, 12, replace=False))
    ]
    table = pd.DataFrame(rows, columns=["user", "item", "place"]).assign(rating=1)
    for name, places in (("train", range(10)), ("valid", [10]), ("test", [11])):
        part = table[table["place"].isin(places)].drop(columns="place")
        part.to_parquet(tmp_path / f"{name}.parquet")
    return tmp_path


def test_a_training_is_interrupted_and_resumed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(deep, "FAMILY", SMALL)
    call = [str(folder), "--work", str(folder / "work"), "--out", str(folder)]
    assert deep.main([*call, "--minutes", "1e-9"]) == 0
    assert not (folder / "deep-ml-1m-infae.json").exists()
    for _ in range(6):  # each call trains an epoch more at least
        assert deep.main([*call, "--minutes", "0.0001"]) == 0
    assert deep.main(call) == 0
    kept = json.loads((folder / "deep-ml-1m-infae.json").read_text())
    assert set(kept["order"]) == set(SMALL) and len(kept["pairs"]) == 1
    for about in kept["rows"].values():
        assert len(about["curve"]) == about["epochs"] == len(about["losses"])
        assert about["curve"][about["best_epoch"] - 1] == pytest.approx(
            about["validation"], abs=1e-5
        )
        assert 0 < about["metrics"]["ndcg@10"] < 1
    assert (folder / "deep-ml-1m-infae.png").stat().st_size
    capsys.readouterr()
    assert deep.main(call) == 0
    assert "epoch   1" not in capsys.readouterr().out  # nothing is fitted again


def test_more_seeds_are_added_to_a_first_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(deep, "FAMILY", {"mult-dae": SMALL["mult-dae"]})
    call = [str(folder), "--work", str(folder / "work"), "--out", str(folder)]
    assert deep.main(call) == 0
    kept = folder / "deep-ml-1m-infae.json"
    first = json.loads(kept.read_text())["rows"]["mult-dae"]
    assert [each["seed"] for each in first["of_seeds"]] == [0]
    capsys.readouterr()
    assert deep.main([*call, "--seeds", "3"]) == 0
    shown = capsys.readouterr().out
    about = json.loads(kept.read_text())["rows"]["mult-dae"]
    assert about | {"of_seeds": first["of_seeds"]} == first  # the first seed is not fitted again
    assert about["of_seeds"][:1] == first["of_seeds"]
    assert [each["seed"] for each in about["of_seeds"]] == [0, 1, 2]
    values = [each["metrics"]["ndcg@10"] for each in about["of_seeds"]]
    assert len(set(values)) == 3
    assert f"{np.mean(values):.4f}" in shown and f"{np.std(values, ddof=1):.4f}" in shown


def test_factors_are_measured_on_validation_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deep, "FACTORS", {"a": SMALL["mult-dae"]})
    monkeypatch.setattr(deep, "USERS", 30)
    monkeypatch.setattr(deep, "FEWEST", 1)
    call = [str(folder), "--factors", "--work", str(folder / "work"), "--out", str(folder)]
    assert deep.main(call) == 0
    kept = json.loads((folder / "deep-ml-1m-infae-factors.json").read_text())
    assert "metrics" not in kept["rows"]["a"] and "order" not in kept
    task = deep.sample(deep.read(folder))
    assert task.train.n_users == 30 == task.validation.target.n_users


def test_the_slope_is_that_of_the_tail() -> None:
    assert deep.slope([9.0] * 50 + [0.25 * step for step in range(deep.TAIL)]) == pytest.approx(
        0.25
    )
    assert deep.slope([0.0] * 4 + [1.0, 3.0]) == pytest.approx(2)
    assert np.isnan(deep.slope([1.0, 2.0, 3.0]))


@pytest.mark.parametrize("name", [*deep.FAMILY, *deep.FACTORS])
def test_the_settings_are_possible(name: str) -> None:
    (deep.FAMILY | deep.FACTORS)[name]().check_params()
