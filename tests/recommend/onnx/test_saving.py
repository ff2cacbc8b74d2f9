"""Models as ONNX files: the same lists as the model in ONNX Runtime, for every kind of history."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

import recae
from recae import Interactions
from tests.laws import CLOSE

pytest.importorskip("onnx", reason="the extra onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

NOT_AS_ONNX = {"random"}
WRITTEN = [name for name in recae.MODELS if name not in NOT_AS_ONNX]
HISTORIES = [[3, 1, 4], [], [0], [7, 2, 9, 11, 5], [*range(12)], [11, 3]]


@pytest.fixture(scope="module")
def ratings() -> Interactions:
    """60 users of 12 items, with weights from 1 to 5."""
    generator = np.random.default_rng(5)
    matrix = sp.random(60, 12, 0.4, format="csr", random_state=7, dtype=np.float32)
    matrix.data[:] = generator.integers(1, 6, matrix.nnz)
    return Interactions.from_csr(matrix)


def opened(path: Path) -> Any:
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def ragged(rows: list[list[int]]) -> dict[str, np.ndarray]:
    """The inputs of the file for lists of columns."""
    lengths = [len(row) for row in rows]
    items = [item for row in rows for item in row]
    return {"items": np.array(items, np.int64), "offsets": np.cumsum([0, *lengths], dtype=np.int64)}


def csr(rows: list[list[int]], n_items: int, weights: list[list[float]] | None = None) -> Any:
    """The same lists as a scipy matrix."""
    matrix = sp.lil_matrix((len(rows), n_items), dtype=np.float32)
    for number, row in enumerate(rows):
        for place, item in enumerate(row):
            matrix[number, item] = weights[number][place] if weights else 1
    return matrix.tocsr()


def assert_lists_of(model: Any, matrix: Any, k: int, items: Any, scores: Any, **rules: Any) -> None:
    """The lists are those of the model, up to what scores may differ between batches."""
    expected = model.recommend_array(matrix, k, on_unknown="popular", **rules)
    assert items.shape == expected.items.shape
    np.testing.assert_array_equal(items < 0, expected.items < 0)
    np.testing.assert_array_equal(np.isneginf(scores), items < 0)
    own = model.score(matrix)
    own[np.diff(matrix.indptr) == 0] = model.item_counts_
    largest = np.abs(np.where(np.isfinite(own), own, 0)).max(axis=1, keepdims=True)
    listed = np.take_along_axis(own, np.maximum(items, 0), axis=1)
    filled = items >= 0
    for other in (listed, expected.scores):
        off = np.abs(np.where(filled, scores, 0) - np.where(filled, other, 0))
        assert (off <= 2 * CLOSE * largest).all()
    for row in items.tolist():
        kept = [item for item in row if item >= 0]
        assert len({*kept}) == len(kept)


@pytest.mark.parametrize("name", WRITTEN)
def test_the_lists_are_those_of_the_model(name: str, ratings: Interactions, tmp_path: Path) -> None:
    cls = recae.MODELS[name]
    model = cls(**cls.small).fit(ratings)
    session = opened(model.to_onnx(tmp_path / "model.onnx"))
    for k in (1, 5, 30):
        items, scores = session.run(None, {**ragged(HISTORIES), "k": np.array([k])})
        assert items.dtype == np.int64 and scores.dtype == np.float32
        assert_lists_of(model, csr(HISTORIES, 12), k, items, scores)
