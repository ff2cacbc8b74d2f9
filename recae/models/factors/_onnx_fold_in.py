"""The scores of `FoldIn` in an ONNX graph, which has no operation that solves equations."""

from __future__ import annotations

import numpy as np

from recae.models.factors._fold_in import FoldIn
from recae.recommend.onnx.graph import Value, apply, full, joined, loop
from recae.recommend.onnx.histories import Histories

EXACT = 1e-26
"""The squared residual, relative to the right side, at which the equations count as solved."""

MOST = 5
"""Steps, as a multiple of the factors, after which the solution is taken as it is."""


def onnx_scores(solver: FoldIn, x: Histories) -> Value:
    """The scores of histories whose values are confidences, (rows, n_items).

    With a_i and D as in `FoldIn`, z = L' x_u solves (I + A'DA) z = A'c. Conjugate gradients
    (Hestenes & Stiefel 1952) solve it in float64, one user after the other: exactly after as many
    steps as there are factors or items of the history, whichever are fewer, but for rounding.
    """
    whitened = solver.whitened[:-1].numpy()
    n = whitened.shape[1]
    items, nothing = x.graph.constant(whitened), np.zeros(1)

    def one_user(number: Value) -> tuple[None, list[Value], list[Value]]:
        """One user's factors by conjugate gradients on A' C A z = A' c, which end when the residual
        has shrunk by EXACT."""
        at = number.reshaped([1])
        start, end = x.offsets[at], x.offsets[at + 1]
        a = items[joined([0], x.item.part(start, end))].to("float64")  # (items, n)
        c = x.values.part(start, end).to("float64")
        # The first row stands for no item: some runtimes know no products over nothing.
        confidence, more = joined(nothing, c), joined(nothing, c - 1.0)

        def step(
            _: Value, z: Value, residual: Value, way: Value, square: Value
        ) -> tuple[Value, list[Value], list[Value]]:
            image = way + ((a @ way) * more) @ a
            length = square / (way * image).sum(0, keep=True)
            left = residual - image * length
            rest = (left * left).sum(0, keep=True)
            on = apply("Squeeze", apply("Greater", rest, target, dtype="bool"))
            return on, [z + way * length, left, left + way * (rest / square), rest], []

        right = confidence @ a  # (n,)
        square = (right * right).sum(0, keep=True)
        target = square * EXACT
        begin = full(right, [[n]], 0, "float64")
        going = apply("Squeeze", apply("Greater", square, 0.0, dtype="bool"))
        most = x.graph.constant(np.array(MOST * n + 10))
        solved, *_ = loop(right, most, step, [begin, right, right, square], going)
        return None, [], [solved.to("float32")]

    (codes,) = loop(x.row, x.rows, one_user, shapes=[[n]])
    return apply("Gemm", codes, whitened, transB=1)
