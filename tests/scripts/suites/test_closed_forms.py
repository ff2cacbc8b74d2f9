"""The benchmark of the closed forms: what it measures, and the catalogues its formulas give."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import recae
from evaluation.suites import closed_forms

# 4 users with 2 items each, of 8 items.
DATA = recae.Interactions.from_csr(sp.csr_matrix(np.kron(np.eye(4), np.ones((1, 2)))))


@pytest.mark.parametrize(
    ("model", "bytes", "items"),
    [
        (recae.EASE(), 400 / 0.85 + 1, 10),  # 4 x 10^2
        (recae.ELSA(latent=5, batch_size=10), 2400, 10),  # 4 x 10 x (10 x 5 + 10)
        (recae.SparseEASE(), 1120, 10),  # 4 users x 2^2 pairs x 28 / 8 items = 56; 10 x 56 in half
        (recae.SVDAE(latent=3), 30 * (4 + 6), 6),
    ],
)
def test_the_largest_catalogue_fills_the_memory(model, bytes: float, items: int) -> None:
    found, formula = closed_forms.largest(model, DATA, int(bytes))
    assert found == items and "memory" in formula


def test_each_model_is_fitted_and_kept(tmp_path: Path, monkeypatch, capsys) -> None:
    rng = np.random.default_rng(1)
    pairs = pd.DataFrame({"user": rng.integers(0, 30, 300), "item": rng.integers(0, 20, 300)})
    pairs.drop_duplicates().to_parquet(tmp_path / "train.parquet")
    kept = {}
    monkeypatch.setattr(closed_forms, "keep", lambda name, result: kept.update({name: result}))
    assert closed_forms.main([str(tmp_path), "--models", "ease,sparse-ease"]) == 0
    models = kept["closed-forms"]["models"]
    n_items = pairs["item"].nunique()
    assert models["ease"]["model_gb"] == round(4 * n_items**2 / 1e9, 3)
    assert models["ease"]["largest_catalogue"] == 74_000
    assert all(found["peak_gb"] > found["above_data_gb"] >= 0 for found in models.values())
    assert json.dumps(kept) and "4 items^2 <= 0.85 memory" in capsys.readouterr().out
