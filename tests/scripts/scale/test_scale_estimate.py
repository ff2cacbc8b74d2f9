"""`python -m evaluation scale_estimate` keeps estimate and truth of every model."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from evaluation.scale import scale_estimate


def test_estimate_and_truth_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    users = [user for user in range(60) for _ in range(4)]
    items = [(3 * user + step) % 20 for user in range(60) for step in range(4)]
    (tmp_path / "plays").mkdir()
    pd.DataFrame({"user": users, "item": items}).to_parquet(tmp_path / "plays" / "train.parquet")
    given = [str(tmp_path / "plays"), "ml-latest-small", "--models", "popularity"]
    scale_estimate.main([*given, "--out", str(tmp_path / "kept")])
    kept = json.loads((tmp_path / "kept" / "scale-estimate.json").read_text())
    assert [(row["data"], row["model"]) for row in kept["rows"]] == [
        ("plays", "popularity"),
        ("ml-latest-small", "popularity"),
    ]
    for row in kept["rows"]:
        for step in ("fit", "evaluate", "export"):
            assert row["estimate"][step]["memory"] > 0 and row["truth"][step]["memory"] > 0
    row = kept["rows"][0]
    # All of so few users are sampled, so that the files are those of the truth.
    assert row["estimate"]["users"] == 60
    assert row["estimate"]["export"]["disk"] == pytest.approx(
        row["truth"]["export"]["disk"], rel=0.1
    )
    said = capsys.readouterr().out
    assert f"{kept['within']} of {kept['of']}" in said
