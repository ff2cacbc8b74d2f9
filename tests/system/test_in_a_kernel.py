"""Bars in the kernel of a notebook: one output of a cell, whatever it replaces, without widgets."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

BEGIN = """
import sys
sys.modules["ipywidgets"] = None  # as where it is not installed
import numpy as np, pandas as pd
import recae, recae.system.progress
rng = np.random.default_rng(0)
items = np.concatenate([rng.permutation(20)[:6] for _ in range(80)])
data = recae.Interactions.from_frame(
    pd.DataFrame({"user_id": np.repeat(np.arange(80), 6), "item_id": items})
)
split = recae.data.splits.holdout_pairs(data, 0.3)
model = recae.MultVAE(latent=2, hidden=(4,), batch_size=4, epochs=99, patience=99)
recae.system.progress.DELAY = 0
"""
CELLS = {
    "begin": BEGIN,
    "fit": "_ = model.fit(split.train, callbacks=lambda epoch: epoch.number == 5)",
    "evaluate": "_ = recae.evaluate(model, split.validation, ['ndcg@5'], batch_size=8)",
    "export": "_ = model.export('top.parquet', split.train, k=2)",
    "tune": "_ = recae.tune(recae.EASE(), split.train, split.validation, 'ndcg@5', trials=4)",
    "seconds": "_ = recae.tune(recae.EASE(), split.train, split.validation, 'ndcg@5', seconds=1)",
    "hidden": "_ = recae.evaluate(model, split.validation, ['ndcg@5'], progress=False)",
}


def test_a_bar_is_one_output(run_notebook: Callable[[Any], object]) -> None:
    new = pytest.importorskip("nbformat").v4
    notebook = new.new_notebook(cells=[new.new_code_cell(code) for code in CELLS.values()])
    run_notebook(notebook)
    outputs = {name: cell.outputs for name, cell in zip(CELLS, notebook.cells, strict=True)}
    assert outputs.pop("begin") == outputs.pop("hidden") == []
    for name, found in outputs.items():
        assert [output.output_type for output in found] == ["display_data"], (name, found)
        text = found[0]["data"]["text/plain"]
        done, total = re.findall(r"([\d.]+)/([\d.]+)", text)[0]
        assert len(text.splitlines()) == 1 and "100%" in text and done == total, text
    # 20 batches of 4 users an epoch, and the callback ends the fit after 5 of 99 epochs.
    assert "100/100" in outputs["fit"][0]["data"]["text/plain"]
