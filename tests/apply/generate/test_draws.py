"""Draws without replacement against probabilities written out."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch

from recae.apply.generate.codes import drawn, inclusion, races

WEIGHTS = np.array([5.0, 3.0, 1.0, 0.5])


def chances(n: int) -> np.ndarray:
    """How likely each item is to be among n drawn one after the other: every order summed up."""
    found = np.zeros(len(WEIGHTS))
    for order in permutations(range(len(WEIGHTS)), n):
        left, chance = WEIGHTS.sum(), 1.0
        for item in order:
            chance *= WEIGHTS[item] / left
            left -= WEIGHTS[item]
        found[list(order)] += chance
    return found


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_items_are_drawn_as_often_as_they_should(n: int) -> None:
    rows = 20_000
    logs = torch.from_numpy(np.log(WEIGHTS)).float().expand(rows, -1)
    noise = races((rows, 4), torch.Generator().manual_seed(0))
    lengths = torch.full((rows,), n)
    columns, ends = drawn(logs, noise, lengths)
    assert ends.tolist() == list(range(0, rows * n + 1, n))
    shares = np.bincount(columns.numpy(), minlength=4) / rows
    np.testing.assert_allclose(shares, chances(n), atol=0.015)
    # The estimate is unbiased, and surer than the count.
    estimate = inclusion(logs, noise, lengths).double()
    np.testing.assert_allclose(estimate.mean(0), chances(n), atol=0.01)
    if n < 4:
        counts = torch.zeros(rows, 4).scatter_(1, columns.view(rows, n), 1)
        assert bool((estimate.var(0) < counts.var(0)).all())


def test_rows_have_their_lengths_and_no_item_twice() -> None:
    lengths = torch.tensor([3, 1, 6, 2])
    noise = races((4, 6), torch.Generator().manual_seed(1))
    columns, ends = drawn(torch.zeros(4, 6), noise, lengths)
    assert ends.diff().tolist() == lengths.tolist()
    for start, end in zip(ends[:-1], ends[1:], strict=True):
        row = columns[start:end]
        assert bool((row.diff() > 0).all())


def test_what_weighs_nothing_is_never_drawn() -> None:
    logs = torch.tensor([0.0, -torch.inf, 0.0]).expand(500, -1)
    noise = races((500, 3), torch.Generator().manual_seed(1))
    columns, _ = drawn(logs, noise, torch.full((500,), 2))
    assert not bool((columns == 1).any())
