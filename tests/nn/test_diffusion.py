"""Noise schedules against Bayes' rule, embeddings and draws of steps against slow versions."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from recae.nn import Ragged
from recae.nn.diffusion import (
    GaussianSchedule,
    ItemScores,
    StepDraws,
    at,
    sinusoids,
    squared_errors,
    to_dense,
)

SCHEDULE = GaussianSchedule.linear(5, 0.5, 0.1, 0.6)


def test_variances_rise_linearly() -> None:
    np.testing.assert_allclose(1 - SCHEDULE.kept, [0.05, 0.1125, 0.175, 0.2375, 0.3])


def test_the_first_variance_can_be_fixed() -> None:
    """The variances that the steps add are those of the schedule, but for the first."""
    fixed = GaussianSchedule.linear(5, 0.5, 0.1, 0.6, first=1e-5)
    added = [1e-5, *(1 - SCHEDULE.kept[1:] / SCHEDULE.kept[:-1])]
    np.testing.assert_allclose(fixed.kept, np.cumprod(1 - np.array(added)))


def test_the_way_back_is_bayes_rule() -> None:
    """x_(t-1) ~ N(sqrt(a') x_0, 1 - a'), x_t ~ N(sqrt(1 - b) x_(t-1), b): precisions add up."""
    start, now = 0.7, -0.4
    for t in range(1, 5):
        before, noise = SCHEDULE.kept[t - 1], 1 - SCHEDULE.kept[t] / SCHEDULE.kept[t - 1]
        precisions = 1 / (1 - before), (1 - noise) / noise
        means = math.sqrt(before) * start, now / math.sqrt(1 - noise)
        expected = np.dot(precisions, means) / sum(precisions)
        found = SCHEDULE.of_start[t] * start + SCHEDULE.of_step[t] * now
        assert found == pytest.approx(expected)
        # The divergence of two such posteriors is weight / 2 x the squared difference of starts.
        weight = SCHEDULE.of_start[t] ** 2 * sum(precisions)
        assert SCHEDULE.weights[t] == pytest.approx(weight)
    assert (SCHEDULE.of_start[0], SCHEDULE.of_step[0]) == pytest.approx((1, 0))
    assert SCHEDULE.weights[0] == 1


def test_noise_has_the_moments_of_its_step() -> None:
    x = torch.tensor([[2.0, 0.0, -1.0]]).expand(40_000, 3)
    for t in (0, 4):
        steps = torch.full((len(x),), t)
        noisy = SCHEDULE.noised(x, steps, torch.Generator().manual_seed(t))
        spread = math.sqrt(1 - SCHEDULE.kept[t])
        expected = math.sqrt(SCHEDULE.kept[t]) * x[0]
        torch.testing.assert_close(noisy.mean(0), expected, rtol=0, atol=5 * spread / 200)
        torch.testing.assert_close(noisy.std(0), torch.full((3,), spread), rtol=0.02, atol=0)


def test_steps_of_rows() -> None:
    assert at(np.array([1.0, 2.0, 4.0]), torch.tensor([2, 0, 2])).tolist() == [4, 1, 4]


@pytest.mark.parametrize("width", [1, 6, 7])
def test_sinusoids_are_the_formula(width: int) -> None:
    found, half = sinusoids(torch.tensor([0.0, 3.0, 0.25]), width), width // 2
    for row, step in enumerate((0, 3, 0.25)):
        angles = [step / 10000 ** (i / half) for i in range(half)]
        expected = [*map(math.cos, angles), *map(math.sin, angles)] + [0] * (width % 2)
        assert found[row].tolist() == pytest.approx(expected, abs=1e-6)


def test_steps_are_drawn_by_their_last_ten_losses() -> None:
    draws, generator = StepDraws(3), torch.Generator().manual_seed(0)
    kept: list[deque[float]] = [deque(maxlen=10) for _ in range(3)]
    rng = np.random.default_rng(1)
    for round in range(12):
        steps = torch.from_numpy(rng.integers(3, size=7 if round else 1))
        losses = torch.from_numpy(rng.random(len(steps), dtype=np.float32)) + steps
        draws.record(steps, losses)
        for step, loss in zip(steps.tolist(), losses.tolist(), strict=True):
            kept[step].append(loss)
        if min(map(len, kept)) < 10:
            assert draws.chances().tolist() == pytest.approx([1 / 3] * 3)
            continue
        sizes = np.array([np.sqrt(np.mean(np.square(some))) for some in kept])
        expected = 0.999 * sizes / sizes.sum() + 0.001 / 3
        assert draws.chances().tolist() == pytest.approx(expected.tolist())
    assert round == 11 and min(map(len, kept)) == 10
    steps, factors = draws.draw(30_000, generator)
    np.testing.assert_allclose(np.bincount(steps) / 30_000, expected, atol=0.02)
    np.testing.assert_allclose(factors, 1 / (3 * expected[steps]), rtol=1e-5)
    draws.initialise(generator)
    assert draws.chances().tolist() == pytest.approx([1 / 3] * 3)


def test_squared_errors_of_ragged_targets() -> None:
    matrix = sp.random(6, 9, 0.3, format="csr", random_state=2, dtype=np.float32)
    ragged, dense = Ragged.from_csr(matrix), torch.from_numpy(matrix.toarray())
    torch.testing.assert_close(to_dense(ragged), dense)
    assert to_dense(dense) is dense
    output = torch.randn(6, 9, generator=torch.Generator().manual_seed(3))
    expected = (output - dense).square().sum(1)
    torch.testing.assert_close(squared_errors(output, ragged), expected)
    for target in (ragged, dense):
        torch.testing.assert_close(ItemScores(output).loss("squared", target), expected.mean())
    with pytest.raises(TypeError, match="dense target"):
        ItemScores(output).loss("logistic", ragged)
