"""Neighbours against sets, and planted copies."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp

from recae.apply.generate import measures
from recae.apply.generate.measures import attack, copies, nearest
from recae.system.machine import row_batches


def rows_of(sets: list[set[int]], n_items: int = 60) -> sp.csr_matrix:
    rows = np.zeros((len(sets), n_items), dtype=np.float32)
    for row, items in enumerate(sets):
        rows[row, list(items)] = 1
    return sp.csr_matrix(rows)


def draw(n: int, seed: int) -> list[set[int]]:
    rng = np.random.default_rng(seed)
    return [{*rng.choice(60, rng.integers(1, 30), replace=False).tolist()} for _ in range(n)]


@pytest.mark.parametrize("cells", [1, 100, 1 << 20])
def test_nearest(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measures, "row_batches", partial(row_batches, cells=cells))
    users, others = draw(23, 0), draw(31, 1)
    expected = [max(len(a & b) / len(a | b) for b in others) for a in users]
    np.testing.assert_allclose(nearest(rows_of(users), rows_of(others)), expected, rtol=1e-6)


def test_the_share_that_is_nearer() -> None:
    ours, theirs = np.array([1.0, 2.0, 2.0]), np.array([0.0, 2.0])
    expected = np.mean([(a > b) + 0.5 * (a == b) for a in ours for b in theirs])
    assert attack(ours, theirs).auc == pytest.approx(expected)
    assert attack(ours, ours).auc == 0.5


def test_copies() -> None:
    training = [{*range(start, start + 20)} for start in (0, 10, 20, 30)]
    users = [
        {*range(10, 30)},  # a copy
        {*range(30, 49)},  # a near copy: 19 of 20
        {*range(5, 25)},  # 15 of 25 in common with two of them
        {0, 1},
    ]
    assert copies(rows_of(users), rows_of(training)) == (0.25, 0.5)


def test_small_sets_are_equal_by_accident() -> None:
    assert copies(rows_of([{1, 2}]), rows_of([{1, 2}])) == (0, 0)
