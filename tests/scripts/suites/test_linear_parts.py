"""A small run of `python -m evaluation linear_parts`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evaluation.kit import provenance
from evaluation.suites import linear_parts


@pytest.mark.filterwarnings("ignore")
def test_every_part_starts_at_the_best_setting_before(tmp_path: Path, monkeypatch, capsys) -> None:
    pairs = np.argwhere(np.random.default_rng(0).random((40, 15)) < 0.4)
    frame = pd.DataFrame(pairs, columns=["user", "item"])
    held_out = frame.index % 5 == 0
    frame[~held_out].to_parquet(tmp_path / "train.parquet")
    frame[held_out].to_parquet(tmp_path / "valid.parquet")
    monkeypatch.setattr(provenance, "RESULTS", tmp_path)
    assert linear_parts.main([str(tmp_path), "--trials", "2"]) == 0
    kept = json.loads((tmp_path / f"linear-parts-{tmp_path.name}.json").read_text())
    values = [row["ndcg@10"] for row in kept["rows"]]
    assert len(values) == len(linear_parts.PARTS)
    assert values[1:] == sorted(values[1:])  # trial 0 is the best setting of the row before
    assert "+ emphasis" in capsys.readouterr().out
