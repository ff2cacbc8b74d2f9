"""Recommends with a model that `to_onnx` wrote. Needs numpy and onnxruntime, nothing else.

    python onnx_example.py model.onnx 318 296 593

The numbers are ids of items that a user likes; ids that the model does not know are ignored.
"""

from __future__ import annotations

import json
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnxruntime


class Model:
    """A model and its item ids. Threads may share one."""

    def __init__(self, path: str) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # no notes about inputs that have a default
        self.session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        about = self.session.get_modelmeta().custom_metadata_map
        beside = Path(path).with_name(about["items_file"]).read_bytes()
        if sha256(beside).hexdigest() != about["items_sha256"]:
            raise SystemExit(f"{about['items_file']} does not belong to {path}, or is damaged")
        self.ids = json.loads(beside)["item_ids"]
        self.columns = {id: column for column, id in enumerate(self.ids)}

    def recommend(self, histories: list[list], k: int = 10) -> list[list[tuple]]:
        """The best k items of each history, as (id, score)."""
        columns = [[self.columns.get(id, -1) for id in history] for history in histories]
        inputs = {
            "items": np.array([c for row in columns for c in row], dtype=np.int64),
            "offsets": np.cumsum([0] + [len(row) for row in columns], dtype=np.int64),
            "k": np.array([k], dtype=np.int64),
        }
        items, scores = self.session.run(["top_items", "top_scores"], inputs)
        return [
            [(self.ids[item], float(score)) for item, score in zip(*row, strict=True) if item >= 0]
            for row in zip(items, scores, strict=True)
        ]


def main(path: str, *liked: str) -> None:
    """Prints the best items for one history."""
    model = Model(path)
    numbers = bool(model.ids) and isinstance(model.ids[0], int)
    history = [int(id) if numbers else id for id in liked]
    for id, score in model.recommend([history])[0]:
        print(f"{id}\t{score:.4f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
