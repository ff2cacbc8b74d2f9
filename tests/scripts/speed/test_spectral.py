"""The benchmark of singular vectors: its sides agree, and its parts run on small data."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from evaluation.speed import spectral
from recae.data.scaled import Rows


def test_the_sides_give_the_same_vectors() -> None:
    planted = np.random.default_rng(0).standard_normal((60, 40)) * 0.8 ** np.arange(40)
    rows = Rows(sp.csr_matrix(planted), lambda part: part)
    exact = np.linalg.svd(planted, compute_uv=False)[:5]
    for side, decompose in spectral.SIDES.items():
        u, s, v = decompose(rows, 5)
        np.testing.assert_allclose(s, exact, rtol=1e-3, err_msg=side)
        np.testing.assert_allclose(planted @ v, u * s, atol=0.05, err_msg=side)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    pairs = pd.DataFrame({"user": np.repeat(np.arange(50), 6), "item": rng.integers(0, 30, 300)})
    pairs = pairs.drop_duplicates()
    test = pairs.groupby("user").tail(1)
    test.to_parquet(tmp_path / "test.parquet")
    pairs.drop(test.index).to_parquet(tmp_path / "train.parquet")
    return tmp_path


@pytest.mark.parametrize("part", ["svd", "filter"])
def test_a_part_runs(
    part: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept: dict[str, Any] = {}
    monkeypatch.setattr(spectral, "keep", lambda name, result: kept.update({name: result}))
    few = ["--sides", "recae", "arpack", "--latent", "4", "--threads", "1"]
    more = ["--users", "60"] if part == "filter" else []
    assert spectral.main([str(folder), "--part", part, *few, *more]) == 0
    (result,) = kept.values()
    assert len(result["sides"]) == 2
    for about in result["sides"].values():
        assert about["median_seconds"] > 0
    if part == "svd":
        assert result["sides"]["recae"]["largest_error"] < 1e-3
    assert capsys.readouterr().out


def test_without_arpack_errors_are_those_beside_the_first_side(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = dict.fromkeys(spectral.METRICS, 0.5)
    answers = {"randomised": [{"s": [2.0, 1.0], **values}]}
    rounds = Mock(answers=answers)
    rounds.as_dict.return_value = {
        "sides": {"randomised": {"rounds": [dict(*answers["randomised"])]}}
    }
    monkeypatch.setattr(spectral, "alternate", lambda *_, **__: rounds)
    options = Namespace(sides=["randomised"], rounds=1, threads=1)
    found = spectral.of_vectors(options, [])
    assert found["sides"]["randomised"]["largest_error"] == 0
