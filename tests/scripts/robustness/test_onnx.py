"""A small run of `python -m evaluation onnx`: the lists agree, and one that does not is counted."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import recae
from evaluation.robustness import onnx

pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")


def test_two_models_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx, "ROWS", 40)
    monkeypatch.setattr(onnx, "ASKED", 3)
    command = ["ease", "random", "--synthetic", "200", "--out", str(tmp_path)]
    assert onnx.main(command) == 0
    (kept,) = tmp_path.glob("*.json")
    models = json.loads(kept.read_text())["models"]
    assert models["ease"]["rows"] == 40 and models["ease"]["rows_with_other_items"] == 0
    assert "Random" in models["random"]["refused"]


def test_the_example_is_run_by_another_python_and_compared(tmp_path: Path) -> None:
    model, other = (recae.EASE(l2=l2).fit(onnx.planted(60)) for l2 in (1.0, 900.0))
    path = model.to_onnx(tmp_path / "model.onnx")
    assert onnx.example_agrees(Path(sys.executable), path, model)
    assert not onnx.example_agrees(Path(sys.executable), path, other)
    path.with_name("model.items.json").write_text("{}")
    assert not onnx.example_agrees(Path(sys.executable), path, model)


def test_the_histories_have_every_edge() -> None:
    lengths = [len(row) for row in onnx.histories(300)]
    unknown = [row for row in onnx.histories(300) if len(row) and not (row < 300).all()]
    assert len(lengths) == 1000 and lengths.count(0) >= 50 and max(lengths) == 279
    assert len(unknown) >= 100


class Session:
    """Lists that are those of a model, but for the first place of the first row."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def run(self, _: object, feeds: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        rows = np.split(feeds["items"], feeds["offsets"][1:-1])
        matrix = onnx.as_csr(rows, len(self.model.items_))
        top = self.model.recommend_array(matrix, int(feeds["k"][0]), on_unknown="popular")
        items = top.items.astype(np.int64)
        items[0, 0] = items[0, 5]
        return items, top.scores


def test_another_list_is_counted() -> None:
    model = recae.EASE().fit(onnx.planted(60))
    found = onnx.compare(model, Session(model), [np.array([1, 2]), np.array([3])])
    assert found["rows_with_other_items"] == 1 and found["largest_difference"] == 0
