"""The benchmark of EASE's inverse: sides that agree on the weights, and a dry run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from evaluation.speed import closed_form, closed_form_checks

RNG = np.random.default_rng(3)
X = sp.csr_matrix((RNG.random((90, 40)) < 0.2).astype(np.float32))


def test_every_side_gives_the_weights() -> None:
    dense = X.toarray().astype(np.float64)
    inverse = np.linalg.inv(dense.T @ dense + 3 * np.eye(40))
    expected = -inverse / inverse.diagonal()
    np.fill_diagonal(expected, 0)
    ours, seconds = closed_form.by_ease(X, 3.0)
    np.testing.assert_allclose(ours, expected, atol=1e-6)
    assert seconds > 0
    for inverted in closed_form.INVERSES.values():
        np.testing.assert_allclose(closed_form.by_lapack(X, 3.0, inverted)[0], expected, atol=1e-6)
    items = np.array([0, 7, 39])
    found = closed_form_checks.exact(X, 3.0, items)
    np.testing.assert_allclose(found, expected[:, items], atol=1e-9)


def test_the_triangle_is_mirrored_across_blocks() -> None:
    half = RNG.standard_normal((2100, 60), np.float32)
    gram = half @ half.T + 50 * np.eye(2100, dtype=np.float32)
    found = closed_form.cholesky_inverse(gram.copy())
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_allclose(found @ gram, np.eye(2100), atol=1e-4)


@pytest.mark.usefixtures("forks")
def test_a_dry_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    user, item = X.nonzero()
    pd.DataFrame({"user": user, "item": item}).to_parquet(tmp_path / "train.parquet")
    kept = {}
    monkeypatch.setattr(closed_form, "keep", lambda name, result: kept.update({name: result}))
    monkeypatch.setattr(closed_form, "RESULTS", tmp_path)
    monkeypatch.setattr(closed_form, "FEW", 30)
    arguments = ["--items", "20", "40", "--sides", "recae", "numpy", "--threads=1", "--rounds=1"]
    assert closed_form.main([str(tmp_path), *arguments]) == 0
    (result,) = kept.values()
    assert json.dumps(result) and set(result["items"]) == {"20", "40"}
    for found in result["items"].values():
        for side in found["sides"].values():
            assert side["rounds"][-1]["largest_error"] < 1e-5
    assert (tmp_path / f"speed-closed-form-{tmp_path.name}.png").stat().st_size > 5_000
    monkeypatch.setattr(closed_form, "total_memory", lambda: 4 * 40**2)
    assert not closed_form.fits("numpy", 40)
    assert re.search("numpy .*40 items", capsys.readouterr().out)
