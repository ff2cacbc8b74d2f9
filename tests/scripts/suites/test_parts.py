"""A small run of `python -m evaluation parts`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import recae
from evaluation.kit import provenance
from evaluation.suites import parts


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", parts.FAMILIES)
def test_rows_are_chosen_on_some_users_and_measured_on_the_others(
    family: str, tmp_path: Path, monkeypatch, capsys
) -> None:
    pairs = np.argwhere(np.random.default_rng(0).random((40, 15)) < 0.4)
    frame = pd.DataFrame(pairs, columns=["user", "item"])
    held_out = frame.index % 5 == 0
    frame[~held_out].to_parquet(tmp_path / "train.parquet")
    frame[held_out].to_parquet(tmp_path / "valid.parquet")
    monkeypatch.setattr(provenance, "RESULTS", tmp_path)
    assert parts.main([str(tmp_path), "--trials", "2", "--family", family]) == 0
    kept = json.loads((tmp_path / f"parts-{family}-{tmp_path.name}.json").read_text())
    rows = kept["rows"]
    assert [row["part"] for row in rows] == [part.name for part in parts.FAMILIES[family]]
    for before, row in zip(rows[:-1], rows[1:], strict=True):
        assert row["gain"] == pytest.approx(row["ndcg@10"] - before["ndcg@10"], abs=1e-12)
        assert row["low"] <= row["gain"] <= row["high"] and 0 <= row["p"] <= 1
        assert set(before["setting"]) <= set(row["setting"])
    assert rows[-1]["part"] in capsys.readouterr().out


def test_the_halves_share_no_user() -> None:
    data = recae.load_dataset("ml-latest-small").interactions
    fold = recae.data.splits.holdout_pairs(data, 0.1).validation
    assert fold is not None
    first, second = (set(half.target.users.ids) for half in parts.halves(fold, 0))
    assert not first & second and first | second == set(fold.target.users.ids)
