"""What is made of mapped interactions is mapped too, and the same as in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

import recae
from recae.data import csr, scratch
from recae.data.splits import holdout_pairs
from recae.errors import StorageError


def data() -> recae.Interactions:
    random = np.random.default_rng(0)
    matrix = sp.random(400, 60, 0.1, "csr", np.float64, random)
    matrix.data = np.ceil(5 * matrix.data)
    return recae.Interactions.from_csr(matrix)


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> recae.Interactions:
    monkeypatch.setattr(scratch, "MANY_BYTES", 1)
    monkeypatch.setattr(csr, "BLOCK", 100)
    return recae.ingest(data(), tmp_path / "data")


def assert_same(one: recae.Interactions, two: recae.Interactions) -> None:
    assert one.fingerprint() == two.fingerprint()
    assert scratch.is_mapped(one.matrix.data) and not scratch.is_mapped(two.matrix.data)


def test_selections_and_splits_are_mapped(stored: recae.Interactions, tmp_path: Path) -> None:
    known = data()
    mask = np.arange(known.nnz) % 3 > 0
    assert_same(stored.keep(mask), known.keep(mask))
    assert_same(stored.keep(mask).binarised(), known.keep(mask).binarised())
    rows = np.arange(0, 400, 7)[::-1]
    assert_same(stored.select_users(rows), known.select_users(rows))
    assert_same(stored.select_items([3, 5, 8]), known.select_items([3, 5, 8]))
    one, two = holdout_pairs(stored, 0.2, seed=3), holdout_pairs(known, 0.2, seed=3)
    assert one.validation is not None and two.validation is not None
    assert_same(one.train, two.train)
    assert_same(one.validation.target, two.validation.target)
    assert_same(one.validation.history, two.validation.history)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert "data.json" in {path.name for path in (tmp_path / "data").iterdir()}
    recae.open_data(tmp_path / "data", verify=True)


def test_a_fit_on_mapped_interactions_is_that_in_memory(stored: recae.Interactions) -> None:
    for model in (
        recae.PureSVD(latent=5, weights="both"),
        recae.SVDAE(latent=5),
        recae.EASE(weights="both"),
        recae.MultVAE(epochs=2, hidden=(8,), latent=3),
    ):
        one = model.clone().fit(stored, progress=False)
        two = model.clone().fit(data(), progress=False)
        np.testing.assert_array_equal(one.score(data()), two.score(data()))


def test_no_room(stored: recae.Interactions) -> None:
    with pytest.raises(StorageError, match="data"):
        scratch.empty_like(stored.matrix.data, 2**55)
