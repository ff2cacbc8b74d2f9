"""Scores standardised user by user in an ONNX graph, for blends of models."""

from __future__ import annotations

import numpy as np

from recae.recommend.onnx.graph import Value, apply, full, where
from recae.recommend.onnx.histories import Histories


def onnx_standardised(scores: Value, histories: Histories) -> Value:
    """Rows with mean 0 and deviation 1 over the items outside the history, (rows, n_items) float32.

    Zeros for a constant row; a score of -inf counts as the lowest finite one of the row.
    """

    def over_items(op: str, values: Value) -> Value:
        return apply(op, values, [1], keepdims=1)

    finite = apply("Less", apply("Abs", scores), np.inf, dtype="bool")
    floor = over_items("ReduceMin", where(finite, scores, np.inf, "float32"))
    scores = where(finite, scores, floor, "float32")
    scores = where(apply("Less", scores, np.inf, dtype="bool"), scores, 0.0, "float32")
    everything = full(scores, [histories.rows, [histories.n_items]], 1, "float64")
    seen = full(scores, [histories.row.size], 0, "float64")
    counted = histories.written(everything, seen)
    n = apply("Max", over_items("ReduceSum", counted), 1.0)
    exact = scores.to("float64")
    centred = exact - over_items("ReduceSum", exact * counted) / n
    deviation = apply("Sqrt", over_items("ReduceSum", centred * centred * counted) / n)
    size = over_items("ReduceMax", apply("Abs", exact))
    flat = apply("LessOrEqual", deviation, size * 1e-7, dtype="bool")
    shares = centred / where(flat, 1.0, deviation, "float64")
    return where(flat, 0.0, shares, "float64").to("float32")
