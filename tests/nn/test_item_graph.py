"""Smoothing on the graph of items against a dense eigendecomposition."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from recae.nn import Batch, Ragged, item_graph
from recae.nn.item_graph import GraphSteps, ItemGraph, ItemRows, Mixer

B = sp.random(30, 9, 0.4, format="csr", random_state=3, dtype=np.float32)
VALUES, VECTORS = np.linalg.eigh((B.T @ B).toarray().astype(np.float64))


def graph(ideal_weight: float) -> ItemGraph:
    made = ItemGraph(9, ideal_weight, 2)
    made.link(B)
    made.largest.copy_(torch.tensor(np.sqrt(VALUES[-1])))
    made.low.copy_(torch.from_numpy(VECTORS[:, ::-1][:, : made.cutoff].copy()))
    return made


@pytest.mark.parametrize("ideal_weight", [0.0, 0.5])
def test_a_step_is_a_filter_of_the_spectrum(ideal_weight: float, monkeypatch) -> None:
    made, steps = graph(ideal_weight), GraphSteps(4, 1.5, 0.5)
    x = np.random.default_rng(0).random((7, 9), dtype=np.float32)
    passed = VALUES / VALUES[-1]  # at most 1
    passed[-2:] += ideal_weight
    passed[:-2] += 0.0
    passed = passed / (1 + ideal_weight)
    rows = torch.from_numpy(x)
    for t in (0, 1, 4):
        response = 1 + 1.5 * t / 4 * (passed - 1)
        expected = x @ (VECTORS * response) @ VECTORS.T
        for cells in (item_graph.CELLS, 60):  # at once, and two rows at a time
            monkeypatch.setattr(item_graph, "CELLS", cells)
            found = steps.smoothed(rows, made(rows), t)
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_slope_is_smoothed_alike() -> None:
    made = graph(0.5).double()
    x = torch.rand(3, 9, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(made, x)
    assert torch.equal(ItemGraph(9, 0.0, 1)(x), x)  # without data nothing is smoothed


def test_steps_are_drawn_for_training_alone() -> None:
    steps, x = GraphSteps(3, 1.5, 0.5), Ragged.from_csr(B)
    batch, rows = Batch(x, x), torch.zeros(30, 2)
    dropped = steps(batch, torch.Generator().manual_seed(0))
    assert steps.step(rows).unique().tolist() == [1, 2, 3]
    assert steps.condition is dropped.input and dropped.target is x
    assert set((dropped.input.values / x.values).unique().tolist()) == {0.0, 2.0}
    steps.eval()
    assert steps(batch, None) is batch and steps.condition is None
    assert steps.step(rows).unique().tolist() == [3]


def test_rows_of_items_and_mixers() -> None:
    items, mixer = ItemRows(9, 4), Mixer(3)
    generator = torch.Generator().manual_seed(1)
    for module in (items, mixer.hidden, mixer.out):
        module.initialise(generator)
    dense = torch.from_numpy(B.toarray())
    expected = dense @ items.weight / dense.sum(1, keepdim=True).clamp_min(1)
    torch.testing.assert_close(items(Ragged.from_csr(B)), expected)
    torch.testing.assert_close(items(dense), expected)
    one, other, number = dense, dense.flip(1), torch.rand(30, 1)
    cells = torch.stack([one, other, number.expand(30, 9)], 2)
    hidden = cells @ mixer.hidden.weight.t() + mixer.hidden.bias
    hidden = hidden * hidden.sigmoid()
    expected = (hidden @ mixer.out.weight.t() + mixer.out.bias).squeeze(2)
    torch.testing.assert_close(mixer(one, other, number), expected)
