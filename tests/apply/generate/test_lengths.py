"""Lengths of histories: drawn as they were."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm, rankdata

from recae.apply.generate.fitting import Lengths, normal_scores


def test_normal_scores_are_those_of_middle_ranks() -> None:
    lengths = np.array([3, 1, 3, 9, 3])
    expected = norm.ppf((rankdata(lengths) - 0.5) / 5)
    np.testing.assert_allclose(normal_scores(lengths), expected, atol=1e-12)


def test_lengths_come_back_as_they_were_distributed() -> None:
    rng = np.random.default_rng(0)
    real = rng.geometric(0.1, 3000) + 4
    drawn = Lengths.of(real).at(rng.standard_normal(30_000))
    assert drawn.min() >= 5
    for share in (0.05, 0.25, 0.5, 0.75, 0.95):
        assert abs(np.quantile(drawn, share) - np.quantile(real, share)) <= 1
    assert abs(drawn.mean() - real.mean()) < 0.3


def test_the_longest_history_is_not_given_away() -> None:
    real = np.append(np.full(999, 10), 5000)
    assert Lengths.of(real).at(np.array([8.0])).tolist() == [10]


def test_one_user_is_enough() -> None:
    assert Lengths.of([1]).at(np.array([-3.0, 0.0, 3.0])).tolist() == [1, 1, 1]
