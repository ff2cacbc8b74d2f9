"""The figures of explanations, on a small table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

import recae
from evaluation import explain
from recae import Interactions


def test_a_dry_run_keeps_a_row_for_each_model(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    users = np.repeat(np.arange(100), 12)
    items = np.concatenate([generator.choice(20, 12, replace=False) for _ in range(100)])
    table = pd.DataFrame({"user_id": users, "item_id": items + 20 * (users % 2)})
    table.to_parquet(tmp_path / "plays.parquet")
    models = ("--models", "ease", "popularity", "--users", "15", "--out", str(tmp_path))
    assert explain.main([str(tmp_path / "plays.parquet"), *models]) in (0, 1)
    rows = json.loads((tmp_path / "explain.json").read_text())["models"]
    assert [*rows] == ["ease", "popularity"] and "p" not in rows["popularity"]
    assert rows["ease"]["users"] == 15 and rows["ease"]["error_max"] < 1e-4
    assert rows["popularity"]["error_max"] == 0


def test_what_a_score_loses_without_items(int_data: Interactions) -> None:
    model = recae.EASE().fit(int_data.binarised())
    history = int_data.binarised().select_users([0, 1])
    removed = model.explain(history, top=1).contributions.groupby("user_id").head(1)
    left = explain.without(history, removed[["user_id", "history_item_id"]])
    expected = history.matrix.toarray()
    for user, item in zip(removed["user_id"], removed["history_item_id"], strict=True):
        expected[history.users.encode([user])[0], history.items.encode([item])[0]] = 0
    np.testing.assert_array_equal(left.toarray(), expected)
